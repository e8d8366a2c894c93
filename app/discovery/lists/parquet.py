"""Parquet lists: only the columns that are needed, a batch of rows at a time. pyarrow (extra ``parquet``) is imported on use."""

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
    found = columns.find(names, spec)
    wanted = sorted(set(found.values()))
    build = columns.assemble({field: wanted.index(position) for field, position in found.items()}).candidate
    return streams.Table(_rows(source, [names[position] for position in wanted], skip, pyarrow), build, names)


def _rows(source: Any, wanted: Sequence[str], skip: int, pyarrow: Any) -> Iterator[streams.Row]:
    rank = 0
    for group in range(source.num_row_groups):
        size = source.metadata.row_group(group).num_rows
        if rank + size <= skip:
            rank += size
            continue
        try:
            for batch in source.iter_batches(BATCH_ROWS, row_groups=[group], columns=list(wanted), use_threads=False):
                for values in _values(batch, wanted, pyarrow):
                    yield rank, rank + 1, values
                    rank += 1
        except (pyarrow.ArrowException, OSError, ValueError, LookupError) as exc:
            if getattr(exc, "errno", None) is not None:
                raise errors.StorageError(f"reading row group {group + 1} failed: {_first_line(exc)}") from exc
            message = f"row group {group + 1} is damaged; no row from here on can be read"
            yield rank, rank + 1, streams.bad_row(rank + 1, message, _first_line(exc))
            return


def _values(batch: Any, wanted: Sequence[str], pyarrow: Any) -> Iterator[tuple[object, ...]]:
    names = batch.schema.names
    return zip(*(_column(batch.column(names.index(name)), pyarrow) for name in wanted), strict=True)


def _column(column: Any, pyarrow: Any) -> list[object]:
    """Return a column's values; text that is not UTF-8 comes as bytes."""
    try:
        values: list[object] = column.to_pylist()
    except UnicodeDecodeError:
        values = column.cast(pyarrow.binary()).to_pylist()
    return values


def _first_line(exc: Exception) -> str:
    return (str(exc).splitlines() or [type(exc).__name__])[0][:200]
