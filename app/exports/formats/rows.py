"""``jsonl`` and ``csv``: a row for each image and no image. Either file is a list that ``pictrawl build --urls`` reads again."""

import csv
import io
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import orjson

import errors
from app.domain import Sample
from app.exports import features, spool, verify, writer
from app.exports.cards import CardParts
from app.exports.exporter import ExportOptions, ExportReport, Load, Read, VerifyReport
from app.exports.hashed_file import FileFacts, HashedFile
from app.exports.papers.records import CSV, JSON_LINES, Records, columns_of
from app.exports.spool import DatasetFacts
from app.exports.verify import Inspection

__all__ = ["CSV_FILE", "JSONL_FILE", "MAX_CELL_CHARS", "CsvExporter", "JsonLinesExporter"]

JSONL_FILE = "images.jsonl"
CSV_FILE = "images.csv"

MAX_CELL_CHARS = 131_072
"""The default of ``csv.field_size_limit``: Python's reader, and those built on it, fail over a larger cell."""

_NO_IMAGES = "The images are not in this dataset: `url` says where each was, `source_sha256` what it was."
_LIST = "`pictrawl build --urls {file}` fetches them again, with labels, captions, splits and licences."

_JSONL_USAGE = """\
import json
rows = [json.loads(line) for line in open("images.jsonl", encoding="utf-8")]
"""

_CSV_USAGE = """\
import csv
rows = list(csv.DictReader(open("images.csv", encoding="utf-8", newline="")))
"""
_CSV_NOTE = """\
RFC 4180 in UTF-8. A missing value is an empty cell, a list is JSON in its cell. Texts stand as they are: a spreadsheet takes one that
begins with `=`, `+`, `-` or `@` for a formula unless its column is imported as text."""


class JsonLinesExporter:
    """Writes and verifies the ``jsonl`` format."""

    format = "jsonl"
    extensions = None
    holds_images = False

    async def write(self, samples: AsyncIterator[Sample], read: Read, folder: Path, options: ExportOptions) -> ExportReport:
        """See :class:`app.exports.exporter.Exporter`."""
        return await writer.write_export(samples, read, folder, options, _JsonLinesWriter, self.format, holds_images=False)

    async def verify(self, folder: Path, report: ExportReport, load: Load | None = None) -> VerifyReport:
        """See :class:`app.exports.exporter.Exporter`."""
        return await verify.verify_folder(folder, report, _inspect_json_lines, self.extensions, load)


class CsvExporter:
    """Writes and verifies the ``csv`` format."""

    format = "csv"
    extensions = None
    holds_images = False

    async def write(self, samples: AsyncIterator[Sample], read: Read, folder: Path, options: ExportOptions) -> ExportReport:
        """See :class:`app.exports.exporter.Exporter`."""
        return await writer.write_export(samples, read, folder, options, _CsvWriter, self.format, holds_images=False)

    async def verify(self, folder: Path, report: ExportReport, load: Load | None = None) -> VerifyReport:
        """See :class:`app.exports.exporter.Exporter`."""
        return await verify.verify_folder(folder, report, _inspect_csv, self.extensions, load)


class _RowsWriter:
    """One file with a line for each sample."""

    def __init__(
        self,
        folder: Path,
        facts: DatasetFacts,
        *,
        name: str,
        usage: str,
        described_by: Callable[[DatasetFacts], tuple[str, ...]],
        records: Records,
        notes: tuple[str, ...] = (),
    ) -> None:
        self._facts = facts
        self._name = name
        self._file = HashedFile(folder / name)
        self.card = CardParts(
            layout=f"{name}    one row per image: url, label, split, licence ...\n",
            usage=usage,
            configs={"train": name} if facts.samples else {},
            has_image_files=False,
            folders={},
            config_features=described_by(facts) if facts.samples else (),
            records=records,
            notes=(f"{_NO_IMAGES} {_LIST.format(file=name)}", *notes),
        )

    def finish(self) -> dict[str, FileFacts]:
        return {self._name: self._file.finish()}

    def abandon(self) -> None:
        self._file.abandon()


class _JsonLinesWriter(_RowsWriter):
    def __init__(self, folder: Path, facts: DatasetFacts, options: ExportOptions) -> None:
        records = Records((JSONL_FILE,), JSON_LINES, columns_of(facts))
        super().__init__(folder, facts, name=JSONL_FILE, usage=_JSONL_USAGE, described_by=features.of_json, records=records)

    def add(self, sample: Sample, body: bytes) -> str:
        self._file.write(spool.encode_row(spool.to_row(sample, self._facts)) + b"\n")
        return f"{self._name}#row={sample.index + 1}"


class _CsvWriter(_RowsWriter):
    def __init__(self, folder: Path, facts: DatasetFacts, options: ExportOptions) -> None:
        records = Records((CSV_FILE,), CSV, columns_of(facts, lists_as_text=True))
        super().__init__(folder, facts, name=CSV_FILE, usage=_CSV_USAGE, described_by=features.of_csv, records=records, notes=(_CSV_NOTE,))
        self._file.write(_record([*spool.column_names(facts), *(column.name for column in facts.extra)]))

    def add(self, sample: Sample, body: bytes) -> str:
        row = spool.to_row(sample, self._facts)
        cells = {name: _cell(value) for name, value in row.items()}
        for name, cell in cells.items():
            if len(cell) > MAX_CELL_CHARS:
                raise errors.ValidationError(
                    f"image {sample.image_id}: its column {name} has {len(cell)} characters, and a cell of CSV at most {MAX_CELL_CHARS}; "
                    "export it as jsonl"
                )
        self._file.write(_record(list(cells.values())))
        return f"{self._name}#row={sample.index + 2}"  # RFC 7111 counts the header


def _cell(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return orjson.dumps(value).decode()  # numbers, true and false, and lists, as JSON spells them


def _record(cells: list[str]) -> bytes:
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue().encode()


def _inspect_json_lines(inspection: Inspection) -> Iterator[None]:
    with inspection.open_file(JSONL_FILE) as file:
        for number, line in enumerate(file or (), start=1):
            row = verify.parse_object(line)
            if row is None:
                inspection.add_problem(f"{JSONL_FILE}#row={number}: not a JSON object")
            else:
                inspection.count_row(row)
            yield
    inspection.find_unlisted()


def _inspect_csv(inspection: Inspection) -> Iterator[None]:
    with inspection.open_file(CSV_FILE) as file:
        lines = io.TextIOWrapper(file, "utf-8", "replace", newline="") if file else ()
        rows = csv.reader(lines, strict=True)
        try:
            header = next(rows, [])
            for number, cells in enumerate(rows, start=2):
                if len(cells) == len(header):
                    inspection.count_row(_typed(dict(zip(header, cells, strict=True))))
                else:
                    inspection.add_problem(f"{CSV_FILE}#row={number}: {len(cells)} cells, the header has {len(header)}")
                yield
        except csv.Error as error:
            inspection.add_problem(f"{CSV_FILE}: not a CSV file as RFC 4180 describes it: {error}")
    inspection.find_unlisted()


def _typed(row: dict[str, str]) -> verify.Row:
    """The row with the values that are counted in their types."""
    size_bytes = row.get("size_bytes", "")
    return row | {"label": row.get("label") or None, "size_bytes": int(size_bytes) if size_bytes.isdecimal() else 0}
