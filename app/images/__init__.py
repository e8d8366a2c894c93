"""What is done to the bytes of an image: decode, check, hash, compare, re-encode, split. CPU only; no row, no job, no network.

`DecoderPool` runs the first of these in child processes, which import this package too and must stay light, and who starts them needs no
decoder: a name's module is imported when the name is first asked for (PEP 562). `compress` is asked of its module, which has its name.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from app.images.dedupe import Match, find_exact, find_near
    from app.images.pool import DecoderPool, PoolStats
    from app.images.splits import assign, assign_all
    from app.images.verdict import validate
    from app.images.wire import CANNOT, Answer

__all__ = [
    "CANNOT",
    "Answer",
    "DecoderPool",
    "Match",
    "PoolStats",
    "assign",
    "assign_all",
    "find_exact",
    "find_near",
    "validate",
]

_MODULE_OF: Final = {
    "CANNOT": "wire",
    "Answer": "wire",
    "DecoderPool": "pool",
    "Match": "dedupe",
    "PoolStats": "pool",
    "assign": "splits",
    "assign_all": "splits",
    "find_exact": "dedupe",
    "find_near": "dedupe",
    "validate": "verdict",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    return value
