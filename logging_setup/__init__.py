"""How the project logs: loguru, one event a line, secrets kept out. Knows no other package of ours.

What needs loguru is looked up when it is first asked for: a decoder process wants `logging_setup.overheard`, and nothing else.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from logging_setup.redact import redact

if TYPE_CHECKING:
    from logging_setup.lines import LogFormat, add_sink, configure, dropped_lines, get_logger, remove_sink

__all__ = ["LogFormat", "add_sink", "configure", "dropped_lines", "get_logger", "redact", "remove_sink"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module("logging_setup.lines"), name)
    return found
