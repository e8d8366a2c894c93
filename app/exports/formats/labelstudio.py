"""``labelstudio``: images, tasks for Label Studio in files of JSON, and the labelling interface that fits them.

What is known of an image is a prediction, which annotators correct: its labels as choices, its captions, its boxes in percent.
"""

import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from itertools import chain, count
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import orjson

from app.boxes import Box
from app.domain import Sample
from app.exports import annotations, features, image_files, spool, verify, writer
from app.exports.cards import CardParts, one_line
from app.exports.exporter import ExportOptions, ExportReport, Load, Read, VerifyReport
from app.exports.hashed_file import FileFacts, HashedFile
from app.exports.json_array import ArrayWriter, read_array
from app.exports.spool import DatasetFacts

__all__ = ["LabelStudioExporter"]

MAX_TASKS = 100_000
"""Of one project, as Label Studio's guide advises."""

CONFIG = "labeling_config.xml"

_IMAGES = "images"
_SERVED = "/data/local-files/?d="
"""Address of a file of this machine, relative to the document root of Label Studio."""

_TASKS = re.compile(r"tasks-\d{5,}\.json")
_MODEL = "pictrawl"
_DECIMALS = 6
"""Of a percentage: less than a hundredth of a pixel."""

_LAYOUT = f"""\
tasks-00000.json                   tasks, at most {MAX_TASKS:,} a file
{CONFIG}                the labelling interface
images/000000_<sha256[:12]>.jpg
metadata.jsonl                     one row per image: file_name, label, split, licence ...
"""
_USAGE = """\
import json
tasks = json.load(open("tasks-00000.json", encoding="utf-8"))
"""
_NOTE = f"""\
Start Label Studio with `LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true` and `LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT` set to the absolute
path of this folder. In the project paste `{CONFIG}` as the labelling interface, add a source storage "Local files" with the absolute path
of `images/` (no sync is needed), and import `tasks-00000.json`."""

Entry = dict[str, Any]


class LabelStudioExporter:
    """Writes and verifies the ``labelstudio`` format."""

    format = "labelstudio"
    extensions = frozenset({"jpg", "png", "webp", "gif", "bmp", "avif"})
    """What browsers show."""
    holds_images = True

    async def write(self, samples: AsyncIterator[Sample], read: Read, folder: Path, options: ExportOptions) -> ExportReport:
        """See :class:`app.exports.exporter.Exporter`."""
        return await writer.write_export(samples, read, folder, options, _TasksWriter, self.format)

    async def verify(self, folder: Path, report: ExportReport, load: Load | None = None) -> VerifyReport:
        """See :class:`app.exports.exporter.Exporter`."""
        return await verify.verify_folder(folder, report, _inspect, self.extensions, load)


class _TasksWriter:
    def __init__(self, folder: Path, facts: DatasetFacts, options: ExportOptions) -> None:
        self._folder = folder
        self._facts = facts
        self._images = image_files.ImageWriter(folder, options)
        self._most = min(MAX_TASKS, options.shard_samples)
        self._names = _names(facts.label_names, facts.boxes)
        self._metadata = image_files.MetadataFiles(folder, facts, [""])
        self._open: tuple[HashedFile, ArrayWriter] | None = None
        self._finished: dict[str, FileFacts] = {}
        self.card = CardParts(
            layout=_LAYOUT,
            usage=_USAGE,
            configs={"train": (image_files.METADATA, f"{_IMAGES}/**")} if facts.samples else {},
            has_image_files=True,
            folders={},
            config_features=features.of_rows(facts) if facts.samples else (),
            records=self._metadata.describe([_IMAGES]),
            notes=(_NOTE,),
        )

    def add(self, sample: Sample, body: bytes) -> str:
        path = self._images.write(_IMAGES, sample, body, self._facts.samples)
        self._metadata.add(sample, "", path)
        self._tasks().add(_task(spool.to_row(sample, self._facts, path), self._names))
        return path

    def finish(self) -> dict[str, FileFacts]:
        self._close()
        config = HashedFile(self._folder / CONFIG)
        config.write(_config(self._facts.label_names, self._facts.boxes, self._names))
        return self._metadata.finish() | self._finished | {CONFIG: config.finish()}

    def abandon(self) -> None:
        self._metadata.abandon()
        if self._open is not None:
            self._open[0].abandon()

    def _tasks(self) -> ArrayWriter:
        """The file that takes the next task."""
        if self._open is not None and self._open[1].entries >= self._most:
            self._close()
        if self._open is None:
            file = HashedFile(self._folder / f"tasks-{len(self._finished):05d}.json")
            self._open = file, ArrayWriter(file)
        return self._open[1]

    def _close(self) -> None:
        if self._open is not None:
            file, array = self._open
            array.close()
            file.write(b"\n")
            self._finished[f"tasks-{len(self._finished):05d}.json"] = file.finish()
            self._open = None


