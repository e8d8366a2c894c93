"""What a file holds, by its first bytes, beside what its name promises. Reads no rows and knows no columns but a header's usual names."""

import codecs
import csv
import json
import zlib
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

import errors
from app import extras
from app.discovery.lists import streams
from app.discovery.lists.columns import ALIASES
from app.discovery.lists.header import fold

__all__ = ["HEAD_BYTES", "Content", "contradiction", "hint", "recognise"]

HEAD_BYTES: Final = 4096
"""Of a file, from its beginning, that are looked at."""

_UNPACKED_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds.

    Attributes:
        words: its format.
        suffix: of a list in this format; empty if it is no format of lists.
        way_out: how to make a list of it, if it is none.
        is_certain: whether the first bytes leave no doubt.
    """

    words: str
    suffix: str = ""
    way_out: str = "it is no list"
    is_certain: bool = True


_UNPACK: Final = "unpack it"
_AS_CSV: Final = "save it as .csv"
_EXPORT: Final = "export it as .csv or .parquet"
_SIGNATURES: Final = (
    (b"PAR1", Content("Parquet", ".parquet")),
    (b"PARE", Content("encrypted Parquet", way_out="decrypt it")),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Content("an Excel workbook (xls)", way_out=_AS_CSV)),
    (b"BZh", Content("bzip2 data", way_out=_UNPACK)),
    (b"\xfd7zXZ\0", Content("xz data", way_out=_UNPACK)),
    (b"7z\xbc\xaf\x27\x1c", Content("a 7-Zip archive", way_out=_UNPACK)),
    (b"Rar!\x1a\x07", Content("a RAR archive", way_out=_UNPACK)),
    (b"SQLite format 3\0", Content("an SQLite database", way_out=_EXPORT)),
    (b"ARROW1", Content("Arrow (Feather)", way_out=_EXPORT)),
    (b"ORC", Content("ORC", way_out=_EXPORT)),
    (b"Obj\x01", Content("Avro", way_out=_EXPORT)),
    *((bytes([0x80, protocol, 0x95]), Content("a Python pickle", way_out=_EXPORT)) for protocol in (4, 5)),
    (b"\x89PNG", Content("a PNG image")),
    (b"\xff\xd8\xff", Content("a JPEG image")),
    (b"GIF8", Content("a GIF image")),
    (b"%PDF", Content("a PDF document")),
    (b"version https://git-lfs", Content("a Git LFS pointer", way_out="fetch the file it stands for with git lfs pull")),
)

_READS: Final[Mapping[str, Collection[str]]] = {".csv": (".csv", ".tsv"), ".json": (".json", ".jsonl")}
"""What else a list of some suffix may hold."""

_NAMES: Final = {".txt": "plain text", ".csv": "CSV", ".tsv": "TSV", ".json": "JSON", ".jsonl": "JSON lines", ".parquet": "Parquet"}
_PACKERS: Final = {".gz": "gzip", ".zst": "zstd"}
_HTML: Final = (b"<!doctype", b"<html", b"<?xml", b"<head", b"<body", b"<svg", b"<rss")


def recognise(head: bytes) -> Content | None:
    """Return what a file that begins with ``head`` holds, None where it is empty or not known."""
    for magic, suffix, unpack in ((b"\x1f\x8b", ".gz", _gunzip), (b"\x28\xb5\x2f\xfd", ".zst", _unzstd)):
        if head.startswith(magic):
            return _packed(recognise(unpack(head)), suffix)
    if head.startswith(b"PK\x03\x04"):
        return _zip(head)
    if head[257:262] == b"ustar":
        return Content("a tar archive", way_out=_UNPACK)
    return next((content for magic, content in _SIGNATURES if head.startswith(magic)), None) or _text(head)


def _packed(inside: Content | None, suffix: str) -> Content:
    if inside is None:
        return Content(f"{_PACKERS[suffix]} data", suffix, is_certain=False)
    return replace(inside, words=f"{inside.words} packed with {_PACKERS[suffix]}", suffix=inside.suffix and inside.suffix + suffix)


def _gunzip(head: bytes) -> bytes:
    with suppress(zlib.error):
        return zlib.decompressobj(31).decompress(head, _UNPACKED_BYTES)
    return b""


def _unzstd(head: bytes) -> bytes:
    with suppress(errors.ConfigurationError):
        zstandard: Any = extras.require("zstandard", "zstd", "reading a .zst list")
        with suppress(zstandard.ZstdError):
            found: bytes = zstandard.ZstdDecompressor().decompressobj().decompress(head)[:_UNPACKED_BYTES]
            return found
    return b""


def _zip(head: bytes) -> Content:
    if b"[Content_Types].xml" in head or b"xl/" in head or b"opendocument.spreadsheet" in head:
        return Content("a spreadsheet", way_out=_AS_CSV)
    if head[6] & 1:  # APPNOTE.TXT 4.4.4, bit 0
        return Content("an encrypted ZIP archive", way_out="unpack it with its password")
    return Content("a ZIP archive", way_out=_UNPACK)


def _text(head: bytes) -> Content | None:
    if head[1:8:2] == bytes(4) or head[:8:2] == bytes(4):
        return Content("UTF-16 without its byte order mark", way_out="save it as UTF-8")
    is_utf16 = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = head.decode("utf-16" if is_utf16 else "utf-8-sig", "replace").lstrip()
    line = text.splitlines()[0] if text else ""
    if line.startswith("<"):
        return Content("HTML or XML", is_certain=line.lower().encode().startswith(_HTML), way_out="it may be the page of an error")
    if line.startswith("["):
        return Content("a JSON array", ".json", is_certain=text[1:].lstrip()[:1] in ("{", '"'))
    if line.startswith("{"):
        return _json_object(line, is_whole=line != text)
    return _delimited(line)


def _json_object(line: str, *, is_whole: bool) -> Content:
    """A first line that is a whole object is one of many, unless it is the only one."""
    with suppress(ValueError, RecursionError):
        json.loads(line)
        return Content("JSON lines", ".jsonl")
    if is_whole:
        return Content("one JSON object", way_out="a list is an array of objects or has one object a line", is_certain=False)
    return Content("JSON lines", ".jsonl", is_certain=False)


def _delimited(line: str) -> Content | None:
    """A header is certain by the name of its column of URLs."""
    for delimiter, suffix in (("\t", ".tsv"), (",", ".csv"), (";", ".csv"), ("|", ".csv")):
        if delimiter in line and "://" not in line:
            with suppress(csv.Error):
                has_url = any(fold(cell) in ALIASES["url"] for cell in next(csv.reader([line], delimiter=delimiter), []))
                return Content(_NAMES[suffix], suffix, is_certain=has_url)
    return Content(_NAMES[".txt"], ".txt", is_certain=False) if line.lower().startswith(("http://", "https://")) else None


def contradiction(content: Content | None, suffix: str, *, has_name: bool = True) -> str | None:
    """Return in words that a list certainly does not hold what its suffix says, and what to do; None where it may.

    Args:
        has_name: whether it is a file that can be renamed.
    """
    form, packing = streams.split_suffix(suffix)
    if content is None or _fits(content, suffix):
        return None
    is_promised = bool(packing) or form == ".parquet"  # these have signatures of their own
    if content.is_certain or (is_promised and not content.suffix.endswith(packing or ".parquet")):
        promised = f"{_NAMES[form]} packed with {_PACKERS[packing]}" if packing else _NAMES[form]
        return f"holds {content.words}, not {promised}; {_advice(content, has_name=has_name)}"
    return None


def hint(content: Content | None, suffix: str, *, has_name: bool = True) -> str | None:
    """Return what a list that cannot be read seems to hold instead, and what to do; None where nothing else is likely."""
    if content is None or _fits(content, suffix):
        return None
    return f"the list looks like {content.words}: {_advice(content, has_name=has_name)}"


def _fits(content: Content, suffix: str) -> bool:
    form, packing = streams.split_suffix(suffix)
    return content.suffix == packing != "" or content.suffix in (other + packing for other in _READS.get(form, (form,)))


def _advice(content: Content, *, has_name: bool) -> str:
    if not content.suffix:
        return content.way_out
    option = f"add --list-format {content.suffix.removeprefix('.')}"
    return f"rename it to end in {content.suffix}, or {option}" if has_name else option
