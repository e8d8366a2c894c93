"""Reads locks: checks one to its end before anything is made of it, then gives its images, from any of them on.

Holds one line at a time, and 8 bytes for each image while a lock is checked. Knows no rows and no jobs.
"""

import hashlib
from array import array
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import orjson
from pydantic import BaseModel, ValidationError

import errors
from app.datasets.lock_format import MARK, REJECTED, SCHEMA_VERSION, LockedImage, LockedRejection, LockEnd, LockHeader
from app.discovery.lists import streams
from app.formatting import clipped, count, number
from app.validation_errors import requirement

__all__ = ["CheckedLock", "check_lock", "read_images", "read_rejections"]

MAX_LINE_BYTES: Final = 4 << 20
"""Of one line; the longest have many further columns of a list."""

PACKINGS: Final = {b"\x1f\x8b": ".gz", b"\x28\xb5": ".zst"}
"""The first two bytes of packed data: a lock is unpacked whatever its name is."""

ANEW: Final = "write it anew with `pictrawl datasets lock`, or copy it again"

Part = TypeVar("Part", bound=BaseModel)
Line = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class CheckedLock:
    """A lock that was read to its end.

    Attributes:
        where: what messages call it.
        packing: ``.gz``, ``.zst`` or empty.
        digest: of all lines but the last; it names the lock.
        local: images of a folder, which have no URL.
    """

    path: Path
    where: str
    packing: str
    header: LockHeader
    digest: str
    local: int


def check_lock(path: Path, version: str, *, where: str | None = None) -> CheckedLock:
    """Read a lock to its end.

    Args:
        version: of this program, for the message about a lock that it cannot read.
        where: what messages call a lock that the user knows by no path.

    Raises:
        errors.ValidationError: it is no lock, has a newer schema, was cut off or was changed; with the line.
        errors.ConfigurationError: it cannot be opened, or unpacked without an extra.
    """
    where = where or f"the lock {path}"
    packing = _packing_of(path)
    with closing(_lines(path, packing, where)) as lines:
        first = next(lines, (1, b""))
        header = _header(where, first[1], version)
        seal = hashlib.sha256(first[1] + b"\n")
        places, local, end, has_rejections = array("Q"), 0, None, False
        for at, line in lines:
            if end is not None:
                raise _damaged(where, at, "stands behind the last line of the lock")
            values = _object(where, at, line)
            if "lines_sha256" in values:
                end = _parse(LockEnd, where, at, values)
                continue
            if REJECTED in values:
                _parse_rejection(where, at, values)
                has_rejections = True
                seal.update(line + b"\n")
                continue
            image = _parse(LockedImage, where, at, values)
            if has_rejections:
                raise _damaged(where, at, "is an image behind those that a person took out")
            if image.index != len(places):
                raise _damaged(where, at, f"has index {image.index} where {len(places)} is next: a line is missing, or they are unsorted")
            places.append(_key(image))
            local += image.path is not None
            seal.update(line + b"\n")
    _check_end(where, header, end, len(places), seal.hexdigest())
    _refuse_twice(path, packing, places, where)
    return CheckedLock(path, where, packing, header, seal.hexdigest(), local)


def read_images(path: Path, packing: str, *, skip: int = 0) -> Generator[LockedImage, None, None]:
    """Yield the images of a lock that was checked before, without the first ``skip``."""
    where = f"the lock {path}"
    with closing(_lines(path, packing, where)) as lines:
        for at, line in islice(lines, 1 + skip, None):
            values = _object(where, at, line)
            if "lines_sha256" in values or REJECTED in values:
                return
            yield _parse(LockedImage, where, at, values)


def read_rejections(path: Path, packing: str, *, skip: int) -> Generator[LockedRejection, None, None]:
    """Yield what a person took out, of a lock that was checked before and has so many images."""
    where = f"the lock {path}"
    with closing(_lines(path, packing, where)) as lines:
        for at, line in islice(lines, 1 + skip, None):
            values = _object(where, at, line)
            if "lines_sha256" in values:
                return
            yield _parse_rejection(where, at, values)


def _parse_rejection(where: str, at: int, values: dict[str, Any]) -> LockedRejection:
    if len(values) != 1 or not isinstance(values[REJECTED], dict):
        raise _damaged(where, at, f"{REJECTED} must be an object, and stand alone")
    return _parse(LockedRejection, where, at, values[REJECTED])


