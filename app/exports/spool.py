"""The first pass over the samples: spool them to disk and count what a format must know before it writes its first byte."""

import asyncio
import dataclasses
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any
from urllib.parse import urlsplit

import orjson

import errors
from app.boxes import Box
from app.domain import Sample
from app.exports import names
from app.exports.extra_columns import ColumnCounter, ExtraColumn
from app.exports.shard_counter import ShardCounter
from app.images.split_groups import SplitKeys, SplitTable

__all__ = [
    "INTEGER_COLUMNS",
    "LIST_COLUMNS",
    "OBJECTS",
    "OPTIONAL_COLUMNS",
    "RESERVED_COLUMNS",
    "DatasetFacts",
    "Spool",
    "all_texts",
    "class_of",
    "column_kinds",
    "column_names",
    "encode_row",
    "host_of",
    "to_row",
]

OPTIONAL_COLUMNS = (
    *("caption", "captions", "title", "page_url"),
    *("license", "license_url", "license_raw", "license_confidence", "license_note"),
    *("creator", "creator_url", "attribution", "group_id", "phash", "changes"),
)
"""Optional columns. A column is written for all samples if any sample has it, so that every reader sees one schema. ``captions`` are
written if any sample has several, and ``labels`` likewise."""

LIST_COLUMNS = frozenset({"captions", "labels"})
"""Columns with a list of texts; all others hold one value."""

OBJECTS = "objects"
"""The column of boxes, there if any sample has one: ``bbox`` and ``category``, as Hugging Face's guide to object detection has them."""

_WRITE_LINES = 500
_READ_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """Counts over all samples. Mappings are sorted by key.

    Attributes:
        labels: number of samples of each class; empty if no sample has a label.
        unlabelled: number of samples without a label.
        split_labels: the same within each split.
        columns: the optional columns that at least one sample has.
        licenses: number of images under each licence; ``""`` where none is stated.
        hosts: number of images from each host and their bytes; ``""`` for images without a web address.
        has_labels: whether any sample has several labels.
        boxes: number of boxes of each class.
        label_names: the names of all labels, the first of an image or not, sorted.
        extra: the further columns of the list.
        left_out: number of further columns beyond the first 200.
        shards: number of shards of each split, as :class:`app.exports.shard_counter.ShardCounter` counts them.
        largest_bytes: size of the largest image.
        filled: in each split, the columns that may be null or an empty list, and are neither in at least one row.
        split_table: what each image may share with images of other splits.
    """

    samples: int
    image_bytes: int
    splits: Mapping[str, int]
    labels: Mapping[str, int]
    split_labels: Mapping[str, Mapping[str, int]]
    columns: tuple[str, ...]
    licenses: Mapping[str, int]
    sources: Mapping[str, int]
    extensions: Mapping[str, int]
    unlabelled: int = 0
    has_labels: bool = False
    boxes: Mapping[str, int] = field(default_factory=dict)
    label_names: tuple[str, ...] = ()
    extra: tuple[ExtraColumn, ...] = ()
    left_out: int = 0
    shards: Mapping[str, int] = field(default_factory=dict)
    largest_bytes: int = 0
    filled: Mapping[str, frozenset[str]] = field(default_factory=dict)
    hosts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    split_table: SplitTable = field(default_factory=SplitTable, compare=False, repr=False)

    @property
    def has_captions(self) -> bool:
        """Whether at least one sample has a caption."""
        return "caption" in self.columns

    @property
    def classes(self) -> tuple[str, ...]:
        """All classes, sorted by name; the position of a class is its number."""
        return tuple(self.labels)

    @property
    def shown_split(self) -> str:
        """The split that examples of the card load."""
        return "train" if "train" in self.splits else next(iter(self.splits), "train")

    @property
    def absent_labels(self) -> dict[str, list[str]]:
        """The classes without a sample in a split, for each split that has such classes."""
        lacking = {split: [name for name in self.labels if name not in found] for split, found in self.split_labels.items()}
        return {split: classes for split, classes in lacking.items() if classes}


