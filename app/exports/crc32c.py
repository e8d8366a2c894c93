"""CRC-32C (Castagnoli; RFC 3720, B.4), which records of TensorFlow carry. Python has none, and a package in C would be for this alone.

A CRC is linear: that of a block is the exclusive or of what each byte contributes at its place, so numpy looks all bytes of a piece up at
once. Measured on 100 KB: 0.25 ms, where SHA-256 takes 0.06, a package in C 0.004 and a loop in Python 8.
"""

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["crc32c"]

_POLYNOMIAL: Final = np.uint32(0x82F63B78)
"""Reversed, as its bits are processed."""

_ROW: Final = 256
"""Bytes that are looked up at their places: the tables take 256 KB, which fit into a core's cache."""

_PIECE: Final = 256 * _ROW
"""Bytes looked up in one call; the positions in the tables take eight times as much memory."""

_ONES: Final = 0xFFFFFFFF


def crc32c(body: bytes) -> int:
    """The checksum of bytes, as an unsigned number of 32 bits."""
    state = _ONES
    for start in range(0, len(body), _PIECE):
        state = _advance(state, body[start : start + _PIECE])
    return state ^ _ONES


def _advance(state: int, piece: bytes) -> int:
    """The state after a piece. Zeros in front of it change nothing, since the state enters with its first bytes."""
    table, carry = _tables()
    if len(piece) < 4:
        return _advance_bytes(state, piece, carry[-1])
    padding = -len(piece) % _ROW
    padded = np.zeros(padding + len(piece), dtype=np.uint8)
    padded[padding:] = np.frombuffer(piece, dtype=np.uint8)
    padded[padding : padding + 4] ^= np.frombuffer(state.to_bytes(4, "little"), dtype=np.uint8)
    places = padded.reshape(-1, _ROW) + np.arange(0, 256 * _ROW, 256, dtype=np.int64)
    found = 0
    first, second, third, fourth, _ = carry
    for row in np.bitwise_xor.reduce(table.take(places), axis=1).tolist():
        found = first[found & 255] ^ second[found >> 8 & 255] ^ third[found >> 16 & 255] ^ fourth[found >> 24] ^ row
    return found


def _advance_bytes(state: int, piece: bytes, table: list[int]) -> int:
    for byte in piece:
        state = state >> 8 ^ table[(state ^ byte) & 255]
    return state


@cache
def _tables() -> tuple[NDArray[np.uint32], tuple[list[int], ...]]:
    """What a byte contributes at each place of a row; what each byte of a state contributes after a row; and the table of one byte."""
    by_distance = np.empty((_ROW, 256), dtype=np.uint32)
    values = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        values = np.where(values & 1, values >> 1 ^ _POLYNOMIAL, values >> 1)
    by_distance[0] = values
    for distance in range(1, _ROW):
        last = by_distance[distance - 1]
        by_distance[distance] = last >> 8 ^ by_distance[0][last & 255]
    carry = [by_distance[_ROW - 1 - at].tolist() for at in range(4)]
    return by_distance[::-1].ravel(), (*carry, by_distance[0].tolist())
