"""What is done to the bytes of an image: decode, check, hash, compare, re-encode, split. CPU only; no row, no job, no network.

`DecoderPool` runs the first of these in child processes, which import this package too and must stay light: the pool itself
is therefore loaded when it is first asked for (PEP 562), as it needs asyncio and its children don't.
"""

from typing import TYPE_CHECKING, Any

from app.images.compress import compress
from app.images.dedupe import Fingerprint, Match, find_exact, find_near
from app.images.splits import assign, assign_all
from app.images.verdict import CANNOT, validate
from app.images.wire import Answer

if TYPE_CHECKING:
    from app.images.chatter import log_remarks
    from app.images.pool import DecoderPool, PoolStats

__all__ = [
    "CANNOT",
    "Answer",
    "DecoderPool",
    "Fingerprint",
    "Match",
    "PoolStats",
    "assign",
    "assign_all",
    "compress",
    "find_exact",
    "find_near",
    "log_remarks",
    "validate",
]


def __getattr__(name: str) -> Any:
    if name not in ("DecoderPool", "PoolStats", "log_remarks"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from app.images import chatter, pool

    return getattr(chatter if name == "log_remarks" else pool, name)
