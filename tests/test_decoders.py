"""The pool that the settings ask for."""

from app.decoders import make_decoders
from app.settings import load_settings


async def test_decoders_are_made_by_the_settings() -> None:
    """As many as are named; one per core where nobody says otherwise."""
    async with make_decoders(load_settings({"validate.children": 3})) as named, make_decoders(load_settings()) as plain:
        assert named.stats().size == 3
        assert plain.stats().size >= 1
