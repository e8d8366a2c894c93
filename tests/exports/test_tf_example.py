"""Tests of app.exports.tf_example: bytes that Protocol Buffers and the ``tfrecord`` package read, and damage that is noticed."""

import io
import math
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tfrecord import example_pb2
from tfrecord.reader import tfrecord_loader
from tfrecord.writer import TFRecordWriter

from app.exports import tf_example
from app.exports.tf_example import DamagedRecord

FEATURES: dict[str, Any] = {
    "text": [b"a", b"", "é".encode()],
    "body": [bytes(range(256)) * 700],
    "int": [-1, 0, 2**63 - 1, -(2**63), 300],
    "float": [0.5, -2.25],
    "é/x": [True],
}


def read(body: bytes) -> list[bytes]:
    """All records of a file with this content."""
    return list(tf_example.read_records(io.BytesIO(body), len(body)))


def test_protocol_buffers_read_an_example() -> None:
    """Every type and every number; keys are sorted, so that the same features give the same bytes."""
    body = tf_example.encode_example(FEATURES)
    assert body == tf_example.encode_example(dict(reversed(FEATURES.items())))
    found = example_pb2.Example.FromString(body).features.feature
    assert set(found) == set(FEATURES)
    assert list(found["text"].bytes_list.value) == FEATURES["text"]
    assert list(found["body"].bytes_list.value) == FEATURES["body"]
    assert list(found["int"].int64_list.value) == FEATURES["int"]
    assert list(found["float"].float_list.value) == FEATURES["float"]
    assert list(found["é/x"].int64_list.value) == [1]


def test_what_protocol_buffers_write_is_read() -> None:
    """Including numbers that 32 bits do not hold, which are infinite."""
    message = example_pb2.Example()
    message.features.feature["a"].int64_list.value.extend([-5, 2**40])
    message.features.feature["b"].float_list.value.extend([0.25])
    message.features.feature["c"].bytes_list.value.extend([b"x"])
    found = tf_example.decode_example(message.SerializeToString())
    assert {name: list(values) for name, values in found.items()} == {"a": [-5, 2**40], "b": [0.25], "c": [b"x"]}
    (large,) = tf_example.decode_example(tf_example.encode_example({"f": [1e300]}))["f"]
    assert large == math.inf


@given(st.dictionaries(st.text(max_size=9), st.lists(st.binary(max_size=300), min_size=1, max_size=3), max_size=4))
def test_texts_come_back(features: dict[str, list[bytes]]) -> None:
    """Of any length and under any name."""
    assert tf_example.decode_example(tf_example.encode_example(features)) == features


def test_the_tfrecord_package_reads_the_records(tmp_path: Path) -> None:
    """One after another; a text of one value stands alone there."""
    path = tmp_path / "a.tfrecord"
    path.write_bytes(b"".join(tf_example.encode_record(tf_example.encode_example({"at": [at], "t": [b"x" * at]})) for at in range(200)))
    found = list(tfrecord_loader(str(path), None))
    assert [(int(row["at"][0]), row["t"]) for row in found] == [(at, b"x" * at) for at in range(200)]


def test_a_record_is_that_of_the_package(tmp_path: Path) -> None:
    """Length, content and both checksums, masked: its reader does not compare them."""
    body = tf_example.encode_example({"at": [7]})
    writer = TFRecordWriter(str(tmp_path / "a.tfrecord"))
    writer.write({"at": (7, "int")})
    writer.close()
    written = (tmp_path / "a.tfrecord").read_bytes()
    (content,) = read(written)
    assert tf_example.decode_example(content) == tf_example.decode_example(body) == {"at": [7]}
    assert written == tf_example.encode_record(content)


def test_records_come_back() -> None:
    """Empty ones too."""
    bodies = [b"", b"a", b"b" * 100_000]
    assert read(b"".join(map(tf_example.encode_record, bodies))) == bodies
    assert read(b"") == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda body: body[:-1], "byte 17: the record is cut off"),
        (lambda body: body[:20], "byte 17: no length of a record"),
        (lambda body: body[:-5] + b"!" + body[-4:], "byte 17: the checksum of the record is wrong"),
        (lambda body: bytes([9]) + body[1:], "byte 0: no length of a record"),
        (lambda body: body + b"\0", "byte 34: no length of a record"),
    ],
)
def test_a_damaged_file_is_noticed(change: Any, words: str) -> None:
    """With the byte where the record begins; a length that its checksum does not confirm is not believed."""
    with pytest.raises(DamagedRecord, match=words):
        read(change(tf_example.encode_record(b"a") * 2))


@pytest.mark.parametrize(
    "body",
    [
        b"\x0a",
        b"\x0a\x05\x0a",
        b"\x08\x01",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x0a\x04\x0a\x02\x0a\x00",
        b"\x0a\x08\x0a\x06\x0a\x01\xff\x12\x01\x0a",
        tf_example.encode_example({"f": [0.5]}).replace(struct.pack("<f", 0.5), b"\0\0\0").replace(b"\x04\0", b"\x03\0"),
    ],
)
def test_what_is_no_example_is_noticed(body: bytes) -> None:
    """Cut off, of other wire types, without a key or a value, and with a name that is no text."""
    with pytest.raises(DamagedRecord, match=r"not a tf.train.Example"):
        tf_example.decode_example(body)
