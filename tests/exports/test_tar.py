"""Tests of app.exports.tar: what tarfile writes and reads, byte for byte."""

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.exports import tar

NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789_.-", min_size=1, max_size=99)


def by_tarfile(name: str, size_bytes: int, **values: int) -> bytes:
    """A header as the library makes it."""
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size_bytes, values.get("mtime", 315_532_800), values.get("mode", 0o644)
    return info.tobuf(tarfile.USTAR_FORMAT)


def archive(*bodies: bytes, **values: int) -> bytes:
    """A whole tar file with members a, b, c ..."""
    parts = [by_tarfile(chr(97 + at), len(body), **values) + body + bytes(-len(body) % 512) for at, body in enumerate(bodies)]
    return b"".join(parts) + bytes(1024)


@given(NAMES, st.integers(0, 8**11 - 1))
def test_a_header_is_the_librarys(name: str, size_bytes: int) -> None:
    """Whatever the name and the size."""
    assert tar.make_header(name, size_bytes) == by_tarfile(name, size_bytes)


@pytest.mark.parametrize("values", [{}, {"mtime": 7}])
def test_members_come_back(values: dict[str, int]) -> None:
    """Those that look like ours and those of others; an empty one, a whole block, and one byte more."""
    bodies = [b"", b"x" * 512, b"y" * 513]
    found = list(tar.read_members(io.BytesIO(archive(*bodies, **values))))
    assert found == [tar.Member(name, body, True) for name, body in zip("abc", bodies, strict=True)]


def test_what_is_no_plain_file_is_told() -> None:
    """Another mode, a folder, a link."""
    folder = tarfile.TarInfo("folder")
    folder.type, folder.mode = tarfile.DIRTYPE, 0o644
    data = archive(b"x", mode=0o600)[:-1024] + folder.tobuf(tarfile.USTAR_FORMAT) + bytes(1024)
    assert [(member.name, member.is_plain) for member in tar.read_members(io.BytesIO(data))] == [("a", False), ("folder", False)]


@pytest.mark.parametrize("cut", [0, 1, 511, 512, 600, 1023, 1024, 1535, 1536, 2047])
def test_a_file_that_breaks_off_is_an_error(cut: int) -> None:
    """Within a header, a body, its padding, or the end."""
    with pytest.raises(tarfile.TarError):
        list(tar.read_members(io.BytesIO(archive(b"x" * 600)[:cut])))


def test_a_damaged_header_is_an_error() -> None:
    """Its checksum says so, in whichever byte."""
    whole = archive(b"x")
    for at in (0, 100, 126, 150, 257):
        damaged = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        with pytest.raises(tarfile.TarError):
            list(tar.read_members(io.BytesIO(damaged)))


def test_nothing_may_stand_behind_the_end() -> None:
    """Loaders stop there, and would miss it."""
    with pytest.raises(tarfile.ReadError, match="data after it"):
        list(tar.read_members(io.BytesIO(archive(b"x") + b"more")))


@pytest.mark.parametrize(("size", "unit", "padded"), [(0, 512, 0), (1, 512, 512), (512, 512, 512), (513, 512, 1024), (1, 10_240, 10_240)])
def test_sizes_are_rounded_up(size: int, unit: int, padded: int) -> None:
    """To whole units."""
    assert tar.padded_size(size, unit) == padded
