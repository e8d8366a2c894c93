"""Samples of tar shards as WebDataset and img2dataset write them, from any offset on: members with one key side by side are a sample."""

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import orjson

import errors
from app.discovery.folders import local_file
from app.discovery.folders.layout import is_hidden, kind_of, stem_and_suffix
from app.discovery.folders.place import Place

__all__ = ["CLASSES", "Sample", "class_name", "read_classes", "read_member", "samples"]

CLASSES = "classes.json"
"""The names of the classes beside the shards of a dataset of ours; ``cls`` is a position in it."""

MAX_TEXT_BYTES = 1_000_000
"""Of a member that describes an image; a longer one is not read."""

MAX_HEADER_BYTES = 32_768
"""Of a long name, or of the attributes of a member."""

_BAD_HEADER = (ValueError, OverflowError, RecursionError)
"""Errors that `tarfile` lets out, where a header is wrong in a way that it does not expect."""

_BLOCK_BYTES = 512
_TEXTS = ("json", "txt", "cls", "caption", "text")


@dataclass(slots=True)
class Sample:
    """The members with one key.

    Attributes:
        images: name of each image, and the offset of its header.
        texts: what describes them, by suffix.
        end: offset of the member behind it.
        left_out: members that are neither, by suffix.
        problem: why nothing behind it can be read.
    """

    key: str
    end: int = 0
    images: list[tuple[str, int]] = field(default_factory=list)
    texts: dict[str, bytes] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    problem: str = ""

    @property
    def record(self) -> dict[str, Any] | None:
        """What its json says: nothing where there is none, or where it is no object; None where it is damaged."""
        try:
            parsed = orjson.loads(self.texts.get("json") or b"{}")
        except ValueError:
            return None
        return parsed if isinstance(parsed, dict) else {}

    def row(self) -> dict[str, Any]:
        """What its json and txt say, as a row with columns."""
        found = self.record or {}
        text = next((self.texts[suffix] for suffix in ("txt", "caption", "text") if suffix in self.texts), b"")
        words = text.decode("utf-8", "replace").strip()
        return found if not words or found.get("caption") else found | {"caption": words}


def samples(file: BinaryIO, offset: int = 0) -> Iterator[Sample]:
    """Yield the samples of a tar from the one on whose first member begins at ``offset``. A last one may have nothing but a problem."""
    current = Sample("")
    for found in _members(file, offset):
        if isinstance(found, str):
            current.problem = found
            break
        begin, member = found
        if not member.isreg() or any(is_hidden(part) for part in member.name.split("/")[-1:]):
            current.end = _end(member)
            continue
        key, suffix = stem_and_suffix(member.name)
        if key != current.key and (current.images or current.texts or current.left_out):
            yield _chosen(current)
            current = Sample(key)
        current.key = key
        _add(current, file, begin, member, suffix)
        current.end = _end(member)
    if current.images or current.problem or current.left_out:
        yield _chosen(current)


def _add(sample: Sample, file: BinaryIO, begin: int, member: tarfile.TarInfo, suffix: str) -> None:
    if kind_of(member.name) == "image":
        sample.images.append((member.name, begin))
    elif suffix in _TEXTS and member.size <= MAX_TEXT_BYTES:
        file.seek(member.offset_data)
        sample.texts[suffix] = file.read(member.size)
    else:
        sample.left_out.append(suffix)


def _chosen(sample: Sample) -> Sample:
    """Leave out ``1.mask.png`` beside ``1.jpg``, but not the only image of a key with dots in its name."""
    plain = [(name, begin) for name, begin in sample.images if "." not in stem_and_suffix(name)[1]]
    if plain and len(plain) < len(sample.images):
        sample.left_out += [stem_and_suffix(name)[1] for name, _ in sample.images if (name, _) not in plain]
        sample.images = plain
    return sample


