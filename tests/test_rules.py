"""What the sections say of images is what their rules say."""

from typing import Any

from app.domain import CompressionRules, ValidationRules
from app.rules import compression_rules, validation_rules
from app.settings import load_settings


def test_the_settings_reach_the_parts() -> None:
    """Each rule that a section sets is the rule that its part goes by."""
    values: dict[str, Any] = {
        "level": "strict", "min_width": 11, "min_height": 12, "max_pixels": 13, "max_aspect": 1.4, "min_entropy": 1.5,
        "min_sharpness": 16.0, "min_brightness": 17.0, "max_brightness": 180.0,
    }  # fmt: skip
    settings = load_settings({f"validate.{name}": value for name, value in values.items()})
    assert validation_rules(settings) == ValidationRules(**values)
    wanted = {"format": "jpeg", "level": 33, "resize": "border", "size": 99, "only_if_bigger": False}
    assert compression_rules(load_settings({f"compress.{name}": value for name, value in wanted.items()})) == CompressionRules(**wanted)  # type: ignore[arg-type]
    assert validation_rules(load_settings()) == ValidationRules()
    assert compression_rules(load_settings()) == CompressionRules()
