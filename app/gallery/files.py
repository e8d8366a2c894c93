"""The file of a dataset's columns: written as a whole, mapped into memory.

It is a derived form: whatever is wrong with one, it is as if it were not there.
"""

import mmap
import os
import secrets
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from app.gallery.columns import Columns
from app.gallery.fields import CATEGORIES, NUMBERS
from app.gallery.words import Words

__all__ = ["Stamp", "load", "save"]

_MAGIC: Final = b"PICTRAWL columns 1\n"
"""Changes with the layout and with what is in the columns, so that files of another version are made anew."""

_ALIGN: Final = 64
_HEAD: Final = struct.Struct("<QI")
"""Size and CRC-32 of the JSON that describes the arrays."""

_ARRAYS: Final = ("ids", *CATEGORIES, *(f"number:{name}" for name in NUMBERS), "blob", "starts", "ends", "rows")


@dataclass(frozen=True, slots=True)
class Stamp:
    """What columns were made of (`app.db.image_columns.fingerprint`), when in Unix seconds, and how long it took."""

    fingerprint: str
    at: float
    took_s: float


def save(path: Path, columns: Columns, stamp: Stamp) -> None:
    """Write columns, and put them in the place of the former ones. A reader of those keeps them.

    Raises:
        OSError: they cannot be written; nothing is left behind.
    """
    arrays = _arrays_of(columns)
    head: dict[str, Any] = {"fingerprint": stamp.fingerprint, "at": stamp.at, "took_s": stamp.took_s, "values": dict(columns.values)}
    head["arrays"] = {name: [one.dtype.str, len(one)] for name, one in arrays.items()}
    text = orjson.dumps(head)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        with unfinished.open("xb") as file:
            file.write(_MAGIC + _HEAD.pack(len(text), zlib.crc32(text)) + text)
            for one in arrays.values():
                file.write(bytes(-file.tell() % _ALIGN))
                np.ascontiguousarray(one).tofile(file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _arrays_of(columns: Columns) -> Mapping[str, NDArray[Any]]:
    words = columns.words
    numbers = {f"number:{name}": columns.numbers[name] for name in NUMBERS}
    texts = {"blob": words.blob, "starts": words.starts, "ends": words.ends, "rows": words.rows}
    return {"ids": columns.ids} | {name: columns.codes[name] for name in CATEGORIES} | numbers | texts


def load(path: Path) -> tuple[Columns, Stamp] | None:
    """Map the columns of a file into memory; None where it is missing or not whole."""
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return _read(mapped)
    except (OSError, ValueError, KeyError, TypeError, struct.error):  # an empty file cannot be mapped; the rest says what is not whole
        return None


def _read(mapped: mmap.mmap) -> tuple[Columns, Stamp]:
    if mapped[: len(_MAGIC)] != _MAGIC:
        raise ValueError("another layout")
    size, checksum = _HEAD.unpack_from(mapped, len(_MAGIC))
    begin = len(_MAGIC) + _HEAD.size
    text = mapped[begin : begin + size]
    if zlib.crc32(text) != checksum:
        raise ValueError("the description is broken")
    head = orjson.loads(text)
    arrays: dict[str, NDArray[Any]] = {}
    place, places = begin + size, dict[str, int]()
    for name in _ARRAYS:
        kind, count = head["arrays"][name]
        places[name] = place = place + -place % _ALIGN
        arrays[name] = np.frombuffer(mapped, np.dtype(kind), count, place) if count else np.empty(0, np.dtype(kind))
        place += arrays[name].nbytes
    _require_consistent(arrays, head["values"])
    words = Words(mapped, places["blob"], *(arrays[name] for name in ("blob", "starts", "ends", "rows")))
    columns = Columns(
        arrays["ids"],
        head["values"],
        {name: arrays[name] for name in CATEGORIES},
        {name: arrays[f"number:{name}"] for name in NUMBERS},
        words,
    )
    return columns, Stamp(head["fingerprint"], head["at"], head["took_s"])


def _require_consistent(arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Sequence[Any]]) -> None:
    """Refuse what would raise an IndexError later."""
    size, pairs = len(arrays["ids"]), len(arrays["rows"])
    limits = {name: len(values[name]) for name in CATEGORIES} | {"rows": size, "ends": pairs + 1}
    for name, limit in limits.items():
        if len(arrays[name]) and int(arrays[name].max()) >= limit:
            raise ValueError(f"{name} is broken")
    if any(len(arrays[name]) != size for name in _ARRAYS[: 1 + len(CATEGORIES) + len(NUMBERS)]):
        raise ValueError("columns of different lengths")
