"""What a build begins before this process has loaded all that it needs itself: loading uses one core, and takes most of a start."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from app.cli.locking import is_embedded

if TYPE_CHECKING:
    from app.images import DecoderPool
    from app.settings import Settings

__all__ = ["decoders_ahead"]


@asynccontextmanager
async def decoders_ahead(settings: "Settings", *, detached: bool) -> AsyncIterator["DecoderPool | None"]:
    """Decoder processes that have begun to load; ``None`` where others do the work."""
    if detached or not is_embedded(settings):
        yield None
        return
    from app.decoders import make_decoders

    async with make_decoders(settings) as decoders:
        await decoders.begin()
        yield decoders
