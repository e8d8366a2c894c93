"""``parquet``: shards as Hugging Face datasets write them, a row for each image with its bytes. pyarrow is the extra ``parquet``.

The hub stores files in chunks that end where their content says, and takes new chunks only. So that two versions of a dataset share most of
them, pages and row groups end by their content too, and images are not compressed again.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

import errors
from app import extras
from app.domain import Sample
from app.exports import features, names, shards, spool, verify, writer
from app.exports.cards import CardParts
from app.exports.exporter import PILLOW_EXTENSIONS, ExportOptions, ExportReport, Load, Read, VerifyReport
from app.exports.hashed_file import FileFacts, HashedFile, hash_bytes
from app.exports.papers.records import PARQUET, Records, columns_of
from app.exports.spool import DatasetFacts, class_of
from app.exports.verify import Inspection

__all__ = ["ParquetExporter", "ends_row_group"]

FOLDER = "data"
SUFFIX = "parquet"

CHUNKING = {"min_chunk_size": 2 * 1024, "max_chunk_size": 8 * 1024, "norm_level": 0}
"""Of pages, in bytes: an image of more is a page of its own, whose header stands in front of it. The defaults of ``datasets`` (256 KiB to
1 MiB) end a page after eight images or so, counted from the last end, so that a removed row moves ends far behind it: where 20 of 1,000
images of 100 KB change, 9 to 14 % of the bytes are new chunks, and 4 to 5 % with these."""

MIN_GROUP_ROWS, MAX_GROUP_ROWS = 50, 200
GROUP_BYTES = 32_000_000
"""Of the images in a row group, which is held in memory until it is written."""

_BOUNDARY = 64
"""After the fewest rows one in so many ends its group: groups have 110 rows on average."""

MAX_IMAGE_BYTES = 2**31 - 1
"""Offsets in an array of Arrow's type ``binary`` have 32 bits (Arrow columnar format, "Variable-size Binary Layout")."""

_READ_ROWS, _READ_BYTES = 16, 1 << 20
"""Rows in memory while a file is verified, and bytes that are read of a column at once; without it pyarrow reads those of a row group."""

VIEWER_BYTES = 2_000_000
"""Of a row; the dataset viewer of the hub may leave larger ones out."""

_LAYOUT = """\
data/<split>-00000-of-00001.parquet    one row per image: image {bytes, path}, label, split, licence ...
"""
_USAGE = """\
from datasets import load_dataset
dataset = load_dataset("path/to/this/folder")
"""
_LABELS = """\
`label` is the number of a class, whose name `features["label"].int2str` gives."""
_LARGE = """\
The dataset viewer of the hub may leave out rows of more than 2 MB. The largest image has {:,} bytes; `--resize` makes smaller ones."""


class ParquetExporter:
    """Writes and verifies the ``parquet`` format."""

    format = "parquet"
    extensions = PILLOW_EXTENSIONS
    holds_images = True

    async def write(self, samples: AsyncIterator[Sample], read: Read, folder: Path, options: ExportOptions) -> ExportReport:
        """See :class:`app.exports.exporter.Exporter`."""
        return await writer.write_export(samples, read, folder, options, _ParquetWriter, self.format)

    async def verify(self, folder: Path, report: ExportReport, load: Load | None = None) -> VerifyReport:
        """See :class:`app.exports.exporter.Exporter`."""
        return await verify.verify_folder(folder, report, _inspect, self.extensions, load)


def ends_row_group(rows: int, size_bytes: int, sha256: str) -> bool:
    """Whether a row group of so many rows and bytes ends with the image of this digest.

    By the digest, so that a row that is added or removed moves the end of its own group only.
    """
    if rows >= MAX_GROUP_ROWS or size_bytes >= GROUP_BYTES:
        return True
    return rows >= MIN_GROUP_ROWS and int(sha256[:8], 16) % _BOUNDARY == 0


