"""Tests of app.exports.zip_writer: what zipfile and unzip read."""

import io
import shutil
import subprocess
import zipfile
import zlib
from contextlib import closing
from pathlib import Path

import pytest

from app.exports.zip_writer import ZipWriter

GB = 10**9


def written(members: dict[str, bytes], *, crc_first: bool) -> bytes:
    """A whole ZIP file."""
    with closing(ZipWriter()) as writer:
        parts = []
        for name, body in members.items():
            parts += [writer.begin(name, len(body), zlib.crc32(body) if crc_first else None), body, writer.end(zlib.crc32(body))]
        return b"".join([*parts, *writer.finish()])


@pytest.mark.parametrize("crc_first", [True, False])
def test_members_come_back(tmp_path: Path, crc_first: bool) -> None:
    """By zipfile and by unzip: names of any script, folders, an empty member; the same bytes each time, of 1980."""
    members = {"train/lynx/a b%20.jpg": b"x" * 5000, "ü/漢.png": b"", "manifest.json": b"{}"}
    body = written(members, crc_first=crc_first)
    assert body == written(members, crc_first=crc_first)
    with zipfile.ZipFile(io.BytesIO(body)) as opened:
        assert opened.testzip() is None
        assert {info.filename: opened.read(info) for info in opened.infolist()} == members
        assert {(info.date_time, info.compress_type, info.external_attr >> 16) for info in opened.infolist()} == {
            ((1980, 1, 1, 0, 0, 0), zipfile.ZIP_STORED, 0o100644)
        }
    if unzip := shutil.which("unzip"):
        (tmp_path / "a.zip").write_bytes(body)
        subprocess.run([unzip, "-tqq", tmp_path / "a.zip"], check=True)


def test_an_empty_file_is_one() -> None:
    """No member at all."""
    assert zipfile.ZipFile(io.BytesIO(written({}, crc_first=True))).namelist() == []


def test_more_members_than_16_bits_count() -> None:
    """ZIP64: 65,536 members."""
    with closing(ZipWriter()) as writer:
        body = b"".join([*(writer.begin(f"{n}", 0, 0) + writer.end(0) for n in range(2**16)), *writer.finish()])
    with zipfile.ZipFile(io.BytesIO(body)) as opened:
        assert opened.namelist() == [str(n) for n in range(2**16)]


def test_sizes_and_offsets_beyond_32_bits(tmp_path: Path) -> None:
    """ZIP64: 5 GB, and a small member after them. The file is sparse: it takes no space."""
    with closing(ZipWriter()) as writer, (tmp_path / "big.zip").open("wb") as file:
        file.write(writer.begin("big", 5 * GB, None))
        file.seek(5 * GB, io.SEEK_CUR)
        file.write(writer.end(7))
        file.write(writer.begin("small", 3, zlib.crc32(b"abc")) + b"abc" + writer.end(zlib.crc32(b"abc")))
        file.writelines(writer.finish())
    with zipfile.ZipFile(tmp_path / "big.zip") as opened:
        big, small = opened.infolist()
        assert (big.file_size, big.compress_size, big.CRC, small.header_offset > 5 * GB) == (5 * GB, 5 * GB, 7, True)
        assert opened.read("small") == b"abc"
