"""Files with odd but sound colours, written byte by byte: PNG, TIFF and ICC profiles. Knows nothing of the code under test."""

import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.images.samples import chunk

Pixels = npt.NDArray[Any]
"""Rows, columns, channels."""

BT709 = (0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
ADOBE = (0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
P3 = (0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
BT2020 = (0.708, 0.292, 0.17, 0.797, 0.131, 0.046)
D65 = (0.3127, 0.329)
D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def smooth(width: int = 96, height: int = 72) -> Pixels:
    """Colours that change slowly, dark to light, as floats from 0 to 1; nothing is at the border of the gamut."""
    y, x = np.mgrid[0:height, 0:width] / np.array([height - 1, width - 1])[:, None, None]
    return np.stack([0.3 + 0.5 * x, 0.3 + 0.5 * y, 0.35 + 0.2 * (x + 1 - y)], -1)


def grey(width: int = 96, height: int = 72) -> Pixels:
    """The same for one channel, two-dimensional."""
    return smooth(width, height).mean(-1)


def srgb_encode(linear: Pixels) -> Pixels:
    """IEC 61966-2-1."""
    linear = linear.clip(0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def srgb_decode(encoded: Pixels) -> Pixels:
    """The inverse."""
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def colorants(primaries: tuple[float, ...], white: tuple[float, float] = D65) -> Pixels:
    """XYZ of red, green, blue in columns, white adapted to D50."""
    points = np.array([*zip(primaries[::2], primaries[1::2], strict=True), white])
    xyz = np.stack([points[:, 0] / points[:, 1], np.ones(4), (1 - points.sum(1)) / points[:, 1]])
    matrix = xyz[:, :3] @ np.diag(np.linalg.inv(xyz[:, :3]) @ xyz[:, 3])
    adapt = np.linalg.inv(_BRADFORD) @ np.diag((_BRADFORD @ D50) / (_BRADFORD @ xyz[:, 3])) @ _BRADFORD
    return adapt @ matrix


def to_srgb(linear: Pixels, primaries: tuple[float, ...], white: tuple[float, float] = D65) -> Pixels:
    """Linear light of these primaries as 8-bit sRGB."""
    matrix = np.linalg.inv(colorants(BT709)) @ colorants(primaries, white)
    return levels(srgb_encode(linear @ matrix.T))


def levels(encoded: Pixels) -> Pixels:
    """0 to 1 as 0 to 255."""
    return (encoded * 255).round().clip(0, 255)


# ICC profiles (ICC.1:2010, version 2)


def _fixed(values: Any) -> bytes:
    return b"".join(struct.pack(">i", round(float(value) * 65536)) for value in values)


def _curve(gamma: float | None) -> bytes:
    """A power, or the curve of sRGB as a table."""
    if gamma is not None:
        return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))
    table = (srgb_decode(np.linspace(0, 1, 1024)) * 65535).round().astype(">u2")
    return b"curv\0\0\0\0" + struct.pack(">I", 1024) + table.tobytes()


def rgb_profile(primaries: tuple[float, ...], gamma: float | None, name: str) -> bytes:
    """A display with these primaries; ``gamma`` None is the curve of sRGB."""
    columns = colorants(primaries).T
    tags = {f"{channel}XYZ": b"XYZ \0\0\0\0" + _fixed(column) for channel, column in zip("rgb", columns, strict=True)}
    return _profile(b"RGB ", tags | {f"{channel}TRC": _curve(gamma) for channel in "rgb"}, name)


def grey_profile(gamma: float, name: str = "Grey") -> bytes:
    """A grey scale with a power curve."""
    return _profile(b"GRAY", {"kTRC": _curve(gamma)}, name)


def ink_profile() -> tuple[bytes, Pixels]:
    """A printer whose L*a*b* is an affine function of its inks, and that function: rows L*, a*, b*; columns C, M, Y, K, constant.

    All four inks together are black, so that no black point has to be compensated (ICC.1:2010, 10.9, lut8Type).
    """
    affine = np.array([[-25, -25, -25, -25, 100], [-30, 40, -10, 0, 0], [-20, -10, 30, 0, 0]])
    corners = np.array([[c, m, y, k, 1] for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1)])
    lab = corners @ affine.T
    grid = np.stack([lab[:, 0] * 255 / 100, lab[:, 1] + 128, lab[:, 2] + 128], -1).round().astype(np.uint8)
    ramp = bytes(range(256))
    table = b"mft1\0\0\0\0\4\3\2\0" + _fixed((1, 0, 0, 0, 1, 0, 0, 0, 1)) + ramp * 4 + grid.tobytes() + ramp * 3
    body = _profile(b"CMYK", {"A2B0": table}, "Ink")
    return body[:12] + b"prtr" + body[16:20] + b"Lab " + body[24:], affine


def lab_to_srgb(lab: Pixels) -> Pixels:
    """CIE L*a*b* of D50 as 8-bit sRGB."""
    f_y = (lab[..., 0] + 16) / 116
    f = np.stack([f_y + lab[..., 1] / 500, f_y, f_y - lab[..., 2] / 200], -1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * D50
    return levels(srgb_encode(xyz @ np.linalg.inv(colorants(BT709)).T))


def _profile(space: bytes, tags: dict[str, bytes], name: str) -> bytes:
    text = name.encode() + b"\0"
    tags |= {"wtpt": b"XYZ \0\0\0\0" + _fixed(D50), "desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78)}
    table, data, first = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for tag, value in tags.items():
        table += struct.pack(">4sII", tag.encode(), first + len(data), len(value))
        data += value + bytes(-len(value) % 4)
    head = struct.pack(">I4xI4s4s4s12x4s28x", 128 + len(table) + len(data), 0x02100000, b"mntr", space, b"XYZ ", b"acsp")
    return head + _fixed(D50) + bytes(48) + table + data


# PNG


def png(samples: Pixels, bits: int = 8, **chunks: bytes) -> bytes:
    """A PNG with one to four channels of unsigned integers; ``chunks`` come before the pixels."""
    height, width = samples.shape[:2]
    channels = 1 if samples.ndim == 2 else samples.shape[2]
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    rows = b"".join(b"\0" + _row(row, bits) for row in samples.reshape(height, -1))
    extra = b"".join(chunk(name.encode(), data) for name, data in chunks.items())
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def _row(values: Pixels, bits: int) -> bytes:
    """Samples of one row, most significant bits first."""
    if bits == 16:
        return values.astype(">u2").tobytes()
    if bits == 8:
        return values.astype(np.uint8).tobytes()
    planes = (values[:, None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(planes.astype(np.uint8).ravel()).tobytes()


def iccp(profile: bytes) -> bytes:
    """The data of an iCCP chunk."""
    return b"x\0\0" + zlib.compress(profile)


def chrm(primaries: tuple[float, ...], white: tuple[float, float] = D65) -> bytes:
    """The data of a cHRM chunk."""
    return struct.pack(">8I", *(round(value * 100_000) for value in (*white, *primaries)))


def gama(value: float) -> bytes:
    """The data of a gAMA chunk: 1 / exponent."""
    return struct.pack(">I", round(value * 100_000))


# TIFF


def tiff(samples: Pixels, photometric: int, order: str = "<", bits: int | None = None, **tags: Any) -> bytes:
    """An uncompressed TIFF of one strip; ``tags`` are further tags by number, as in ``t339=(3,)`` (SHORT), or bytes (UNDEFINED)."""
    height, width = samples.shape[:2]
    channels = 1 if samples.ndim == 2 else samples.shape[2]
    stored = samples.dtype.itemsize * 8
    if bits is None or bits == stored:
        data = samples.astype(samples.dtype.newbyteorder(order)).tobytes()
    else:
        data = b"".join(_row(row, bits) for row in samples.reshape(height, -1))
    values: dict[int, Any] = {
        256: (width,),
        257: (height,),
        258: (bits or stored,) * channels,
        259: (1,),
        262: (photometric,),
        277: (channels,),
        278: (height,),
        339: ({"u": 1, "i": 2, "f": 3}[samples.dtype.kind],) * channels,
    }
    values |= {int(name[1:]): value for name, value in tags.items()}
    return _directory(values, data, order)


def _directory(values: dict[int, Any], data: bytes, order: str) -> bytes:
    values |= {273: 0, 279: len(data)}
    count = len(values)
    at = 8 + 2 + 12 * count + 4
    entries, extra = b"", b""
    for number in sorted(values):
        kind, length, packed = _packed(values[number], order)
        if len(packed) > 4:
            packed, extra = struct.pack(f"{order}I", at + len(extra)), extra + packed + bytes(len(packed) % 2)
        entries += struct.pack(f"{order}HHI", number, kind, length) + packed.ljust(4, b"\0")
    place = at + len(extra)
    entries = entries.replace(struct.pack(f"{order}HHII", 273, 4, 1, 0), struct.pack(f"{order}HHII", 273, 4, 1, place))
    start = b"II*\0" if order == "<" else b"MM\0*"
    return start + struct.pack(f"{order}IH", 8, count) + entries + bytes(4) + extra + data


def _packed(value: Any, order: str) -> tuple[int, int, bytes]:
    """Type, count and bytes of a tag: LONG for an int, SHORT for a tuple, FLOAT for one of floats, UNDEFINED for bytes."""
    if isinstance(value, bytes):
        return 7, len(value), value
    if isinstance(value, int):
        return 4, 1, struct.pack(f"{order}I", value)
    if isinstance(value[0], float):
        return 11, len(value), struct.pack(f"{order}{len(value)}f", *value)
    return 3, len(value), struct.pack(f"{order}{len(value)}H", *value)
