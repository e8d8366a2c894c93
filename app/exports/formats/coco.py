"""``coco``: images in a folder for each split, and for each split the annotation files of MS COCO, for pycocotools and what builds on it.

``instances`` has the boxes that a list brought, ``captions`` all captions. A label says what an image shows, not where: it goes into
``labels``, as annotations without a box, the form of iNaturalist and COCO Camera Traps. A box around the whole image would be a lie.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice, takewhile
from pathlib import Path
from tempfile import TemporaryFile
from types import MappingProxyType
from typing import Any

import orjson

from app.discovery.licences import url_of
from app.domain import Sample
from app.exports import annotations, features, image_files, names, spool, verify, writer
from app.exports.cards import CardParts
from app.exports.exporter import ExportOptions, ExportReport, Load, Read, VerifyReport
from app.exports.formats.imagefolder import TORCHVISION_EXTENSIONS
from app.exports.hashed_file import FileFacts, HashedFile
from app.exports.json_array import ArrayWriter, read_array
from app.exports.sidecars import valid_unicode
from app.exports.spool import DatasetFacts

__all__ = ["CocoExporter"]

_FOLDER = "annotations"
_UNSTATED = "not stated"
"""Name of the licence of images of which none is stated: each image of COCO has the id of one."""

_LAYOUT = """\
annotations/instances_<split>.json   images, licences, categories, and annotations with a box where the list had boxes
annotations/captions_<split>.json    with captions: an annotation for each
annotations/labels_<split>.json      with labels: annotations without a box
<split>/000000_<sha256[:12]>.jpg
<split>/metadata.jsonl               one row per image: file_name, label, licence ...
"""
_USAGE = """\
from pycocotools.coco import COCO
coco = COCO("annotations/instances_{split}.json")
image = coco.loadImgs(coco.getImgIds())[0]  # the file {split}/{{image["file_name"]}}
"""
_NOTE = """\
A label of an image is an annotation without `bbox` in `labels_<split>.json`, as in iNaturalist and COCO Camera Traps; `instances` has
what a list gave as boxes. Boxes are in pixels of the upright image: loaders must apply its EXIF orientation. Hugging Face datasets load
the folder too, `load_dataset("path/to/this/folder")`."""

Entry = dict[str, Any]


class CocoExporter:
    """Writes and verifies the ``coco`` format."""

    format = "coco"
    extensions = TORCHVISION_EXTENSIONS
    holds_images = True

    async def write(self, samples: AsyncIterator[Sample], read: Read, folder: Path, options: ExportOptions) -> ExportReport:
        """See :class:`app.exports.exporter.Exporter`."""
        return await writer.write_export(samples, read, folder, options, _CocoWriter, self.format)

    async def verify(self, folder: Path, report: ExportReport, load: Load | None = None) -> VerifyReport:
        """See :class:`app.exports.exporter.Exporter`."""
        return await verify.verify_folder(folder, report, _inspect, self.extensions, load)


class _Numbers:
    """The ids of categories and licences, from 1 in the order of their names."""

    def __init__(self, labels: Iterable[str], boxes: Iterable[str], licenses: Iterable[str]) -> None:
        self.categories = {name: number for number, name in enumerate(sorted({*labels, *boxes}), start=1)}
        self.licenses = {name: number for number, name in enumerate(sorted(licenses), start=1)}

    def head(self, kind: str) -> dict[str, list[Entry]]:
        """The entries for them in a file. Captions have no category, and pycocotools fails where their file has categories."""
        licenses = [{"id": number, "name": name or _UNSTATED, "url": url_of(name) or ""} for name, number in self.licenses.items()]
        categories = [{"id": number, "name": name, "supercategory": ""} for name, number in self.categories.items()]
        return {"licenses": licenses} | ({} if kind == "captions" else {"categories": categories})


def _image(row: verify.Row, image_id: int, numbers: _Numbers) -> Entry:
    return {
        "id": image_id,
        "file_name": row["file_name"],
        "width": row["width"],
        "height": row["height"],
        "license": numbers.licenses[row.get("license") or ""],
        "coco_url": row["url"],
    }


def _instances(row: verify.Row, numbers: _Numbers) -> Iterator[Entry]:
    for box in annotations.boxes_of(row):
        yield {
            "category_id": numbers.categories[box.label],
            "bbox": [box.x, box.y, box.width, box.height],
            "area": round(box.width * box.height, 2),
            "iscrowd": 0,
            "segmentation": [],
        }


def _captions(row: verify.Row, _: _Numbers) -> Iterator[Entry]:
    return ({"caption": caption} for caption in annotations.captions_of(row))


def _labels(row: verify.Row, numbers: _Numbers) -> Iterator[Entry]:
    return ({"category_id": numbers.categories[label]} for label in annotations.labels_of(row))


_KINDS: Mapping[str, Callable[[verify.Row, _Numbers], Iterator[Entry]]] = MappingProxyType(
    {"instances": _instances, "captions": _captions, "labels": _labels}
)
"""The annotations of an image in each kind of file."""


def _kinds(*, has_captions: bool, has_labels: bool) -> list[str]:
    return ["instances", *(["captions"] if has_captions else []), *(["labels"] if has_labels else [])]


class _CocoWriter:
    def __init__(self, folder: Path, facts: DatasetFacts, options: ExportOptions) -> None:
        self._facts = facts
        self._images = image_files.ImageWriter(folder, options)
        self._numbers = _Numbers(facts.label_names, facts.boxes, facts.licenses)
        self._metadata = image_files.MetadataFiles(folder, facts, facts.splits)
        self._files: dict[tuple[str, str], _CocoFile] = {}
        if facts.splits:
            (folder / _FOLDER).mkdir()
        for split in facts.splits:
            for kind in _kinds(has_captions=facts.has_captions, has_labels=bool(facts.labels)):
                self._files[split, kind] = _CocoFile(folder, _path(kind, split), {"info": _info(options)} | self._numbers.head(kind))
        self.card = CardParts(
            layout=_LAYOUT,
            usage=_USAGE.format(split=facts.shown_split),
            configs={split: f"{split}/**" for split in facts.splits},
            has_image_files=True,
            folders={},
            config_features=features.of_rows(facts) if facts.samples else (),
            records=self._metadata.describe(facts.splits),
            notes=(_NOTE, *features.untyped_note(facts)),
        )

    def add(self, sample: Sample, body: bytes) -> str:
        path = self._images.write(sample.split, sample, body, self._facts.splits[sample.split] + 1)
        file_name = path.removeprefix(f"{sample.split}/")
        self._metadata.add(sample, sample.split, file_name)
        row = spool.to_row(sample, self._facts, file_name)
        for kind, annotate in _KINDS.items():
            if (file := self._files.get((sample.split, kind))) is not None:
                file.add(_image(row, sample.index + 1, self._numbers), annotate(row, self._numbers))
        return path

    def finish(self) -> dict[str, FileFacts]:
        return self._metadata.finish() | {_path(kind, split): file.finish() for (split, kind), file in self._files.items()}

    def abandon(self) -> None:
        self._metadata.abandon()
        for file in self._files.values():
            file.abandon()


def _path(kind: str, split: str) -> str:
    return f"{_FOLDER}/{kind}_{split}.json"


def _info(options: ExportOptions) -> Entry:
    created = datetime.fromtimestamp(options.created_at, UTC)
    return {
        "description": valid_unicode(options.dataset_name),
        "url": "",
        "version": options.version,
        "year": created.year,
        "contributor": "",
        "date_created": f"{created:%Y/%m/%d}",
    }


def _key(name: str) -> bytes:
    return f'"{name}": '.encode()


def _opening(name: str) -> bytes:
    """The line that opens an array."""
    return _key(name) + b"[\n"


class _CocoFile:
    """A file of COCO. Its annotations stand behind its images: until then they are in a temporary file without a name."""

    def __init__(self, folder: Path, path: str, head: Mapping[str, Any]) -> None:
        self._annotations = TemporaryFile(dir=folder)  # noqa: SIM115 - closed by finish() or abandon()
        self._last_id = 0
        self._file = HashedFile(folder / path)
        self._file.write(b"{" + b"".join(orjson.dumps({name: value})[1:-1] + b",\n" for name, value in head.items()))
        self._file.write(_key("images"))
        self._images = ArrayWriter(self._file)

    def add(self, image: Entry, found: Iterator[Entry]) -> None:
        """Add an image and its annotations."""
        self._images.add(image)
        for annotation in found:
            self._last_id += 1
            self._annotations.write(orjson.dumps({"id": self._last_id, "image_id": image["id"]} | annotation) + b"\n")

    def finish(self) -> FileFacts:
        """Write the annotations and close the file."""
        self._images.close()
        self._file.write(b",\n" + _key("annotations"))
        array = ArrayWriter(self._file)
        self._annotations.seek(0)
        for line in self._annotations:
            array.add_encoded(line.removesuffix(b"\n"))
        array.close()
        self._file.write(b"}\n")
        self._annotations.close()
        return self._file.finish()

    def abandon(self) -> None:
        """Close the files after a failure."""
        self._annotations.close()
        self._file.abandon()


def _inspect(inspection: verify.Inspection) -> Iterator[None]:
    manifest = inspection.manifest
    numbers = _Numbers(manifest.texts("label_names"), manifest.mapping("boxes"), manifest.mapping("licenses"))
    for split in manifest.mapping("splits"):
        readers: Sequence[_CocoReader] | None = None
        for path, row in image_files.read_metadata(inspection, split):
            image_files.inspect_image(inspection, path, row)
            if row.get("split") != split or not image_files.is_in(path, split):
                inspection.add_problem(f"{path}: is not in the folder of its split")
            if readers is None:
                kinds = _kinds(has_captions="caption" in row, has_labels="label" in row)
                readers = [_CocoReader(inspection, kind, split, numbers) for kind in kinds]
            for reader in readers:
                reader.compare(path, row)
            yield
        for reader in readers or ():
            reader.finish()
    image_files.inspect_tree(inspection)


class _CocoReader:
    """Reads a file of COCO beside the rows of its split, whose images it has in the same order."""

    def __init__(self, inspection: verify.Inspection, kind: str, split: str, numbers: _Numbers) -> None:
        self._inspection = inspection
        self._path = _path(kind, split)
        self._numbers = numbers
        self._annotate = _KINDS[kind]
        self._last_id = 0
        if self._read_head() != numbers.head(kind):
            inspection.add_problem(f"{self._path}: its licences or categories are not those of the dataset")
        self._images = self._read_entries("images")
        self._annotations = self._read_entries("annotations")

    def compare(self, path: str, row: verify.Row) -> None:
        """Compare the next image and its annotations with their row."""
        try:
            image, expected = self._expected(path, row)
        except annotations.MALFORMED:
            self._inspection.add_problem(f"{path}: its row is not one of an export")
            return
        if next(self._images, None) != image:
            self._inspection.add_problem(f"{self._path}: the entry of {path} differs from its row")
        if list(islice(self._annotations, len(expected))) != expected:
            self._inspection.add_problem(f"{self._path}: the annotations of {path} differ from its row")

    def finish(self) -> None:
        """Find what no row stands for."""
        if next(self._images, None) is not None or next(self._annotations, None) is not None:
            self._inspection.add_problem(f"{self._path}: has images or annotations of which no row is known")

    def _expected(self, path: str, row: verify.Row) -> tuple[Entry, list[Entry]]:
        name = names.IMAGE_NAME.fullmatch(path.rpartition("/")[2])
        image_id = int(name[1]) + 1 if name else 0
        found = [{"image_id": image_id} | annotation for annotation in self._annotate(row, self._numbers)]
        numbered = [{"id": number} | annotation for number, annotation in enumerate(found, start=self._last_id + 1)]
        self._last_id += len(numbered)
        return _image(row, image_id, self._numbers), numbered

    def _read_head(self) -> Entry | None:
        with self._inspection.open_file(self._path) as file:
            head = b"".join(takewhile(lambda line: line != _opening("images"), file or ()))
        found = verify.parse_object(head.rstrip(b",\n") + b"}")
        return {name: value for name, value in (found or {}).items() if name != "info"}

    def _read_entries(self, name: str) -> Iterator[Any]:
        with self._inspection.open_file(self._path) as file:
            for line in file or ():
                if line == _opening(name):
                    break
            try:
                yield from read_array(iter(file or ()))
            except ValueError as error:
                self._inspection.add_problem(f"{self._path}: {name}: {error}")
