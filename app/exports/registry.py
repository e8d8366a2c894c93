"""The formats there are, by name."""

from collections.abc import Mapping
from types import MappingProxyType

import errors
from app.exports.base import Exporter
from app.exports.files import FilesExporter
from app.exports.imagefolder import ImageFolderExporter
from app.exports.webdataset import WebDatasetExporter

__all__ = ["EXPORTERS", "get_exporter"]

EXPORTERS: Mapping[str, Exporter] = MappingProxyType(
    {exporter.format: exporter for exporter in (FilesExporter(), ImageFolderExporter(), WebDatasetExporter())}
)
"""Every format by its name."""


def get_exporter(name: str) -> Exporter:
    """The exporter of a format.

    Raises:
        errors.ConfigurationError: there is no such format; the message lists those there are.
    """
    try:
        return EXPORTERS[name]
    except KeyError:
        raise errors.ConfigurationError(f"export.format {name!r} is unknown; there are {', '.join(sorted(EXPORTERS))}") from None