class _ParquetWriter:
    def __init__(self, folder: Path, facts: DatasetFacts, options: ExportOptions) -> None:
        if facts.largest_bytes > MAX_IMAGE_BYTES:
            raise errors.ValidationError(
                f"an image of {facts.largest_bytes} bytes: a row of Parquet holds up to {MAX_IMAGE_BYTES}; resize it, or export as files"
            )
        (folder / FOLDER).mkdir()
        schema = _schema(facts)
        self._shards = shards.ShardSet(
            folder, options, facts.shards, lambda file: _Shard(file, facts, schema), prefix=f"{FOLDER}/", suffix=SUFFIX
        )
        self.card = CardParts(
            layout=_LAYOUT,
            usage=_USAGE,
            configs={split: f"{FOLDER}/{split}-*" for split in facts.splits},
            has_image_files=False,
            folders={},
            info_features=features.of_table(facts) if facts.samples else (),
            records=Records((f"{FOLDER}/*.{SUFFIX}",), PARQUET, columns_of(facts, with_image=True)),
            notes=(
                *((_LABELS,) if facts.labels else ()),
                *((_LARGE.format(facts.largest_bytes),) if facts.largest_bytes > VIEWER_BYTES else ()),
            ),
        )

    def add(self, sample: Sample, body: bytes) -> str:
        return self._shards.add(sample, body)

    def finish(self) -> dict[str, FileFacts]:
        return self._shards.finish()

    def abandon(self) -> None:
        self._shards.abandon()


class _Shard:
    """One file. The rows of a group are collected, then written at once."""

    def __init__(self, file: HashedFile, facts: DatasetFacts, schema: Any) -> None:
        pyarrow, parquet = _pyarrow()
        self._facts = facts
        self._numbers = {name: number for number, name in enumerate(facts.classes)}
        self._rows: list[dict[str, Any]] = []
        self._size_bytes = 0
        self._make_table = pyarrow.Table.from_pylist
        self._schema = schema
        texts = [column.name for column in schema if pyarrow.types.is_string(column.type)]
        self._writer = parquet.ParquetWriter(
            _Sink(file),
            schema,
            compression=dict.fromkeys(texts, "SNAPPY"),  # and nothing else
            use_dictionary=texts,
            write_statistics=[column.name for column in schema if column.name != "image"],
            use_content_defined_chunking=CHUNKING,
            write_page_index=True,
        )
        self._writer.add_key_value_metadata({"content_defined_chunking": orjson.dumps(CHUNKING).decode()})

    def add(self, sample: Sample, body: bytes) -> None:
        row = {"image": {"bytes": body, "path": names.image_name(sample)}} | spool.to_row(sample, self._facts)
        if self._facts.labels:
            row["label"] = self._numbers.get(class_of(sample, self._facts) or "")
        self._rows.append(row)
        self._size_bytes += len(body)
        if ends_row_group(len(self._rows), self._size_bytes, sample.sha256):
            self._write_group()

    def finish(self) -> None:
        if self._rows:
            self._write_group()
        self._writer.close()

    def _write_group(self) -> None:
        table = self._make_table(self._rows, schema=self._schema)
        self._rows, self._size_bytes = [], 0
        self._writer.write_table(table, row_group_size=table.num_rows)


class _Sink:
    """A file that pyarrow writes to, and does not close."""

    closed = False

    def __init__(self, file: HashedFile) -> None:
        self._file = file

    def write(self, piece: bytes) -> None:
        self._file.write(piece)

    def tell(self) -> int:
        return self._file.size_bytes

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


def _pyarrow() -> tuple[Any, Any]:
    what = "the format parquet"
    return extras.require("pyarrow", "parquet", what), extras.require("pyarrow.parquet", "parquet", what)


def _schema(facts: DatasetFacts) -> Any:
    """The columns with their types, and as features of Hugging Face datasets in the metadata of the schema."""
    pyarrow, _ = _pyarrow()
    described = {"image": {"_type": "Image"}} | dict(_features(facts))
    fields = [(name, _arrow_type(pyarrow, feature)) for name, feature in described.items()]
    return pyarrow.schema(fields, metadata={"huggingface": orjson.dumps({"info": {"features": described}})})