def _packing_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return PACKINGS.get(file.read(2), "")
    except IsADirectoryError as exc:
        raise errors.ConfigurationError(f"the lock {path} is a directory; name a file in it") from exc
    except OSError as exc:
        raise errors.ConfigurationError(f"the lock {path} cannot be read: {exc.strerror}; check the path") from exc


def _lines(path: Path, packing: str, where: str) -> Generator[Line, None, None]:
    at = 0
    try:
        with streams.opened(path, packing) as reader:
            for at, line in enumerate(streams.lines(reader, MAX_LINE_BYTES), start=1):
                if len(line) > MAX_LINE_BYTES:
                    raise _damaged(where, at, f"is longer than {number(MAX_LINE_BYTES)} bytes")
                yield at, line
    except streams.DamagedError as exc:
        raise _damaged(where, at + 1, f"cannot be read: {exc}") from exc


def _header(where: str, line: bytes, version: str) -> LockHeader:
    if not line.strip():
        raise errors.ValidationError(f"{where} is empty; {ANEW}")
    values = _loads(line)
    if not isinstance(values, dict) or MARK not in values:
        hint = "a list of URLs is given as `pictrawl build --urls FILE`"
        raise errors.ValidationError(f"{where} is no lock: its first line is no header of one; {hint}")
    schema = values[MARK]
    if isinstance(schema, int) and schema > SCHEMA_VERSION:
        maker = clipped(str(values.get("generator")), 60)
        what = f"{where} has schema version {schema}, written by {maker}, and pictrawl {version} reads up to {SCHEMA_VERSION}"
        raise errors.ValidationError(f"{what}; upgrade pictrawl")
    return _parse(LockHeader, where, 1, values)


def _loads(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None


def _object(where: str, at: int, line: bytes) -> dict[str, Any]:
    values = _loads(line)
    if not isinstance(values, dict):
        raise _damaged(where, at, "is no JSON object")
    if rb"\u0000" in line and _holds_nul(values):
        raise _damaged(where, at, "holds NUL in a text")
    return values


def _holds_nul(values: dict[str, Any]) -> bool:
    left: list[Any] = [values]  # no recursion: a line may be nested deeper than Python calls
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left += [*value, *value.values()]
        elif isinstance(value, list):
            left += value
        elif isinstance(value, str) and "\0" in value:
            return True
    return False


def _parse(kind: type[Part], where: str, at: int, values: dict[str, Any]) -> Part:
    try:
        return kind.model_validate(values)
    except ValidationError as exc:
        first = exc.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise _damaged(where, at, f"{field} {requirement(first)}".strip()) from exc


def _key(image: LockedImage) -> int:
    return int.from_bytes(hashlib.sha256(image.place.encode()).digest()[:8], "big")


def _check_end(where: str, header: LockHeader, end: LockEnd | None, images: int, digest: str) -> None:
    if end is None:
        raise errors.ValidationError(f"{where} has no last line: it was cut off after {count(images, 'image')}; {ANEW}")
    if images != end.images or images != header.images:
        promised = f"its header promises {number(header.images)} and its last line {number(end.images)}"
        raise errors.ValidationError(f"{where} has {count(images, 'image')}, {promised}; {ANEW}")
    if digest != end.lines_sha256:
        raise errors.ValidationError(f"{where} was changed: its lines have the digest {digest}, not {end.lines_sha256}; {ANEW}")


def _refuse_twice(path: Path, packing: str, places: "array[int]", where: str) -> None:
    """Refuse two images at one URL or path: where two keys of 64 bits are the same, their lines are compared."""
    keys = np.sort(np.frombuffer(places, dtype=np.uint64))
    twice = set(keys[1:][keys[1:] == keys[:-1]].tolist())
    if not twice:
        return
    first: dict[str, int] = {}
    for image in read_images(path, packing):
        if _key(image) in twice and (before := first.setdefault(image.place, image.index)) != image.index:
            raise _damaged(where, image.index + 2, f"names the same image as line {before + 2}: {clipped(image.place, 200)}")


def _damaged(where: str, at: int, what: str) -> errors.ValidationError:
    return errors.ValidationError(f"{where} was changed or damaged: line {at} {what}; {ANEW}")
