"""Parquet files with embedded images, as Hugging Face datasets write them: the rows without their images, and the image of any row.

pyarrow (extra ``parquet``) is imported on use.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from app import extras
from app.discovery.folders import local_file

__all__ = ["DamagedTable", "ImageTable", "open_table", "read_images", "rows"]

BATCH_ROWS = 1_000
IMAGE_ROWS = 16
"""Rows whose images are read at once; a row group is read in such parts."""

MAX_GROWTH, MIN_BYTES = 100, 1 << 28
"""Times its size that a row group may have unpacked, and the bytes that any of them may have; images hardly pack."""

_READ_BYTES = 1 << 20
_BINARY_NAMES = ("image", "img", "jpg", "jpeg", "png", "webp", "image_bytes", "bytes", "picture", "photo")
"""Columns of bytes that hold images although nothing in the file says so."""


class DamagedTable(Exception):
    """A Parquet file that cannot be read, or not from some row on; the message follows its name."""


@dataclass(frozen=True, slots=True)
class ImageTable:
    """An open Parquet file.

    Attributes:
        image: the column of images; ``is_struct`` says whether it holds ``bytes`` and ``path``.
        classes: the names behind the numbers of each column of labels.
    """

    source: Any
    image: str
    is_struct: bool
    classes: Mapping[str, list[str]] = field(default_factory=dict)


@contextmanager
def open_table(path: str) -> Iterator[ImageTable | None]:
    """Open a Parquet file for the body's time; None where it has no column of images.

    Raises:
        DamagedTable: it is no Parquet file, or a damaged one.
        errors.ConfigurationError: pyarrow is not installed.
        OSError: the file cannot be read.
        errors.UnreadableError: it is no regular file.
    """
    pyarrow = extras.require("pyarrow", "parquet", "reading a Parquet file")
    parquet = extras.require("pyarrow.parquet", "parquet", "reading a Parquet file")
    with local_file.opened(path) as (file, _):
        try:
            source = parquet.ParquetFile(file, buffer_size=_READ_BYTES, pre_buffer=False)
            features = _features(source.schema_arrow.metadata or {})
            image = _image_column(source.schema_arrow, features, pyarrow.types)
        except (pyarrow.ArrowException, OSError, ValueError) as exc:
            raise DamagedTable("is no Parquet file, or a damaged one") from exc
        if image is None:
            yield None
            return
        is_struct = pyarrow.types.is_struct(source.schema_arrow.field(image).type)
        yield ImageTable(source, image, is_struct, _classes(features))


def _features(metadata: Mapping[bytes, bytes]) -> Mapping[str, Any]:
    """Return the types that Hugging Face datasets give the columns, by name."""
    with suppress(ValueError, KeyError, TypeError):
        found = json.loads(metadata[b"huggingface"])["info"]["features"]
        return found if isinstance(found, dict) else {}
    return {}


def _image_column(schema: Any, features: Mapping[str, Any], types: Any) -> str | None:
    """Return the first column of images: one that is said to be, one of bytes with their path, or one of bytes with a telling name."""
    said = [name for name in schema.names if _kind(features.get(name)) == "Image"]
    structs = [name for name in schema.names if _holds_bytes(schema.field(name).type, types)]
    binary = [name for name in schema.names if name.lower() in _BINARY_NAMES or name in said]
    return next((name for name in [*said, *structs, *binary] if _is_bytes(schema.field(name).type, types) or name in structs), None)


def _kind(feature: Any) -> str | None:
    kind = feature.get("_type") if isinstance(feature, dict) else None
    return kind if isinstance(kind, str) else None


def _holds_bytes(kind: Any, types: Any) -> bool:
    return bool(types.is_struct(kind)) and any(item.name == "bytes" and _is_bytes(item.type, types) for item in kind)


def _is_bytes(kind: Any, types: Any) -> bool:
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _classes(features: Mapping[str, Any]) -> dict[str, list[str]]:
    names = {name: feature.get("names") for name, feature in features.items() if _kind(feature) == "ClassLabel"}
    return {name: [str(item) for item in found] for name, found in names.items() if isinstance(found, list)}


def rows(table: ImageTable, skip: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rows from row ``skip`` on, each with its number, without their images; labels by their names.

    Raises:
        DamagedTable: no row from here on can be read.
    """
    names = [name for name in table.source.schema_arrow.names if name != table.image]
    first = 0
    for group in range(table.source.num_row_groups):
        size = table.source.metadata.row_group(group).num_rows
        if first + size > skip:
            _refuse_bomb(table, group)
            found = _rows_of_group(table, group, names) if names else ({} for _ in range(size))
            for number, row in enumerate(_guarded(found, group), first):
                if number >= skip:
                    yield number, row
        first += size


def _refuse_bomb(table: ImageTable, group: int) -> None:
    found = table.source.metadata.row_group(group)
    columns = [found.column(at) for at in range(found.num_columns)]
    packed, unpacked = sum(one.total_compressed_size for one in columns), sum(one.total_uncompressed_size for one in columns)
    if unpacked > max(MIN_BYTES, MAX_GROWTH * packed):
        raise DamagedTable(f"unpacks to {unpacked} bytes in row group {group + 1}: no row from there on is read")


def _rows_of_group(table: ImageTable, group: int, names: list[str]) -> Iterator[dict[str, Any]]:
    for batch in table.source.iter_batches(BATCH_ROWS, row_groups=[group], columns=names, use_threads=False):
        for row in batch.to_pylist():
            yield {name: _named(value, table.classes.get(name)) for name, value in row.items()}


def _named(value: Any, classes: list[str] | None) -> Any:
    """Return the name of a class for its number; -1 stands for none."""
    if classes is None or not isinstance(value, int):
        return value
    return classes[value] if 0 <= value < len(classes) else None


def _guarded(found: Iterator[Any], group: int) -> Iterator[Any]:
    pyarrow = extras.require("pyarrow", "parquet", "reading a Parquet file")
    try:
        yield from found
    except (pyarrow.ArrowException, OSError, ValueError, LookupError) as exc:
        raise DamagedTable(f"is damaged in row group {group + 1}: no row from there on can be read") from exc


def read_images(table: ImageTable, wanted: Collection[int]) -> Iterator[tuple[int, bytes | None]]:
    """Yield the bytes of these rows, in their order in the file; None where a row has none. Each row group is read once.

    Raises:
        DamagedTable: a row group of theirs is damaged.
    """
    first = 0
    for group in range(table.source.num_row_groups):
        size = table.source.metadata.row_group(group).num_rows
        left = {number for number in wanted if first <= number < first + size}
        if left:
            _refuse_bomb(table, group)
        found = table.source.iter_batches(IMAGE_ROWS, row_groups=[group], columns=[table.image], use_threads=False) if left else ()
        number = first
        for batch in _guarded(iter(found), group):
            column = batch.column(0)
            for at in range(batch.num_rows):
                if number + at in left:
                    yield number + at, _bytes_of(column[at].as_py(), is_struct=table.is_struct)
            number += batch.num_rows
            if number > max(left):
                break
        first += size


def _bytes_of(value: Any, *, is_struct: bool) -> bytes | None:
    found = value.get("bytes") if is_struct and isinstance(value, dict) else value
    return found if isinstance(found, bytes) else None
