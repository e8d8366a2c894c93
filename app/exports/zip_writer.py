"""A ZIP file written front to back (APPNOTE 6.3.10): stored, UTF-8 names, ZIP64 where a size, an offset or the count needs it.

:mod:`zipfile` keeps a record of each member in memory, in the end of ten million; ours rest in a temporary file.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import Final

__all__ = ["ZipWriter"]

_LOCAL: Final = struct.Struct("<4s5H3I2H")
_DESCRIPTOR: Final = struct.Struct("<4sIQQ")
_CENTRAL: Final = struct.Struct("<4s6H3I5H2I")
_END_64: Final = struct.Struct("<4sQ2H2I4Q")
_LOCATOR: Final = struct.Struct("<4sIQI")
_END: Final = struct.Struct("<4s4H2IH")

_VERSION, _VERSION_64 = 20, 45
_UNIX: Final = 3 << 8
_MODE: Final = 0o100644 << 16
_UTF8, _CRC_FOLLOWS = 1 << 11, 1 << 3
_DATE: Final = 1 << 5 | 1  # 1980-01-01, the first that the format has, and the time in our tar files
_ID_64: Final = 1
_MAX_16, _MAX_32 = 2**16 - 1, 2**32 - 1
_READ_BYTES: Final = 256_000


@dataclass(frozen=True, slots=True)
class _Member:
    name: bytes
    size_bytes: int
    offset: int
    flags: int


class ZipWriter:
    """Makes the bytes around those of the members. See :class:`app.exports.archive.ArchiveWriter`."""

    def __init__(self) -> None:
        self._directory = TemporaryFile()  # noqa: SIM115 - closed by close()
        self._count = 0
        self._offset = 0
        self._member: _Member | None = None

    def begin(self, name: str, size_bytes: int, crc32: int | None) -> bytes:
        """The header of the next member. Without its CRC-32 a descriptor follows its bytes."""
        encoded, flags = name.encode(), _UTF8 | (_CRC_FOLLOWS if crc32 is None else 0)
        self._member = _Member(encoded, size_bytes, self._offset, flags)
        if crc32 is None:
            fields, extra = (_VERSION_64, flags, 0, 0, _DATE, 0, _MAX_32, _MAX_32), struct.pack("<2H2Q", _ID_64, 16, 0, 0)
        else:
            fields, extra = (_VERSION, flags, 0, 0, _DATE, crc32, size_bytes, size_bytes), b""
        return self._counted(_LOCAL.pack(b"PK\3\4", *fields, len(encoded), len(extra)) + encoded + extra, size_bytes)

    def end(self, crc32: int) -> bytes:
        """What follows the bytes of the current member."""
        member, self._member = self._member, None
        assert member is not None, "no member was begun"
        self._directory.write(_central(member, crc32))
        self._count += 1
        if not member.flags & _CRC_FOLLOWS:
            return b""
        return self._counted(_DESCRIPTOR.pack(b"PK\7\x08", crc32, member.size_bytes, member.size_bytes))

    def finish(self) -> Iterator[bytes]:
        """The central directory and its end."""
        size_bytes = self._directory.tell()
        self._directory.seek(0)
        while block := self._directory.read(_READ_BYTES):
            yield block
        yield _directory_end(self._count, size_bytes, self._offset)

    def close(self) -> None:
        """Free the temporary file."""
        self._directory.close()

    def _counted(self, part: bytes, body_bytes: int = 0) -> bytes:
        self._offset += len(part) + body_bytes
        return part


def _central(member: _Member, crc32: int) -> bytes:
    """The record of a member in the central directory."""
    values = (member.size_bytes, member.size_bytes, member.offset)
    large = [value for value in values if value >= _MAX_32]
    extra = struct.pack(f"<2H{len(large)}Q", _ID_64, 8 * len(large), *large) if large else b""
    size_bytes, _, offset = (min(value, _MAX_32) for value in values)
    version = _VERSION_64 if large or member.flags & _CRC_FOLLOWS else _VERSION
    head = (_UNIX | version, version, member.flags, 0, 0, _DATE, crc32, size_bytes, size_bytes)
    tail = (len(member.name), len(extra), 0, 0, 0, _MODE, offset)
    return _CENTRAL.pack(b"PK\1\2", *head, *tail) + member.name + extra


def _directory_end(count: int, size_bytes: int, offset: int) -> bytes:
    """The end of a central directory of ``size_bytes`` at ``offset``."""
    shown = min(count, _MAX_16)
    end = _END.pack(b"PK\5\6", 0, 0, shown, shown, min(size_bytes, _MAX_32), min(offset, _MAX_32), 0)
    if count < _MAX_16 and size_bytes < _MAX_32 and offset < _MAX_32:
        return end
    end_64 = _END_64.pack(
        b"PK\6\6", _END_64.size - 12, _UNIX | _VERSION_64, _VERSION_64, 0, 0, count, count, size_bytes, offset
    )  # fmt: skip
    return end_64 + _LOCATOR.pack(b"PK\6\7", 0, offset + size_bytes, 1) + end