def _members(file: BinaryIO, offset: int) -> Iterator[tuple[int, tarfile.TarInfo] | str]:
    """Yield each member with the offset of its header, its long name included; last, what is wrong with the file, in words.

    `tarfile` itself holds every member that it has read, and takes a damaged header in the middle for the end.
    """
    size_bytes = file.seek(0, os.SEEK_END)
    try:
        tar = _opened(file, offset)
    except tarfile.ReadError:
        yield "is no tar, or a damaged one"
        return
    name = ""
    while True:
        try:
            member = _header(tar)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            return
        except tarfile.EmptyHeaderError:  # type: ignore[attr-defined]
            yield "is cut off: it has no end"
            return
        except tarfile.HeaderError:
            yield f"is damaged behind {name or 'its beginning'}: nothing from there on can be read"
            return
        name = member.name
        yield member.offset, member
        if _end(member) > size_bytes:
            yield f"is cut off inside {name}: nothing behind it can be read"
            return


def _end(member: tarfile.TarInfo) -> int:
    return member.offset_data + -(-member.size // _BLOCK_BYTES) * _BLOCK_BYTES


def read_member(file: BinaryIO, place: Place, max_bytes: int) -> bytes:
    """Return the bytes of a member by the offset of its header.

    Raises:
        errors.UnreadableError: another member stands there, or its bytes are cut off.
        errors.TooLargeError: it is larger than ``max_bytes``.
    """
    try:
        member = _header(_opened(file, place.offset))
    except tarfile.TarError as exc:
        raise errors.UnreadableError(f"there is no member of a tar at offset {place.offset} any more") from exc
    if member.name != place.member:
        raise errors.UnreadableError(f"another member stands at offset {place.offset} than when the tar was listed")
    if member.size > max_bytes:
        raise errors.TooLargeError(f"{member.size} bytes, more than {max_bytes}")
    file.seek(member.offset_data)
    body = file.read(member.size)
    if len(body) < member.size:
        raise errors.UnreadableError(f"the tar is cut off after {len(body)} of its {member.size} bytes")
    return body


def _opened(file: BinaryIO, offset: int) -> tarfile.TarFile:
    """Return a tar whose next header begins at ``offset``.

    Raises:
        tarfile.ReadError: it begins like no tar.
    """
    file.seek(offset)
    try:
        tar = tarfile.TarFile(fileobj=_Headers(file))  # type: ignore[arg-type]  # reads nothing else of it
    except _BAD_HEADER as exc:
        raise tarfile.ReadError(str(exc)) from exc
    tar.offset = offset
    return tar


def _header(tar: tarfile.TarFile) -> tarfile.TarInfo:
    """Return the next member; ``tar.offset`` is then behind it.

    Raises:
        tarfile.HeaderError: there is none, or what it says cannot be: `tarfile` would read backwards, for ever.
    """
    begin = tar.offset
    tar.fileobj.seek(begin)
    try:
        member = tarfile.TarInfo.fromtarfile(tar)
    except _BAD_HEADER as exc:
        raise tarfile.HeaderError(str(exc)) from exc
    if member.size < 0 or tar.offset <= begin:
        raise tarfile.HeaderError(f"a member of {member.size} bytes")
    return member


class _Headers:
    """A file of which `tarfile` reads headers only; it would read as much at once as one of them says."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.tell, self.seek = file.tell, file.seek

    def read(self, size: int) -> bytes:
        if not 0 <= size <= MAX_HEADER_BYTES:
            raise ValueError(f"a header of {size} bytes")
        return self._file.read(size)


def read_classes(path: str, root: str) -> list[str]:
    """Return the names of the classes beside a shard; none where there is no such file inside of ``root``."""
    try:
        found = orjson.loads(local_file.read_beside(f"{path.rpartition('/')[0]}/{CLASSES}", root, MAX_TEXT_BYTES) or b"")
    except ValueError:
        return []
    return [str(name) for name in found] if isinstance(found, list) else []


def class_name(sample: Sample, classes: list[str]) -> str | None:
    """Return the class that a ``cls`` stands for: by its position, else its text; None for none."""
    text = sample.texts.get("cls", b"").decode("utf-8", "replace").strip()
    if text.isdecimal() and int(text[:9]) < len(classes):
        return classes[int(text[:9])]
    return None if not text or text == "-1" else text
