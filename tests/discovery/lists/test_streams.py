"""Files unpacked and cut into lines."""

import gzip
import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

import errors
from app.discovery.lists import streams
from app.domain import ListProblem


@settings(deadline=None)
@given(
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.lists(st.binary(max_size=40).filter(lambda line: b"\n" not in line and b"\r" not in line), max_size=30),
)
def test_lines_when_anything(end: bytes, parts: list[bytes]) -> None:
    """Lines come out as they went in, whatever ends them."""
    data = b"".join(part + end for part in parts)
    expected = [parts[0].removeprefix(b"\xef\xbb\xbf"), *parts[1:]] if parts else []
    assert list(streams.lines(io.BytesIO(data), 100)) == expected


class Trickle:
    """Gives one byte a time, however many are asked for."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def read(self, size: int, /) -> bytes:
        return self._data.read(1)


def test_lines_when_blocks_are_small() -> None:
    """A byte order mark and a line may be cut anywhere; the last line needs no end."""
    assert list(streams.lines(Trickle(b"\xef\xbb\xbfab\ncd"), 100)) == [b"ab", b"cd"]
    assert list(streams.lines(Trickle(b"a"), 100)) == [b"a"]
    assert list(streams.lines(Trickle(b"a\r\nb\rc\r\r\nd\n\r\n"), 100)) == [b"a", b"b", b"c", b"", b"d", b""]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("make", [io.BytesIO, Trickle])
def test_utf8_when_utf16(make: Callable[[bytes], streams.Reader], encoding: str) -> None:
    """The byte order mark tells UTF-16; a character may be cut anywhere, and half of one costs no more than itself."""
    data = "\ufeffcafé 😀\r\nb".encode(encoding)
    assert list(streams.lines(streams.utf8(make(data)), 100)) == ["café 😀".encode(), b"b"]
    assert list(streams.lines(streams.utf8(make(data + b"\0")), 100)) == ["café 😀".encode(), "b\ufffd".encode()]
    assert list(streams.lines(streams.utf8(make("é".encode())), 100)) == ["é".encode()]
    assert list(streams.lines(streams.utf8(make(b"\xff")), 100)) == [b"\xff"]


def test_lines_when_one_never_ends() -> None:
    """Of an endless line no more is held than its beginning."""

    class Endless:
        blocks = 0

        def read(self, size: int, /) -> bytes:
            self.blocks += 1
            return b"x" * size if self.blocks < 50 else b""

    (line,) = streams.lines(Endless(), 100)
    assert line == b"x" * 101


@pytest.mark.parametrize("suffix", [".txt", ".txt.gz", ".txt.zst", ".zst", ""])
def test_split_suffix_when_packed(suffix: str) -> None:
    """Format and packing make the suffix again."""
    form, packing = streams.split_suffix(suffix)
    assert form + packing == suffix
    assert packing in ("", ".gz", ".zst")


def unpacked(path: Path, packing: str) -> bytes:
    with streams.opened(path, packing) as reader:
        return b"".join(iter(lambda: reader.read(1000), b""))


DATA = b"".join(b"https://example.org/%d.jpg\n" % n for n in range(20_000))
PACK: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".zst": zstandard.compress}


@pytest.mark.parametrize("packing", PACK)
def test_opened_when_packed_twice(tmp_path: Path, packing: str) -> None:
    """Packed files may be joined; each part is unpacked."""
    path = tmp_path / "list"
    path.write_bytes(PACK[packing](DATA) + PACK[packing](b"end"))
    assert unpacked(path, packing) == DATA + b"end"


@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize("damage", ["cut", "noise", "other"])
def test_opened_when_packed_data_is_damaged(tmp_path: Path, packing: str, damage: str) -> None:
    """Damage is told, and what comes before it is read: zstandard's own reader takes a cut file for a whole one."""
    packed = PACK[packing](DATA)
    half = len(packed) // 2
    path = tmp_path / "list"
    path.write_bytes({"cut": packed[:half], "noise": packed[:half] + b"\xff" * 2000, "other": b"no packed data"}[damage])
    with pytest.raises(streams.DamagedError):
        unpacked(path, packing)


def test_opened_when_zstd_is_a_bomb(tmp_path: Path) -> None:
    """A little packed data never becomes much memory."""
    path = tmp_path / "list"
    path.write_bytes(zstandard.compress(bytes(400_000_000)))
    with streams.opened(path, ".zst") as reader:
        block = reader.read(1000)
    assert 0 < len(block) <= 200_000_000


def test_opened_when_there_is_no_file(tmp_path: Path) -> None:
    """The error names the path and what is wrong with it."""
    with (
        pytest.raises(errors.ConfigurationError, match=r"gone\.txt cannot be read: No such file"),
        streams.opened(tmp_path / "gone.txt", ""),
    ):
        pass


def test_opened_when_the_disk_fails(tmp_path: Path) -> None:
    """A directory opened as a file, or a disk that fails: never the list's fault, never a bare OSError."""
    with pytest.raises(errors.ConfigurationError, match="cannot be read"), streams.opened(tmp_path, ""):
        pass
    closed = Path("/proc/self/mem")
    with streams.opened(closed, "") as reader, pytest.raises(errors.StorageError, match="reading the list"):
        reader.read(100)


def test_optional_when_package_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The error names the extra that brings the package."""
    monkeypatch.setitem(sys.modules, "zstandard", None)
    path = tmp_path / "list"
    path.write_bytes(b"x")
    with pytest.raises(errors.ConfigurationError, match=r"install pictrawl\[zstd\]"), streams.opened(path, ".zst"):
        pass


def test_bad_row_when_text_is_long_and_secret() -> None:
    """A problem shows the beginning of its line, without credentials."""
    assert streams.bad_row(3, "broken", b"https://u:p@host/" + b"x" * 999) == ListProblem(3, "broken", "https://…@host/" + "x" * 185)
