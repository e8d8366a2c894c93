"""How a version of a dataset differs from the one before, in words."""

from collections.abc import Mapping

from app.db.rows import Version
from app.formatting import number

__all__ = ["since_words", "words"]


def since_words(version: Version) -> str:
    """What differs from the version before, or of which datasets a merge made it."""
    return f"merged {', '.join(version.merged)}" if version.merged else words(version.counts or {})


def words(counts: Mapping[str, int]) -> str:
    """``4 added, 3 removed``."""
    return ", ".join(f"{number(value)} {kind}" for kind, value in counts.items() if value) or "-"
