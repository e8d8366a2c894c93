"""Parquet lists: only the columns that are read or kept, a batch of rows at a time. pyarrow (extra ``parquet``) is imported on use."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

import errors
from app import extras
from app.discovery.lists import columns, streams
from app.discovery.lists.header import Header, read_inside
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
    pyarrow = extras.require("pyarrow", "parquet", "reading a Parquet list")
    parquet = extras.require("pyarrow.parquet", "parquet", "reading a Parquet list")
    extras.require("pyarrow.compute", "parquet", "reading a Parquet list")
    try:
        source = parquet.ParquetFile(file, buffer_size=_READ_BYTES, pre_buffer=False)
        schema = source.schema_arrow
    except (pyarrow.ArrowException, OSError, ValueError) as exc:
        file.seek(0)
        found = "is a Parquet file that is damaged or cut off; get it again" if file.read(4) == b"PAR1" else "is no Parquet file"
        raise errors.ConfigurationError(f"{where} {found} ({_first_line(exc)})") from exc
    places = [_Place(name, schema.names[:at].count(name)) for at, name in enumerate(schema.names)]
    places += [inner for at, place in enumerate(places) for inner in _places_inside(schema.types[at], place, pyarrow.types)]
    names = tuple(place.full_name for place in places)
    header = Header.of(schema.names, names[len(schema.names) :], _objects(schema.types, pyarrow.types))
    columns.require(header, spec, where)
    wanted, left_out = _wanted(header, schema.types, spec, pyarrow)
    read = columns.assemble(_part(header, wanted), spec)
    read.left_out.update(left_out)
    return streams.Table(_rows(source, [places[at] for at in wanted], skip, pyarrow), read.candidate, names, read.left_out)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where values stand.

    Attributes:
        name: of their column.
        nth: how many columns before it have the same name.
        path: names of the fields inside the column's objects.
        is_listed: whether there are lists on that path.
    """

    name: str
    nth: int = 0
    path: tuple[str, ...] = ()
    is_listed: bool = False

    @property
    def full_name(self) -> str:
        """The dotted name."""
        return ".".join((self.name, *self.path))


def _places_inside(kind: Any, place: _Place, types: Any) -> Iterator[_Place]:
    items = _item_type(kind, types)
    if types.is_struct(items):
        for field in items:
            inner = _Place(place.name, place.nth, (*place.path, field.name), place.is_listed or items is not kind)
            yield inner
            yield from _places_inside(field.type, inner, types)


def _item_type(kind: Any, types: Any) -> Any:
    return kind.value_type if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind) else kind


def _objects(kinds: Sequence[Any], types: Any) -> list[int]:
    return [at for at, kind in enumerate(kinds) if types.is_struct(_item_type(kind, types))]


def _wanted(header: Header, types: Sequence[Any], spec: ListSpec, pyarrow: Any) -> tuple[list[int], list[str]]:
    """Return the positions of the values to read, and the names of columns that are left out: bytes, lists and objects nobody asked for."""
    found = columns.find(header, spec)
    further = [position for _, position in columns.kept_columns(header, spec, columns.taken(found)) if position not in found.values()]
    unfit = [] if spec.keep_columns is not None else [position for position in further if _is_unfit(types[position], pyarrow.types)]
    return sorted({*found.values(), *further}.difference(unfit)), [header.names[position] for position in unfit]


def _part(header: Header, wanted: Sequence[int]) -> Header:
    """Return the header of these values."""
    of_columns = [position for position in wanted if position < header.columns]
    inside = (header.names[position] for position in wanted[len(of_columns) :])
    return Header.of(
        (header.names[position] for position in of_columns),
        inside,
        (at for at, position in enumerate(of_columns) if position in header.objects),
    )


def _is_unfit(kind: Any, types: Any) -> bool:
    return bool(types.is_nested(kind) or types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind))


def _rows(source: Any, places: Sequence[_Place], skip: int, pyarrow: Any) -> Iterator[streams.Row]:
    rank = 0
    names = list(dict.fromkeys(place.name if place.is_listed else place.full_name for place in places))
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
    positions = [[at for at, other in enumerate(names) if other == place.name][place.nth] for place in places]
    found = (_inside(batch.column(position), place, pyarrow) for position, place in zip(positions, places, strict=True))
    return zip(*found, strict=True)


def _inside(column: Any, place: _Place, pyarrow: Any) -> list[object]:
    if place.is_listed:
        return [read_inside(value, ".".join(place.path)) for value in _column(column, pyarrow)]
    for name in place.path:
        column = pyarrow.compute.struct_field(column, [column.type.get_field_index(name)])
    return _column(column, pyarrow)


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