def _names(labels: Iterable[str], boxes: Iterable[str]) -> Mapping[str, str]:
    """For each class a name that an attribute of XML holds as it is, on one line and different from all others."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for category in sorted({*labels, *boxes}):
        plain = one_line(category) or "class"
        name = next(other for other in chain([plain], (f"{plain} ({number})" for number in count(2))) if other not in taken)
        taken.add(name)
        names[category] = name
    return names


def _task(row: verify.Row, names: Mapping[str, str]) -> Entry:
    data = {name: value for name, value in row.items() if value is not None and name not in ("file_name", spool.OBJECTS)}
    results = [*_results(row, names)]
    task: Entry = {"data": {"image": _SERVED + row["file_name"]} | data}
    return task | ({"predictions": [{"model_version": _MODEL, "result": results}]} if results else {})


def _results(row: verify.Row, names: Mapping[str, str]) -> Iterator[Entry]:
    to_image = {"to_name": "image"}
    if labels := annotations.labels_of(row):
        yield {"id": "label", "from_name": "label", "type": "choices", "value": {"choices": [names[label] for label in labels]}} | to_image
    if captions := annotations.captions_of(row):
        yield {"id": "caption", "from_name": "caption", "type": "textarea", "value": {"text": captions}} | to_image
    for number, box in enumerate(annotations.boxes_of(row), start=1):
        size = {"original_width": row["width"], "original_height": row["height"], "image_rotation": 0}
        value = _rectangle(box, row["width"], row["height"]) | {"rotation": 0, "rectanglelabels": [names[box.label]]}
        yield {"id": f"box-{number}", "from_name": "boxes", "type": "rectanglelabels", "value": value} | to_image | size


def _rectangle(box: Box, width: int, height: int) -> Entry:
    """A box in percent of the picture."""
    shares = {"x": box.x / width, "y": box.y / height, "width": box.width / width, "height": box.height / height}
    return {name: round(share * 100, _DECIMALS) for name, share in shares.items()}


def _config(labels: Iterable[str], boxes: Iterable[str], names: Mapping[str, str]) -> bytes:
    lines = ["<View>", '  <Image name="image" value="$image"/>']
    if choices := [names[label] for label in labels]:
        lines += ['  <Choices name="label" toName="image" choice="multiple">']
        lines += [*(f"    <Choice value={quoteattr(name)}/>" for name in choices), "  </Choices>"]
    if found := [names[name] for name in boxes]:
        lines += ['  <RectangleLabels name="boxes" toName="image">']
        lines += [*(f"    <Label value={quoteattr(name)}/>" for name in found), "  </RectangleLabels>"]
    lines += ['  <TextArea name="caption" toName="image" editable="true"/>', "</View>", ""]
    return "\n".join(lines).encode()


def _inspect(inspection: verify.Inspection) -> Iterator[None]:
    manifest = inspection.manifest
    labels, boxes = manifest.texts("label_names"), manifest.mapping("boxes")
    names = _names(labels, boxes)
    tasks = _read_tasks(inspection)
    for path, row in image_files.read_metadata(inspection, ""):
        image_files.inspect_image(inspection, path, row)
        if not image_files.is_in(path, _IMAGES):
            inspection.add_problem(f"{path}: is outside {_IMAGES}/")
        if (task := next(tasks, None)) is None or task != _expected(row, names):
            inspection.add_problem(f"{path}: its task differs from its row")
        yield
    if next(tasks, None) is not None:
        inspection.add_problem("tasks: there are more than rows")
    with inspection.open_file(CONFIG) as file:
        if file and file.read() != _config(labels, boxes, names):
            inspection.add_problem(f"{CONFIG}: does not have the classes of the dataset")
    image_files.inspect_tree(inspection)


def _expected(row: verify.Row, names: Mapping[str, str]) -> Any:
    """The task of a row as it is read back; ``None`` where the row is not one of an export."""
    try:
        return orjson.loads(orjson.dumps(_task(row, names)))
    except annotations.MALFORMED:
        return None


def _read_tasks(inspection: verify.Inspection) -> Iterator[Any]:
    for path in sorted(filter(_TASKS.fullmatch, inspection.manifest.mapping("files"))):
        with inspection.open_file(path) as file:
            lines = iter(file or ())
            try:
                if next(lines, b"") != b"[\n":
                    raise ValueError("not an array of tasks")
                yield from read_array(lines)
            except ValueError as error:
                inspection.add_problem(f"{path}: {error}")
