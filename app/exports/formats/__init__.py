"""The export formats by name. To add one: a module here, its exporter in ``EXPORTERS``, its name in ``app.domain.ExportFormat``."""

from collections.abc import Mapping
from types import MappingProxyType

import errors
from app import extras
from app.domain import EXTENSIONS, MEDIA_TYPES
from app.exports.exporter import Exporter
from app.exports.formats.captions import CaptionsExporter
from app.exports.formats.coco import CocoExporter
from app.exports.formats.files import FilesExporter
from app.exports.formats.imagefolder import ImageFolderExporter
from app.exports.formats.labelstudio import LabelStudioExporter
from app.exports.formats.parquet import ParquetExporter
from app.exports.formats.rows import CsvExporter, JsonLinesExporter
from app.exports.formats.tfrecord import TfRecordExporter
from app.exports.formats.webdataset import WebDatasetExporter
from app.exports.formats.yolo import YoloExporter

__all__ = ["EXPORTERS", "get_exporter", "require_format", "require_readable"]

EXPORTERS: Mapping[str, Exporter] = MappingProxyType(
    {
        exporter.format: exporter
        for exporter in (
            FilesExporter(),
            ImageFolderExporter(),
            WebDatasetExporter(),
            ParquetExporter(),
            TfRecordExporter(),
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


_EXTRAS: Mapping[str, tuple[str, str]] = MappingProxyType({"parquet": ("pyarrow.parquet", "parquet")})
"""Of a format that needs one: the package, and the extra that brings it."""


def require_format(name: str) -> None:
    """Check, before anything is fetched, that a format can be written.

    Raises:
        errors.ConfigurationError: there is no such format, or the extra that it needs is not installed.
    """
    package, extra = _EXTRAS.get(get_exporter(name).format, (None, ""))
    if package is not None:
        extras.require(package, extra, f"the format {name}")


def get_exporter(name: str) -> Exporter:
    """The exporter of a format.

    Raises:
        errors.ConfigurationError: there is no such format; the message lists all formats.
    """
    try:
        return EXPORTERS[name]
    except KeyError:
        raise errors.ConfigurationError(f"export.format {name!r} is unknown; there are {', '.join(sorted(EXPORTERS))}") from None


def require_readable(name: str, encoding: str) -> None:
    """Refuse an encoding that the loaders of a format do not read.

    Args:
        name: of the format.
        encoding: see `app.rules.Encode`.

    Raises:
        errors.ValidationError: they do not; the message lists what they read.
    """
    extensions = get_exporter(name).extensions
    media_type = MEDIA_TYPES.get(encoding.removesuffix("-lossless"))
    if extensions is None or media_type is None or EXTENSIONS[media_type] in extensions:
        return
    known = ", ".join(sorted(extensions))
    raise errors.ValidationError(f"the loaders of {name} do not read {encoding}, but {known}; take another encoding, or the format files")
