"""The settings that say how images are judged and how they leave, as the rules that a job carries. Light: a start needs them early."""

from app.domain import CompressionRules, ValidationRules
from app.settings import Settings

__all__ = ["compression_rules", "validation_rules"]


def validation_rules(settings: Settings) -> ValidationRules:
    """The ``[validate]`` settings as rules."""
    names = (
        "level",
        "min_width",
        "min_height",
        "max_pixels",
        "max_aspect",
        "min_entropy",
        "min_sharpness",
        "min_brightness",
        "max_brightness",
    )
    return ValidationRules(**{name: getattr(settings.validate_, name) for name in names})


def compression_rules(settings: Settings) -> CompressionRules:
    """The ``[compress]`` settings as rules."""
    return CompressionRules(**settings.compress.model_dump())