def _arrow_type(pyarrow: Any, feature: Mapping[str, Any]) -> Any:
    """The type in which ``datasets`` stores a feature; it honours a feature only where the column has this type."""
    match feature.get("_type"):
        case "Image":
            return pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
        case "ClassLabel":
            return pyarrow.int64()
        case "Sequence":
            return pyarrow.list_(_arrow_type(pyarrow, feature["feature"]), feature.get("length", -1))
        case "Value":
            return pyarrow.type_for_alias(feature["dtype"])
        case _:
            return pyarrow.struct([(name, _arrow_type(pyarrow, inner)) for name, inner in feature.items()])


_TEXTS = {"feature": {"dtype": "string", "_type": "Value"}, "_type": "Sequence"}
_BOX = {"feature": {"dtype": "float64", "_type": "Value"}, "length": 4, "_type": "Sequence"}
_BOXES = {"feature": _BOX, "_type": "Sequence"}


def _features(facts: DatasetFacts) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and feature of every column but the image, as ``Features.to_dict`` of ``datasets`` spells them.

    A list is a ``Sequence``: what it was called before version 4 is read by all versions.
    """
    for column, kind in spool.column_kinds(facts).items():
        if kind == "class":
            yield column, {"names": facts.classes, "_type": "ClassLabel"}
        elif kind == "list":
            yield column, _TEXTS
        elif kind == "objects":
            yield column, {"bbox": _BOXES, "category": _TEXTS}
        else:
            yield column, {"dtype": kind, "_type": "Value"}


def _inspect(inspection: Inspection) -> Iterator[None]:
    """Read every shard that the manifest lists, a few rows at a time."""
    pyarrow, parquet = _pyarrow()
    classes = sorted(inspection.manifest.mapping("labels"))
    schema = None
    for path, split in shards.list_shards(inspection, prefix=f"{FOLDER}/", suffix=SUFFIX):
        with inspection.open_file(path) as file:
            if file is None:
                continue
            try:
                source = parquet.ParquetFile(file, pre_buffer=False, buffer_size=_READ_BYTES)
                schema = schema or source.schema_arrow
                if not source.schema_arrow.equals(schema, check_metadata=True):
                    inspection.add_problem(f"{path}: has other columns than the first shard")
                for batch in source.iter_batches(_READ_ROWS):
                    yield from _inspect_batch(inspection, path, split, batch, classes)
            except (pyarrow.ArrowException, OSError, ValueError) as error:
                inspection.add_problem(f"{path}: not a valid Parquet file: {str(error).splitlines()[0]}")
    if schema is not None and _class_names(schema) != classes:
        inspection.add_problem(f"{FOLDER}: the classes of the column label are not the sorted names of the labels")
    inspection.find_unlisted()


def _inspect_batch(inspection: Inspection, path: str, split: str, batch: Any, classes: list[str]) -> Iterator[None]:
    for row in batch.to_pylist():
        image = row.pop("image", None) or {}
        body, name = image.get("bytes"), image.get("path")
        if not isinstance(body, bytes) or not isinstance(name, str):
            inspection.add_problem(f"{path}: a row without the bytes or the name of its image")
            continue
        number = row.get("label")
        label = classes[number] if isinstance(number, int) and 0 <= number < len(classes) else number
        inspection.count_image(f"{path}/{name}", hash_bytes(body), row | {"label": label}, body)
        if row.get("split") != split:
            inspection.add_problem(f"{path}/{name}: is in a shard of another split than its row states")
        yield


def _class_names(schema: Any) -> Any:
    """The names of the classes as the metadata of the schema states them; an empty list where there is no column of classes."""
    described = verify.parse_object((schema.metadata or {}).get(b"huggingface", b"")) or {}
    found: Any = described
    for key in ("info", "features", "label", "names"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found or []
