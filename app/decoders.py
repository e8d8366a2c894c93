"""The decoder processes that the settings ask for. Light, so that they can load what they need while this process still does."""

from app.images import DecoderPool
from app.settings import Settings

__all__ = ["make_decoders"]


def make_decoders(settings: Settings) -> DecoderPool:
    """Decoder processes with the ``[validate]`` settings."""
    rules = settings.validate_
    return DecoderPool(size=rules.children or None, deadline_s=rules.deadline_s, memory_bytes=rules.child_memory_bytes)
