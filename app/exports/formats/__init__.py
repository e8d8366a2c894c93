"""The export formats by name. To add one: a module here, its exporter in ``EXPORTERS``, its name in ``app.domain.ExportFormat``."""

from collections.abc import Mapping
from types import MappingProxyType

import errors
from app.exports.exporter import Exporter
from app.exports.formats.captions import CaptionsExporter
from app.exports.formats.coco import CocoExporter
from app.exports.formats.files import FilesExporter
from app.exports.formats.imagefolder import ImageFolderExporter
from app.exports.formats.labelstudio import LabelStudioExporter
from app.exports.formats.rows import CsvExporter, JsonLinesExporter
from app.exports.formats.webdataset import WebDatasetExporter
from app.exports.formats.yolo import YoloExporter

__all__ = ["EXPORTERS", "get_exporter"]

EXPORTERS: Mapping[str, Exporter] = MappingProxyType(
    {
        exporter.format: exporter
        for exporter in (
            FilesExporter(),
            ImageFolderExporter(),
            WebDatasetExporter(),
            CocoExporter(),
            YoloExporter(),
            CaptionsExporter(),
            LabelStudioExporter(),
            JsonLinesExporter(),
            CsvExporter(),
        )
    }
)
"""Every format by its name."""


def get_exporter(name: str) -> Exporter:
    """The exporter of a format.

    Raises:
        errors.ConfigurationError: there is no such format; the message lists all formats.
    """
    try:
        return EXPORTERS[name]
    except KeyError:
        raise errors.ConfigurationError(f"export.format {name!r} is unknown; there are {', '.join(sorted(EXPORTERS))}") from None
