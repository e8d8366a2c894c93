"""``yolo``: the folders that Ultralytics trains on. With boxes those of detection, without those of classification.

Ultralytics knows the splits train, val and test only. ``dataset.ndjson`` lists the images by their URLs, for those who want no images.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

import errors
from app.boxes import Box
from app.domain import Sample
from app.exports import annotations, image_files, names, spool, verify, writer
from app.exports.cards import CardParts, yaml_string
from app.exports.exporter import ExportOptions, ExportReport, Load, Read, VerifyReport
from app.exports.formats.imagefolder import TORCHVISION_EXTENSIONS
from app.exports.hashed_file import FileFacts, HashedFile
from app.exports.sidecars import valid_unicode
from app.exports.spool import DatasetFacts
from app.split_names import ultralytics_splits

__all__ = ["YoloExporter"]

_YAML = "data.yaml"
_NDJSON = "dataset.ndjson"
_UNLABELLED = "unlabelled"

_CLASSIFY_LAYOUT = """\
<split>/<class>/000000_<sha256[:12]>.jpg        splits are train, val and test
unlabelled/<split>/000000_<sha256[:12]>.jpg     images without a label, which are no class
metadata.jsonl                                  one row per image: file_name, label, split, licence ...
dataset.ndjson                                  the images that left as they came, by their URLs
"""
_DETECT_LAYOUT = """\
data.yaml
images/<split>/000000_<sha256[:12]>.jpg    splits are train, val and test
labels/<split>/000000_<sha256[:12]>.txt    class, and centre, width and height of each box as shares of the image; empty without a box
metadata.jsonl                             one row per image: file_name, label, split, licence, objects ...
dataset.ndjson                             the images that left as they came, by their URLs
"""
_CLASSIFY_USAGE = """\
from ultralytics import YOLO
YOLO("yolo11n-cls.pt").train(data="path/to/this/folder")
"""
_DETECT_USAGE = """\
from ultralytics import YOLO
YOLO("yolo11n.pt").train(data="path/to/this/folder/data.yaml")
"""
_CLASSIFY_NOTE = """\
Ultralytics calls the classes by their folders; the true label of each is under `class_folders` in `manifest.json`, and in
`dataset.ndjson`."""
_NO_VALIDATION = """\
The dataset has no split for validation: `val` in `data.yaml` is `{split}`."""


class YoloExporter:
    """Writes and verifies the ``yolo`` format."""

    format = "yolo"
    extensions = TORCHVISION_EXTENSIONS
    holds_images = True

    async def write(self, samples: AsyncIterator[Sample], read: Read, folder: Path, options: ExportOptions) -> ExportReport:
        """See :class:`app.exports.exporter.Exporter`."""
        return await writer.write_export(samples, read, folder, options, _YoloWriter, self.format)

    async def verify(self, folder: Path, report: ExportReport, load: Load | None = None) -> VerifyReport:
        """See :class:`app.exports.exporter.Exporter`."""
        return await verify.verify_folder(folder, report, _inspect, self.extensions, load)


class _Layout:
    """Where the images of a dataset lie, and how its classes are numbered: in the order of their folders, or of the classes of boxes."""

    def __init__(self, splits: Iterable[str], folders: Mapping[str, str], boxes: Iterable[str]) -> None:
        self.splits = ultralytics_splits(splits)
        self.is_detection = bool(boxes)
        self.folders = {} if self.is_detection else folders
        self.classes = sorted(boxes) if self.is_detection else sorted(folders, key=lambda label: folders[label])
        self.numbers = {name: number for number, name in enumerate(self.classes)}

    @property
    def evaluated(self) -> str:
        """The split of validation, or what stands in for it."""
        return next(name for name in ("val", "test", "train") if name in self.splits.values())

    def place(self, row: verify.Row) -> str:
        """The folder of an image."""
        split = self.splits[row["split"]]
        if self.is_detection:
            return f"images/{split}"
        return f"{split}/{self.folders[row['label']]}" if row.get("label") else f"{_UNLABELLED}/{split}"

    def labels_path(self, path: str) -> str:
        """The file with the boxes of an image."""
        return image_files.beside(f"labels/{path.removeprefix('images/')}", "txt")

    def yaml(self) -> bytes:
        """The description of a dataset for detection; paths are relative to its own folder."""
        names = [f"  {number}: {yaml_string(name)}" for number, name in enumerate(self.classes)]
        test = ["test: images/test"] if "test" in self.splits.values() else []
        return "\n".join(["train: images/train", f"val: images/{self.evaluated}", *test, "names:", *names, ""]).encode()

    def header(self, dataset_name: str) -> dict[str, Any]:
        """The first line of ``dataset.ndjson``."""
        names = {str(number): name for number, name in enumerate(self.classes)}
        return {"type": "dataset", "task": "detect" if self.is_detection else "classify", "name": dataset_name, "class_names": names}

    def record(self, row: verify.Row) -> dict[str, Any] | None:
        """The line of an image; none where its URL gives other bytes or nothing, or where Ultralytics would take it for the first class."""
        if row["sha256"] != row["source_sha256"] or not row["url"].startswith(("http://", "https://")):
            return None
        if self.is_detection:
            found: dict[str, Any] = {"boxes": [self._numbered(box, row) for box in annotations.boxes_of(row)]}
        elif row.get("label"):
            found = {"classification": [self.numbers[row["label"]]]}
        else:
            return None
        name = row["file_name"].rpartition("/")[2]
        return {"type": "image", "file": name, "url": row["url"], "split": self.splits[row["split"]], "annotations": found}

    def labels(self, row: verify.Row) -> bytes:
        """The boxes of an image, one a line."""
        rows = (self._numbered(box, row) for box in annotations.boxes_of(row))
        return "".join(f"{number} {x:.6f} {y:.6f} {width:.6f} {height:.6f}\n" for number, x, y, width, height in rows).encode()

    def _numbered(self, box: Box, row: verify.Row) -> tuple[int, float, float, float, float]:
        """Class, centre and size, as shares of the image."""
        sides = ((box.x + box.width / 2) / row["width"], (box.y + box.height / 2) / row["height"])
        x, y, width, height = (round(share, 6) for share in (*sides, box.width / row["width"], box.height / row["height"]))
        return self.numbers[box.label], x, y, width, height


class _YoloWriter:
    def __init__(self, folder: Path, facts: DatasetFacts, options: ExportOptions) -> None:
        self._folder = folder
        self._facts = facts
        self._images = image_files.ImageWriter(folder, options)
        try:
            self._layout = layout = _Layout(facts.splits, names.class_folders(facts.classes), facts.boxes)
        except ValueError as error:
            raise errors.ValidationError(str(error)) from error
        self._metadata = image_files.MetadataFiles(folder, facts, [""])
        self._ndjson = HashedFile(folder / _NDJSON)
        self._ndjson.write(orjson.dumps(layout.header(valid_unicode(options.dataset_name))) + b"\n")
        stands_in = layout.is_detection and layout.evaluated != "val"
        self.card = CardParts(
            layout=_DETECT_LAYOUT if layout.is_detection else _CLASSIFY_LAYOUT,
            usage=_DETECT_USAGE if layout.is_detection else _CLASSIFY_USAGE,
            configs={},
            has_image_files=True,
            folders=layout.folders,
            records=self._metadata.describe([""]),
            notes=(_NO_VALIDATION.format(split=layout.evaluated),) if stands_in else () if layout.is_detection else (_CLASSIFY_NOTE,),
        )

    def add(self, sample: Sample, body: bytes) -> str | writer.Written:
        row = spool.to_row(sample, self._facts)
        row["file_name"] = path = self._images.write(self._layout.place(row), sample, body, self._entries(sample))
        self._metadata.add(sample, "", path)
        if (record := self._layout.record(row)) is not None:
            self._ndjson.write(orjson.dumps(record) + b"\n")
        if not self._layout.is_detection:
            return path
        beside = self._layout.labels_path(path)
        return writer.Written(path, beside, image_files.write_beside(self._folder, beside, self._layout.labels(row)))

    def _entries(self, sample: Sample) -> int:
        """How many images lie in the folder of an image: with boxes those of its split, else those of its class."""
        of_split = self._facts.splits[sample.split]
        return of_split if self._layout.is_detection else self._facts.split_labels[sample.split].get(sample.label or "", of_split)

    def finish(self) -> dict[str, FileFacts]:
        files = self._metadata.finish() | {_NDJSON: self._ndjson.finish()}
        if self._layout.is_detection:
            yaml = HashedFile(self._folder / _YAML)
            yaml.write(self._layout.yaml())
            files[_YAML] = yaml.finish()
        return files

    def abandon(self) -> None:
        self._metadata.abandon()
        self._ndjson.abandon()


def _inspect(inspection: verify.Inspection) -> Iterator[None]:
    manifest = inspection.manifest
    try:
        layout = _Layout(manifest.mapping("splits"), manifest.mapping("class_folders"), manifest.mapping("boxes"))
    except ValueError as error:
        inspection.add_problem(str(error))
        return
    records = _read_records(inspection, layout)
    for path, row in image_files.read_metadata(inspection, ""):
        image_files.inspect_image(inspection, path, row)
        try:
            _inspect_row(inspection, path, row, layout, records)
        except annotations.MALFORMED:
            inspection.add_problem(f"{path}: its row is not one of an export")
        yield
    if next(records, None) is not None:
        inspection.add_problem(f"{_NDJSON}: has images of which no row is known")
    if layout.is_detection:
        with inspection.open_file(_YAML) as file:
            if file and file.read() != layout.yaml():
                inspection.add_problem(f"{_YAML}: does not have the splits and classes of the dataset")
    image_files.inspect_tree(inspection)


def _inspect_row(inspection: verify.Inspection, path: str, row: verify.Row, layout: _Layout, records: Iterator[Any]) -> None:
    if not image_files.is_in(path, layout.place(row)):
        inspection.add_problem(f"{path}: is not in the folder of its split and label")
    if layout.is_detection:
        name = layout.labels_path(path)
        found = image_files.read_beside(inspection, name)
        if found is not None and found != layout.labels(row):
            inspection.add_problem(f"{name}: differs from the boxes of its row")
    record = layout.record(row)
    if record is not None and next(records, None) != orjson.loads(orjson.dumps(record)):
        inspection.add_problem(f"{path}: its line in {_NDJSON} differs from its row")


def _read_records(inspection: verify.Inspection, layout: _Layout) -> Iterator[Any]:
    with inspection.open_file(_NDJSON) as file:
        header = verify.parse_object(next(iter(file or ()), b"")) or {}
        if header != layout.header(header.get("name", "")):
            inspection.add_problem(f"{_NDJSON}: does not have the classes of the dataset")
        for line in file or ():
            yield verify.parse_object(line)
