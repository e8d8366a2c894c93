"""Bytes of a list, unpacked as they are read, and cut into lines of bounded length. Does not interpret them."""

import codecs
import gzip
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import errors
from app import extras
from app.discovery import text
from app.domain import Candidate, ListProblem

__all__ = [
    "BLOCK_BYTES",
    "DamagedError",
    "Reader",
    "Rejoined",
    "Row",
    "Table",
    "bad_row",
    "head",
    "lines",
    "opened",
    "split_suffix",
    "utf8",
]

BLOCK_BYTES = 256 * 1024
"""Read at a time: large enough that Python's share is small, small enough for the second-level cache."""

MAX_WINDOW_BYTES = 2**27
"""The window that the zstd tool accepts without ``--long``."""

ZSTD_INPUT_BYTES = 4096
"""Unpacked at a time. A block of 4 bytes can stand for 128 KiB: more input at once could fill the memory."""

_BOM = b"\xef\xbb\xbf"
_PACKED = (".gz", ".zst")


class Reader(Protocol):
    """A file open for reading bytes in order."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, about ``size`` of them, none at the end."""
        ...


def split_suffix(suffix: str) -> tuple[str, str]:
    """Return format and packing of a suffix: ``.csv.gz`` is ``.csv`` and ``.gz``; the packing may be empty."""
    for packing in _PACKED:
        if suffix.endswith(packing):
            return suffix.removesuffix(packing), packing
    return suffix, ""


@contextmanager
def opened(path: Path, packing: str) -> Iterator[Reader]:
    """Open ``path`` and unpack it while it is read.

    Raises:
        errors.ConfigurationError: there is no such file, or it may not be read.
        errors.StorageError: the disk failed.
        DamagedError: from ``read``, where the packed data breaks.
    """
    try:
        file = path.open("rb")
    except OSError as exc:
        raise errors.ConfigurationError(f"the list {path} cannot be read: {exc.strerror}") from exc
    with file:
        if packing == ".gz":
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield _Guarded(unpacked.read1, path, (gzip.BadGzipFile, EOFError, zlib.error))
        elif packing == ".zst":
            zstandard = extras.require("zstandard", "zstd", "reading a .zst list")
            decoder = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
            yield _Guarded(_Frames(file, decoder).read, path, (zstandard.ZstdError, EOFError))
        else:
            yield _Guarded(file.read, path, ())


class _Guarded:
    """A reader that translates foreign errors."""

    def __init__(self, read: Callable[[int], bytes], path: Path, faults: tuple[type[Exception], ...]) -> None:
        self._read = read
        self._path = path
        self._faults = faults

    def read(self, size: int, /) -> bytes:
        try:
            return self._read(size)
        except self._faults as exc:
            raise DamagedError("the packed data is damaged or cut off here; nothing after this line can be read") from exc
        except OSError as exc:
            raise errors.StorageError(f"reading the list {self._path} failed: {exc.strerror or type(exc).__name__}") from exc


class _Frames:
    """Unpacks zstd frame by frame: zstandard's own stream reader does not report a truncated file."""

    def __init__(self, file: Reader, decoder: Any) -> None:
        self._file = file
        self._decoder = decoder
        self._frame: Any = None
        self._packed = b""

    def read(self, size: int, /) -> bytes:
        unpacked = b""
        while not unpacked:
            self._packed = self._packed or self._file.read(ZSTD_INPUT_BYTES)
            if not self._packed:
                if self._frame is not None:
                    raise EOFError("the last frame is not complete")
                return b""
            unpacked = self._step()
        return unpacked

    def _step(self) -> bytes:
        if self._frame is None:
            self._frame = self._decoder.decompressobj()
        unpacked: bytes = self._frame.decompress(self._packed)
        self._packed = b""
        if self._frame.eof:
            self._packed = self._frame.unused_data
            self._frame = None
        return unpacked


class Rejoined:
    """A reader whose first block was already read."""

    def __init__(self, head: bytes, rest: Reader) -> None:
        self._head = head
        self._rest = rest

    def read(self, size: int, /) -> bytes:
        head, self._head = self._head, b""
        return head or self._rest.read(size)


class _FromUTF16:
    """UTF-16 that begins with a byte order mark, as UTF-8; what is no character becomes U+FFFD."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._decoder = codecs.getincrementaldecoder("utf-16")("replace")

    def read(self, size: int, /) -> bytes:
        while block := self._reader.read(size):
            if words := self._decoder.decode(block):
                return words.encode()
        return self._decoder.decode(b"", final=True).encode()


def utf8(reader: Reader) -> Reader:
    """Return a reader of the same text in UTF-8: spreadsheets and PowerShell write UTF-16, which its byte order mark tells."""
    first = reader.read(BLOCK_BYTES)
    while len(first) < len(codecs.BOM_UTF16_LE) and (more := reader.read(BLOCK_BYTES)):
        first += more
    whole = Rejoined(first, reader)
    return _FromUTF16(whole) if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else whole


def _is_blank(block: bytes) -> bool:
    return len(block) < BLOCK_BYTES and not block.removeprefix(_BOM).strip()


def head(reader: Reader) -> bytes:
    """Return the first block without its byte order mark; empty only if nothing follows, and all white space only if a block of it does."""
    block = reader.read(BLOCK_BYTES)
    while (len(block) < len(_BOM) or _is_blank(block)) and (more := reader.read(BLOCK_BYTES)):
        block += more
    return block.removeprefix(_BOM)


def lines(reader: Reader, max_bytes: int) -> Iterator[bytes]:
    """Yield lines without what ends them, LF, CR LF or CR alone, and without the byte order mark that may stand before the first.

    A line longer than ``max_bytes`` comes out as at least ``max_bytes + 1`` bytes of its beginning; no more than a block and that is held.
    """
    block = head(reader)
    rest = b""
    is_after_cr = False
    while block:
        fresh = block[1:] if is_after_cr and block.startswith(b"\n") else block
        is_after_cr = block.endswith(b"\r")
        parts = fresh.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        parts[0] = rest + parts[0]
        rest = parts.pop()[: max_bytes + 1]
        yield from parts
        block = reader.read(BLOCK_BYTES)
    if rest:
        yield rest


Row = tuple[int, int, Any]
"""Rank, line, payload; a payload that is a ``ListProblem`` is passed on as it is."""


class DamagedError(Exception):
    """The file is damaged: nothing after this point can be read. Handled by :mod:`app.discovery.url_list`."""


@dataclass(frozen=True, slots=True)
class Table:
    """A list opened for reading.

    Attributes:
        rows: every data row, from the first; a format may leave out rows before the one it was asked to start with.
        build: makes a row's payload into what the list yields, given payload, line and rank.
        names: the columns; for JSON, which has no header, the keys of the objects read so far.
        left_out: those of them with values that could not be read or kept so far, such as lists and objects.
    """

    rows: Iterator[Row]
    build: Callable[[Any, int, int], Candidate | ListProblem]
    names: Sequence[str] = ()
    left_out: Collection[str] = ()


def bad_row(line: int, message: str, raw: str | bytes = "") -> ListProblem:
    """Return the problem of one row, with the beginning of its text."""
    return ListProblem(line=line, message=message, text=text.preview(raw))
