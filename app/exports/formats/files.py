"""``files``: images in one folder, and ``metadata.jsonl`` with a row for each. For programs with their own loader."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from app.domain import Sample
from app.exports import features, image_files, verify, writer
from app.exports.cards import CardParts
from app.exports.exporter import PILLOW_EXTENSIONS, ExportOptions, ExportReport, Load, Read, VerifyReport
from app.exports.hashed_file import FileFacts
from app.exports.spool import DatasetFacts

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
_HUGGING_FACE = """\
Hugging Face datasets load the folder too, `load_dataset("path/to/this/folder")`: as one split, with the true one in the column `split`."""


class FilesExporter:
    """Writes and verifies the ``files`` format."""

    format = "files"
    extensions = PILLOW_EXTENSIONS
    holds_images = True

    async def write(self, samples: AsyncIterator[Sample], read: Read, folder: Path, options: ExportOptions) -> ExportReport:
        """See :class:`app.exports.exporter.Exporter`."""
        return await writer.write_export(samples, read, folder, options, _FilesWriter, self.format)

    async def verify(self, folder: Path, report: ExportReport, load: Load | None = None) -> VerifyReport:
        """See :class:`app.exports.exporter.Exporter`."""
        return await verify.verify_folder(folder, report, _inspect, self.extensions, load)


class _FilesWriter:
    def __init__(self, folder: Path, facts: DatasetFacts, options: ExportOptions) -> None:
        self._samples = facts.samples
        self._images = image_files.ImageWriter(folder, options)
        self._metadata = image_files.MetadataFiles(folder, facts, [""])
        self.card = CardParts(
            layout=_LAYOUT,
            usage=_USAGE,
            configs={"train": (image_files.METADATA, f"{_IMAGES}/**")} if facts.samples else {},
            has_image_files=True,
            folders={},
            config_features=features.of_rows(facts) if facts.samples else (),
            records=self._metadata.describe([_IMAGES]),
            notes=(_HUGGING_FACE, *((features.LABEL_NOTE,) if facts.labels else ())),
        )

    def add(self, sample: Sample, body: bytes) -> str:
        path = self._images.write(_IMAGES, sample, body, self._samples)
        self._metadata.add(sample, "", path)
        return path

    def finish(self) -> dict[str, FileFacts]:
        return self._metadata.finish()

    def abandon(self) -> None:
        self._metadata.abandon()


def _inspect(inspection: verify.Inspection) -> Iterator[None]:
    for path, row in image_files.read_metadata(inspection, ""):
        image_files.inspect_image(inspection, path, row)
        if not image_files.is_in(path, _IMAGES):
            inspection.add_problem(f"{path}: is outside {_IMAGES}/")
        yield
    image_files.inspect_tree(inspection)
