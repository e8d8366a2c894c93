"""``captions``: ``<split>/name.jpg`` with its caption in ``<split>/name.txt``, and nothing else in the folder.

For trainers of image generators: kohya's sd-scripts, ai-toolkit, OneTrainer. Each line of a text is a caption, so a caption has one line.
An image without a caption has its label as one. Without either its text is an empty line: sd-scripts fails over an empty file.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

from app.domain import Sample
from app.exports import annotations, features, image_files, spool, verify, writer
from app.exports.cards import CardParts
from app.exports.exporter import ExportOptions, ExportReport, Load, Read, VerifyReport
from app.exports.hashed_file import FileFacts
from app.exports.spool import DatasetFacts

__all__ = ["CaptionsExporter"]

_LAYOUT = """\
<split>/000000_<sha256[:12]>.jpg
<split>/000000_<sha256[:12]>.txt    its caption
metadata.jsonl                      one row per image: file_name, label, split, licence ...
"""
_USAGE = """\
from pathlib import Path
pairs = [(path.with_suffix(".jpg"), path.read_text(encoding="utf-8")) for path in sorted(Path("{split}").rglob("*.txt"))]
"""
_NOTE = """\
Give a trainer the folder of a split, such as `{split}/`: `image_dir` of sd-scripts with `caption_extension = ".txt"`, `folder_path` of
ai-toolkit, a concept of OneTrainer with prompts from text files."""


class CaptionsExporter:
    """Writes and verifies the ``captions`` format."""

    format = "captions"
    extensions = frozenset({"jpg", "png", "webp"})
    """What all three trainers see."""
    holds_images = True

    async def write(self, samples: AsyncIterator[Sample], read: Read, folder: Path, options: ExportOptions) -> ExportReport:
        """See :class:`app.exports.exporter.Exporter`."""
        return await writer.write_export(samples, read, folder, options, _CaptionsWriter, self.format)

    async def verify(self, folder: Path, report: ExportReport, load: Load | None = None) -> VerifyReport:
        """See :class:`app.exports.exporter.Exporter`."""
        return await verify.verify_folder(folder, report, _inspect, self.extensions, load)


class _CaptionsWriter:
    def __init__(self, folder: Path, facts: DatasetFacts, options: ExportOptions) -> None:
        self._folder = folder
        self._facts = facts
        self._images = image_files.ImageWriter(folder, options)
        self._takes_all = options.captions == "all"
        self._metadata = image_files.MetadataFiles(folder, facts, [""])
        self.card = CardParts(
            layout=_LAYOUT,
            usage=_USAGE.format(split=facts.shown_split),
            configs={"train": (image_files.METADATA, *_image_patterns(facts))} if facts.samples else {},
            has_image_files=True,
            folders={},
            config_features=features.of_rows(facts) if facts.samples else (),
            records=self._metadata.describe(facts.splits),
            notes=(_NOTE.format(split=facts.shown_split),),
        )

    def add(self, sample: Sample, body: bytes) -> writer.Written:
        path = self._images.write(sample.split, sample, body, 2 * self._facts.splits[sample.split], files_each=2)
        self._metadata.add(sample, "", path)
        text = _text(spool.to_row(sample, self._facts), takes_all=self._takes_all)
        beside = image_files.beside(path, "txt")
        return writer.Written(path, beside, image_files.write_beside(self._folder, beside, text))

    def finish(self) -> dict[str, FileFacts]:
        return self._metadata.finish()

    def abandon(self) -> None:
        self._metadata.abandon()


def _image_patterns(facts: DatasetFacts) -> list[str]:
    return [f"{split}/**/*.{extension}" for split in facts.splits for extension in facts.extensions]


def _text(row: Mapping[str, Any], *, takes_all: bool) -> bytes:
    texts = annotations.captions_of(row) or annotations.labels_of(row)
    lines = (" ".join(text.split()) for text in (texts if takes_all else texts[:1]))
    return ("\n".join(line for line in lines if line) or "\n").encode()


def _inspect(inspection: verify.Inspection) -> Iterator[None]:
    for path, row in image_files.read_metadata(inspection, ""):
        image_files.inspect_image(inspection, path, row)
        if not image_files.is_in(path, str(row.get("split"))):
            inspection.add_problem(f"{path}: is not in the folder of its split")
        _inspect_text(inspection, path, row)
        yield
    image_files.inspect_tree(inspection)


def _inspect_text(inspection: verify.Inspection, path: str, row: verify.Row) -> None:
    name = image_files.beside(path, "txt")
    found = image_files.read_beside(inspection, name)
    try:
        expected = [_text(row, takes_all=takes_all) for takes_all in (False, True)]
    except annotations.MALFORMED:
        inspection.add_problem(f"{path}: its row is not one of an export")
        return
    if found is not None and found not in expected:
        inspection.add_problem(f"{name}: differs from the caption of its row")
