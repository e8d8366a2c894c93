"""The first pass over the samples: spool them to disk and count what a format must know before it writes its first byte."""

import asyncio
import dataclasses
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import orjson

import errors
from app.domain import Sample
from app.exports import names

__all__ = ["INTEGER_COLUMNS", "OPTIONAL_COLUMNS", "DatasetFacts", "Spool", "class_of", "column_names", "encode_row", "to_row"]

OPTIONAL_COLUMNS = ("caption", "title", "page_url", "license", "license_url", "creator", "attribution", "group_id", "phash", "changes")
"""Optional text columns. A column is written for all samples if any sample has it, so that every reader sees one schema."""

_WRITE_LINES = 500
_READ_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """Counts over all samples. Mappings are sorted by key.

    Attributes:
        labels: number of samples of each class; empty if no sample has a label.
        split_labels: the same within each split.
        columns: the optional columns that at least one sample has.
        licenses: number of images under each licence; ``""`` where none is stated.
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

    @property
    def has_captions(self) -> bool:
        """Whether at least one sample has a caption."""
        return "caption" in self.columns

    @property
    def classes(self) -> tuple[str, ...]:
        """All classes, sorted by name; the position of a class is its number."""
        return tuple(self.labels)

    @property
    def absent_labels(self) -> dict[str, list[str]]:
        """The classes without a sample in a split, for each split that has such classes."""
        lacking = {split: [name for name in self.labels if name not in found] for split, found in self.split_labels.items()}
        return {split: classes for split, classes in lacking.items() if classes}


class Spool:
    """Samples in an unnamed temporary file, which the system deletes with the process."""

    def __init__(self, folder: Path) -> None:
        self._file = TemporaryFile(dir=folder)  # noqa: SIM115 - closed by close()
        self._tally = _FactsCounter()

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
                yield Sample(**orjson.loads(line))

    def close(self) -> None:
        """Free the disk space."""
        self._file.close()


def class_of(sample: Sample, facts: DatasetFacts) -> str | None:
    """The class of a sample; ``None`` only where no sample has a label."""
    if not facts.labels:
        return None
    return sample.label or names.UNLABELLED


class _FactsCounter:
    def __init__(self) -> None:
        self.samples = 0
        self._bytes = 0
        self._labels: Counter[tuple[str, str | None]] = Counter()
        self._columns: set[str] = set()
        self._licenses: Counter[str] = Counter()
        self._sources: Counter[str] = Counter()
        self._extensions: Counter[str] = Counter()

    def add(self, sample: Sample) -> None:
        self.samples += 1
        self._bytes += sample.size_bytes
        self._labels[sample.split, sample.label or None] += 1
        self._columns.update(name for name in OPTIONAL_COLUMNS if getattr(sample, name))
        self._licenses[sample.license or ""] += 1
        self._sources[sample.source] += 1
        self._extensions[sample.extension] += 1

    def facts(self) -> DatasetFacts:
        splits: Counter[str] = Counter()
        labels: Counter[str] = Counter()
        split_labels: dict[str, Counter[str]] = {}
        labelled = any(label for _, label in self._labels)
        for (split, label), count in self._labels.items():
            splits[split] += count
            inside = split_labels.setdefault(split, Counter())
            if labelled:
                labels[label or names.UNLABELLED] += count
                inside[label or names.UNLABELLED] += count
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
        field.name: value.encode("utf-8", "replace").decode()
        for field in dataclasses.fields(sample)
        if isinstance(value := getattr(sample, field.name), str)
    }
    return dataclasses.replace(sample, **texts)


def _sorted_counts(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))


INTEGER_COLUMNS = frozenset({"width", "height", "size_bytes"})
_REQUIRED_COLUMNS = ("split", "width", "height", "size_bytes", "media_type", "sha256", "source_sha256", "source", "url")


def column_names(facts: DatasetFacts) -> tuple[str, ...]:
    """The columns of every row, in order, without ``file_name``."""
    return (*(("label",) if facts.labels else ()), *_REQUIRED_COLUMNS, *facts.columns)


def to_row(sample: Sample, facts: DatasetFacts, file_name: str | None = None) -> dict[str, Any]:
    """One image as a JSON object. ``file_name`` is relative to the folder of the file that holds the row."""
    values: dict[str, Any] = {} if file_name is None else {"file_name": file_name}
    for name in column_names(facts):
        values[name] = class_of(sample, facts) if name == "label" else (getattr(sample, name) or _empty_value(name))
    return values


def encode_row(values: dict[str, Any]) -> bytes:
    """One line of JSON, without its newline."""
    return orjson.dumps(values)


def _empty_value(name: str) -> str | int:
    return 0 if name in INTEGER_COLUMNS else ""
