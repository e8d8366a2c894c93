"""``files``: plain images in one folder, and ``metadata.jsonl`` with a row for each. For everything that has its own loader."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from app.domain import ExportReport, Sample, VerifyReport
from app.exports import inspecting, loose, packing
from app.exports.base import ExportOptions, Read
from app.exports.card import CardParts
from app.exports.hashed import FileFacts
from app.exports.spool import Facts

__all__ = ["FilesExporter"]

_IMAGES = "images"
_LAYOUT = """\
metadata.jsonl                      one row per image: file_name, label, split, licence ...
images/000000_<sha256[:12]>.jpg
"""
_USAGE = """\
import json
rows = [json.loads(line) for line in open("metadata.jsonl", encoding="utf-8")]
train = [(row["file_name"], row.get("label")) for row in rows if row["split"] == "train"]
"""


class FilesExporter:
    """Writes and verifies the ``files`` format."""

    format = "files"

    async def write(self, samples: AsyncIterator[Sample], read: Read, folder: Path, options: ExportOptions) -> ExportReport:
        """See :class:`app.exports.base.Exporter`."""
        return await packing.write_export(samples, read, folder, options, _Packer, self.format)

    async def verify(self, folder: Path, report: ExportReport) -> VerifyReport:
        """See :class:`app.exports.base.Exporter`."""
        return await inspecting.verify(folder, report, _inspect)


class _Packer:
    def __init__(self, folder: Path, facts: Facts, options: ExportOptions) -> None:
        self._folder = folder
        self._metadata = loose.MetadataFiles(folder, facts, [""])
        self.card = CardParts(layout=_LAYOUT, usage=_USAGE, configs={}, features=False, loose_images=True, folders={})

    def add(self, sample: Sample, body: bytes) -> str:
        path = f"{_IMAGES}/{loose.write_image(self._folder / _IMAGES, sample, body)}"
        self._metadata.add(sample, "", path)
        return path

    def finish(self) -> dict[str, FileFacts]:
        return self._metadata.finish()

    def abandon(self) -> None:
        self._metadata.abandon()


def _inspect(inspection: inspecting.Inspection) -> Iterator[None]:
    for path, row in loose.read_metadata(inspection, ""):
        loose.inspect_image(inspection, path, row)
        if path.rpartition("/")[0] != _IMAGES:
            inspection.complain(f"{path}: lies outside {_IMAGES}/")
        yield
    loose.inspect_tree(inspection)