class Spool:
    """Samples in an unnamed temporary file, which the system deletes with the process."""

    def __init__(self, folder: Path, shards: ShardCounter) -> None:
        self._file = TemporaryFile(dir=folder)  # noqa: SIM115 - closed by close()
        self._tally = _FactsCounter(shards)

    async def fill(self, samples: AsyncIterator[Sample]) -> DatasetFacts:
        """Store every sample, in order. Invalid Unicode in its text is replaced."""
        lines: list[bytes] = []
        async for sample in samples:
            names.check_sample(sample, self._tally.samples)
            line, sample = _to_json_line(sample)
            self._tally.add(sample)
            lines.append(line)
            if len(lines) >= _WRITE_LINES:
                await asyncio.to_thread(self._file.writelines, lines)
                lines = []
        await asyncio.to_thread(self._file.writelines, lines)
        return self._tally.facts()

    async def read(self) -> AsyncIterator[Sample]:
        """Every sample again, in order."""
        self._file.seek(0)
        while lines := await asyncio.to_thread(self._file.readlines, _READ_BYTES):
            for line in lines:
                row = orjson.loads(line)
                boxes = tuple(Box(**box) for box in row["boxes"])
                yield Sample(**row | {"captions": tuple(row["captions"]), "labels": tuple(row["labels"]), "boxes": boxes})

    def close(self) -> None:
        """Free the disk space."""
        self._file.close()


def class_of(sample: Sample, facts: DatasetFacts) -> str | None:
    """The class of a sample; ``None`` where it has no label."""
    return (sample.label or None) if facts.labels else None


def host_of(url: str) -> str:
    """The host of a URL, lower case; ``""`` where it has none, as that of a file."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


class _FactsCounter:
    def __init__(self, shards: ShardCounter) -> None:
        self.samples = 0
        self._shards = shards
        self._largest_bytes = 0
        self._filled: dict[str, set[tuple[str, bool]]] = {}
        self._bytes = 0
        self._labels: Counter[tuple[str, str | None]] = Counter()
        self._columns: set[str] = set()
        self._licenses: Counter[str] = Counter()
        self._sources: Counter[str] = Counter()
        self._extensions: Counter[str] = Counter()
        self._hosts: Counter[str] = Counter()
        self._host_bytes: Counter[str] = Counter()
        self._has_labels = False
        self._boxes: Counter[str] = Counter()
        self._label_names: set[str] = set()
        self._extra = ColumnCounter()
        self._split_table = SplitTable()

    def add(self, sample: Sample) -> None:
        self.samples += 1
        self._bytes += sample.size_bytes
        self._labels[sample.split, sample.label or None] += 1
        self._columns.update(name for name in OPTIONAL_COLUMNS if getattr(sample, name))
        self._licenses[sample.license or ""] += 1
        self._sources[sample.source] += 1
        self._extensions[sample.extension] += 1
        host = host_of(sample.url)
        self._hosts[host] += 1
        self._host_bytes[host] += sample.size_bytes
        self._has_labels = self._has_labels or len(sample.labels) > 1
        self._boxes.update(box.label for box in sample.boxes)
        self._label_names.update(all_texts(sample, "labels"))
        self._extra.add(sample.extra)
        self._shards.add(sample)
        self._largest_bytes = max(self._largest_bytes, sample.size_bytes)
        self._add_filled(sample)
        keys = SplitKeys(sample.phash, sample.group_id, sample.creator, sample.page_url, sample.url)
        self._split_table.add(keys, sample.split)

    def _add_filled(self, sample: Sample) -> None:
        lists = {name: all_texts(sample, name) for name in LIST_COLUMNS}
        own = {"label": sample.label, OBJECTS: sample.boxes} | lists
        filled = self._filled.setdefault(sample.split, set())
        filled.update((name, False) for name, value in own.items() if value)
        filled.update((name, True) for name in sample.extra)

    def facts(self) -> DatasetFacts:
        extra = self._extra.columns(RESERVED_COLUMNS)
        exported = {(column.source, True): column.name for column in extra}
        splits: Counter[str] = Counter()
        labels: Counter[str] = Counter()
        split_labels: dict[str, Counter[str]] = {}
        for (split, label), count in self._labels.items():
            splits[split] += count
            inside = split_labels.setdefault(split, Counter())
            if label:
                labels[label] += count
                inside[label] += count
        return DatasetFacts(
            samples=self.samples,
            image_bytes=self._bytes,
            splits=_sorted_counts(splits),
            labels=_sorted_counts(labels),
            split_labels={split: _sorted_counts(split_labels[split]) for split in sorted(split_labels)},
            columns=tuple(name for name in OPTIONAL_COLUMNS if name in self._columns),
            licenses=_sorted_counts(self._licenses),
            sources=_sorted_counts(self._sources),
            extensions=_sorted_counts(self._extensions),
            unlabelled=self.samples - labels.total(),
            has_labels=self._has_labels,
            boxes=_sorted_counts(self._boxes),
            label_names=tuple(sorted(self._label_names)),
            extra=extra,
            left_out=self._extra.left_out,
            shards=self._shards.counts(),
            largest_bytes=self._largest_bytes,
            filled={split: frozenset(exported.get(found, found[0]) for found in self._filled[split]) for split in sorted(self._filled)},
            hosts={host: (self._hosts[host], self._host_bytes[host]) for host in sorted(self._hosts)},
            split_table=self._split_table,
        )


def _to_json_line(sample: Sample) -> tuple[bytes, Sample]:
    try:
        return orjson.dumps(sample) + b"\n", sample
    except TypeError:  # a lone surrogate
        sample = _replace_surrogates(sample)
    try:
        return orjson.dumps(sample) + b"\n", sample
    except TypeError as error:
        raise errors.ValidationError(f"sample {sample.index} cannot be written as JSON") from error


def _replace_surrogates(sample: Sample) -> Sample:
    texts: dict[str, Any] = {
        part.name: value.encode("utf-8", "replace").decode()
        for part in dataclasses.fields(sample)
        if isinstance(value := getattr(sample, part.name), str)
    }
    return dataclasses.replace(sample, **texts)


def _sorted_counts(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))


INTEGER_COLUMNS = frozenset({"width", "height", "size_bytes"})
_REQUIRED_COLUMNS = ("split", "width", "height", "size_bytes", "media_type", "sha256", "source_sha256", "source", "url")
FEATURES = (
    *("image/encoded", "image/filename", "image/format", "image/height", "image/width", "image/class/label", "image/class/text"),
    *(f"image/object/{name}" for name in ("bbox/xmin", "bbox/xmax", "bbox/ymin", "bbox/ymax", "class/text")),
)
"""What TFRecord has beside the columns, named as TensorFlow's own datasets and its Object Detection API do."""

