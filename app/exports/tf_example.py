"""Records of TensorFlow, written and read without it: TFRecord frames, and the message ``tf.train.Example`` in each.

Sources: "TFRecord and tf.train.Example" in the TensorFlow guide, ``tensorflow/core/example/feature.proto``, and "Encoding" in the
documentation of Protocol Buffers.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO, Final

import numpy as np

from app.exports.crc32c import crc32c

__all__ = ["DamagedRecord", "Feature", "Features", "decode_example", "encode_example", "encode_record", "read_records"]

Feature = Sequence[bytes] | Sequence[float] | Sequence[int]
"""The values of one feature, all of one type; at least one, since without any its type is unknown."""

Features = Mapping[str, Feature]

_MASK_DELTA: Final = 0xA282EAD8
_BYTES, _FLOAT, _INT64 = 1, 2, 3
"""Numbers of the fields of ``Feature``, one for each type."""

_LEN: Final = 2
"""The wire type of texts, messages and packed numbers; these messages have no other."""


class DamagedRecord(Exception):
    """The bytes are no record, or no example."""


def encode_record(body: bytes) -> bytes:
    """A record with this content: its length, the masked CRC of the length, the content, and its masked CRC."""
    length = struct.pack("<Q", len(body))
    return b"".join((length, _masked(length), body, _masked(body)))


def read_records(file: BinaryIO, size_bytes: int) -> Iterator[bytes]:
    """The contents of all records of a file of this size, one in memory at a time.

    Raises:
        DamagedRecord: a length or a checksum is wrong, or the file ends within a record.
    """
    at = 0
    while at < size_bytes:
        head = file.read(12)
        if len(head) < 12 or head[8:] != _masked(head[:8]):
            raise DamagedRecord(f"byte {at}: no length of a record")
        (length,) = struct.unpack("<Q", head[:8])
        if length + 4 > size_bytes - at - 12:
            raise DamagedRecord(f"byte {at}: the record is cut off")
        body, checksum = file.read(length), file.read(4)
        if checksum != _masked(body):
            raise DamagedRecord(f"byte {at}: the checksum of the record is wrong")
        at += length + 16
        yield body


def encode_example(features: Features) -> bytes:
    """The message ``Example`` with these features, sorted by name."""
    entries = (_field(1, _field(1, name.encode()) + _field(2, _feature(features[name]))) for name in sorted(features))
    return _field(1, b"".join(entries))


def decode_example(body: bytes) -> dict[str, Feature]:
    """The features of a message ``Example``.

    Raises:
        DamagedRecord: it is none.
    """
    try:
        entries = [entry for features in _parse(body).get(1, []) for entry in _parse(features).get(1, [])]
        return dict(map(_entry, entries))
    except (IndexError, ValueError, LookupError, TypeError, struct.error) as error:
        raise DamagedRecord(f"not a tf.train.Example: {error}") from error


def _masked(body: bytes) -> bytes:
    checksum = crc32c(body)
    return struct.pack("<I", ((checksum >> 15 | checksum << 17) + _MASK_DELTA) & 0xFFFFFFFF)


def _feature(values: Feature) -> bytes:
    first = values[0]
    if isinstance(first, bytes):
        return _field(_BYTES, b"".join(_field(1, value) for value in values if isinstance(value, bytes)))
    if isinstance(first, float):
        with np.errstate(over="ignore"):  # what 32 bits do not hold is infinite
            return _field(_FLOAT, _field(1, np.asarray(values, dtype="<f4").tobytes()))
    return _field(_INT64, _field(1, b"".join(_varint(int(value) & 0xFFFFFFFFFFFFFFFF) for value in values)))


def _field(number: int, body: bytes) -> bytes:
    return b"".join((bytes([number << 3 | _LEN]), _varint(len(body)), body))


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def _parse(message: bytes) -> dict[int, list[bytes]]:
    """The fields of a message by number."""
    fields: dict[int, list[bytes]] = {}
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        if key & 7 != _LEN:
            raise ValueError(f"a field of wire type {key & 7}")
        size, at = _read_varint(message, at)
        if size > len(message) - at:
            raise ValueError("a field is cut off")
        fields.setdefault(key >> 3, []).append(message[at : at + size])
        at += size
    return fields


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    """A number of base 128 and where the next field begins."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
        if shift > 63:
            raise ValueError("a number of more than 64 bits")


def _entry(entry: bytes) -> tuple[str, Feature]:
    fields = _parse(entry)
    ((kind, (values,)),) = _parse(fields[2][-1]).items()
    return fields[1][-1].decode(), _values(kind, values)


def _values(kind: int, body: bytes) -> Feature:
    items = _parse(body).get(1, [])
    if kind == _BYTES:
        return items
    packed = b"".join(items)
    if kind == _FLOAT:
        return struct.unpack(f"<{len(packed) // 4}f", packed)
    found = []
    at = 0
    while at < len(packed):
        value, at = _read_varint(packed, at)
        found.append(value - (1 << 64) if value >> 63 else value)
    return found
