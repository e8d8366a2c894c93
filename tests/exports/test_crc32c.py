"""Tests of app.exports.crc32c: known values, and those of a package in C."""

import random

import crc32c as reference
import pytest

from app.exports.crc32c import crc32c


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_values_of_the_standard(body: bytes, wanted: int) -> None:
    """RFC 3720, B.4, and the check value of the catalogue of CRC algorithms."""
    assert crc32c(body) == wanted


@pytest.mark.parametrize("size", [*range(1, 10), 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 65_539, 131_073, 300_000])
def test_every_length_is_that_of_the_package_in_c(size: int) -> None:
    """Rows and pieces that are full, or not."""
    body = random.Random(size).randbytes(size)
    assert crc32c(body) == reference.crc32c(body)
