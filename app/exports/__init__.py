"""How a dataset leaves: one exporter for each format, and publication to a folder of the user's.

A name's module is imported when the name is first asked for (PEP 562): a build needs formats at its end, and a start nothing of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from app.exports.base import Exporter, ExportOptions, Read
    from app.exports.publish import check_destination, folder_of, materialise
    from app.exports.registry import EXPORTERS, get_exporter

__all__ = ["EXPORTERS", "ExportOptions", "Exporter", "Read", "check_destination", "folder_of", "get_exporter", "materialise"]

_NAMES: Final = {
    "base": ("ExportOptions", "Exporter", "Read"),
    "publish": ("check_destination", "folder_of", "materialise"),
    "registry": ("EXPORTERS", "get_exporter"),
}
_MODULE_OF: Final = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    return value