RESERVED_COLUMNS = ("file_name", "image", "label", "labels", OBJECTS, *_REQUIRED_COLUMNS, *OPTIONAL_COLUMNS, *FEATURES)
"""Names that a further column cannot have: ours, and ``image``, which Hugging Face gives the image itself."""


def column_names(facts: DatasetFacts) -> tuple[str, ...]:
    """The columns of every row, in order, without ``file_name`` and without the further columns of the list."""
    labels = (*(("label",) if facts.labels else ()), *(("labels",) if facts.has_labels else ()))
    return (*labels, *_REQUIRED_COLUMNS, *facts.columns, *((OBJECTS,) if facts.boxes else ()))


def column_kinds(facts: DatasetFacts) -> dict[str, str]:
    """Every column of a row, in order, with its kind: ``class``, ``list`` (of texts), ``objects``, or the type of its values."""
    kinds = {"label": "class", OBJECTS: "objects"} | dict.fromkeys(LIST_COLUMNS, "list") | dict.fromkeys(INTEGER_COLUMNS, "int64")
    own = {name: kinds.get(name, "string") for name in column_names(facts)}
    return own | {column.name: column.dtype for column in facts.extra}


def to_row(sample: Sample, facts: DatasetFacts, file_name: str | None = None) -> dict[str, Any]:
    """One image as a JSON object. ``file_name`` is relative to the folder of the file that holds the row."""
    values: dict[str, Any] = {} if file_name is None else {"file_name": file_name}
    for name in column_names(facts):
        if name == "label":
            values[name] = class_of(sample, facts)
        elif name == OBJECTS:
            values[name] = _objects(sample.boxes)
        elif name in LIST_COLUMNS:
            values[name] = all_texts(sample, name)
        else:
            values[name] = getattr(sample, name) or _empty_value(name)
    return values | {column.name: column.value(sample.extra) for column in facts.extra}


def _objects(boxes: Sequence[Box]) -> dict[str, Any]:
    return {"bbox": [[box.x, box.y, box.width, box.height] for box in boxes], "category": [box.label for box in boxes]}


def all_texts(sample: Sample, name: str) -> list[str]:
    """All ``captions`` or ``labels`` of a sample."""
    one = sample.caption if name == "captions" else sample.label
    several = sample.captions if name == "captions" else sample.labels
    return list(several) or ([one] if one else [])


def encode_row(values: dict[str, Any]) -> bytes:
    """One line of JSON, without its newline."""
    return orjson.dumps(values)


_EMPTY = {"license_confidence": "unknown"}
"""Values of columns in rows of older versions, which have none."""


def _empty_value(name: str) -> str | int:
    return 0 if name in INTEGER_COLUMNS else _EMPTY.get(name, "")
