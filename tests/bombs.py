"""Compressed zeros, made from one compressed megabyte: a test that only collects them should not compress hundreds of megabytes."""

import struct
import zlib

__all__ = ["gzip_zeros", "zlib_zeros"]

MB = 1_000_000


def _deflated(megabytes: int) -> bytes:
    """Raw deflate blocks. A full flush ends a block that stands alone, so it may follow itself."""
    packer = zlib.compressobj(wbits=-15)
    block = packer.compress(bytes(MB)) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * megabytes + packer.flush()


def zlib_zeros(megabytes: int) -> bytes:
    """So many zeros as ``zlib.compress`` would pack them (RFC 1950)."""
    adler = (megabytes * MB % 65_521) << 16 | 1
    return b"\x78\x9c" + _deflated(megabytes) + struct.pack(">I", adler)


def gzip_zeros(megabytes: int) -> bytes:
    """So many zeros as ``gzip.compress`` would pack them (RFC 1952)."""
    checksum = zlib.crc32(bytes(megabytes * MB))
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + _deflated(megabytes) + struct.pack("<II", checksum, megabytes * MB)
