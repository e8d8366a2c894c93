"""Parquet lists: only the columns that are read or kept, a batch of rows at a time. pyarrow (extra ``parquet``) is imported on use."""

from collections.abc import Iterator, Sequence
from typing import IO, Any

import errors
from app.discovery.lists import columns, streams
from app.spec import ListSpec

__all__ = ["table"]

BATCH_ROWS = 4096
_READ_BYTES = 1 << 20
"""Per column; without it pyarrow reads a row group's whole column at once."""


def table(file: IO[bytes], spec: ListSpec, where: str, *, skip: int = 0) -> streams.Table:
    """Return the rows from the row group on in which row ``skip`` stands.

    Raises:
        errors.ConfigurationError: pyarrow is not installed, this is no Parquet file, or it has no column of URLs.
    """
    pyarrow = streams.optional("pyarrow", "parquet", "a Parquet list")
    parquet = streams.optional("pyarrow.parquet", "parquet", "a Parquet list")
    try:
        source = parquet.ParquetFile(file, buffer_size=_READ_BYTES, pre_buffer=False)
        names = tuple(source.schema_arrow.names)
    except (pyarrow.ArrowException, OSError, ValueError) as exc:
        raise errors.ConfigurationError(f"{where} is no Parquet file, or a damaged one: {_first_line(exc)}") from exc
    columns.require(names, spec, where)
    wanted, left_out = _wanted(names, source.schema_arrow.types, spec, pyarrow)
    read = columns.assemble([names[position] for position in wanted], spec)
    read.left_out.update(left_out)
    places = [(names[position], names[:position].count(names[position])) for position in wanted]
    return streams.Table(_rows(source, places, skip, pyarrow), read.candidate, names, read.left_out)


def _wanted(names: Sequence[str], types: Sequence[Any], spec: ListSpec, pyarrow: Any) -> tuple[list[int], list[str]]:
    """Return the positions of the columns to read, and the names of those that are left out: bytes, lists and objects nobody asked for."""
    used = frozenset(columns.find(names, spec).values())
    kept = [position for _, position in columns.kept_columns(names, spec, used)]
    unfit = [] if spec.keep_columns is not None else [position for position in kept if _is_unfit(types[position], pyarrow.types)]
    return sorted({*used, *kept}.difference(unfit)), [names[position] for position in unfit]


def _is_unfit(kind: Any, types: Any) -> bool:
    return bool(types.is_nested(kind) or types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind))


_Place = tuple[str, int]
"""Name of a column, and how many columns before it have the same name."""


def _rows(source: Any, places: Sequence[_Place], skip: int, pyarrow: Any) -> Iterator[streams.Row]:
    rank = 0
    names = list(dict.fromkeys(name for name, _ in places))
    for group in range(source.num_row_groups):
        size = source.metadata.row_group(group).num_rows
        if rank + size <= skip:
            rank += size
            continue
        try:
            for batch in source.iter_batches(BATCH_ROWS, row_groups=[group], columns=names, use_threads=False):
                for values in _values(batch, places, pyarrow):
                    yield rank, rank + 1, values
                    rank += 1
        except (pyarrow.ArrowException, OSError, ValueError, LookupError) as exc:
            if getattr(exc, "errno", None) is not None:
                raise errors.StorageError(f"reading row group {group + 1} failed: {_first_line(exc)}") from exc
            message = f"row group {group + 1} is damaged; no row from here on can be read"
            yield rank, rank + 1, streams.bad_row(rank + 1, message, _first_line(exc))
            return


def _values(batch: Any, places: Sequence[_Place], pyarrow: Any) -> Iterator[tuple[object, ...]]:
    names = batch.schema.names
    positions = [[at for at, other in enumerate(names) if other == name][nth] for name, nth in places]
    return zip(*(_column(batch.column(position), pyarrow) for position in positions), strict=True)


def _column(column: Any, pyarrow: Any) -> list[object]:
    """Return a column's values: times as text, which Python's types cannot hold to the nanosecond; text that is not UTF-8 as bytes.

    A short float is the number that it prints, 0.1 and not 0.10000000149011612.
    """
    if pyarrow.types.is_temporal(column.type):
        column = column.cast(pyarrow.string())
    if pyarrow.types.is_float16(column.type) or pyarrow.types.is_float32(column.type):
        column = column.cast(pyarrow.float32()).cast(pyarrow.string()).cast(pyarrow.float64())
    try:
        values: list[object] = column.to_pylist()
    except UnicodeDecodeError:
        values = column.cast(pyarrow.binary()).to_pylist()
    return values


def _first_line(exc: Exception) -> str:
    return (str(exc).splitlines() or [type(exc).__name__])[0][:200]
