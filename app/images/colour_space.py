"""What a file states of its colours, as an ICC profile: the embedded one, or one built from the numbers of PNG and AVIF.

Reads headers only; must not know pixels. The tables are those of ITU-T H.273, which PNG (cICP), AVIF (nclx) and video share.
"""

import io
import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from app.images import heif, structure
from errors import Reason, ValidationError

__all__ = ["profile_of"]

Curve = tuple[float, float, float, float, float]
"""g, a, b, c, d of ICC.1:2022, 10.18, function type 3: (aX + b)^g from X = d on, below it cX."""

Primaries = tuple[float, ...]
"""x and y of red, green, blue and white (CIE 1931)."""

_SRGB_CURVE: Final[Curve] = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_BT709_CURVE: Final[Curve] = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)

_D65: Final = (0.3127, 0.329)
_BT709: Final = (0.64, 0.33, 0.3, 0.6, 0.15, 0.06, *_D65)
_BT601: Final = (0.63, 0.34, 0.31, 0.595, 0.155, 0.07, *_D65)

_PRIMARIES: Final[dict[int, Primaries]] = {
    1: _BT709,
    2: _BT709,
    4: (0.67, 0.33, 0.21, 0.71, 0.14, 0.08, 0.31, 0.316),
    5: (0.64, 0.33, 0.29, 0.6, 0.15, 0.06, *_D65),
    6: _BT601,
    7: _BT601,
    8: (0.681, 0.319, 0.243, 0.692, 0.145, 0.049, 0.31, 0.316),
    9: (0.708, 0.292, 0.17, 0.797, 0.131, 0.046, *_D65),
    11: (0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.314, 0.351),
    12: (0.68, 0.32, 0.265, 0.69, 0.15, 0.06, *_D65),
    22: (0.63, 0.34, 0.295, 0.605, 0.155, 0.077, *_D65),
}
"""ITU-T H.273, table 2; 2 is "unspecified"."""

_CURVES: Final[dict[int, Curve]] = {
    1: _BT709_CURVE,
    2: _SRGB_CURVE,
    4: (2.2, 1.0, 0.0, 0.0, 0.0),
    5: (2.8, 1.0, 0.0, 0.0, 0.0),
    6: _BT709_CURVE,
    7: (1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 0.25, 0.0912),
    8: (1.0, 1.0, 0.0, 1.0, 0.0),
    11: _BT709_CURVE,
    13: _SRGB_CURVE,
    14: _BT709_CURVE,
    15: _BT709_CURVE,
}
"""ITU-T H.273, table 3, for displays of standard range; 2 is "unspecified"."""

_HIGH_RANGE: Final = {16: "PQ", 18: "HLG"}
"""Curves of high dynamic range. A conversion to sRGB would need a tone mapping, of which there is no standard one."""

_SRGB_GAMMA: Final = range(45_000, 46_001)
"""PNG 11.3.2.2: a file with the curve of sRGB states a gAMA of 45455."""

_GAMMAS: Final = (10_000, 1_000_000)
"""Values of gAMA that are taken: exponents of 10 to 0.1."""

_BRADFORD: Final = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_D50: Final = np.array([0.9642, 1.0, 0.8249])
"""ICC.1:2022, 7.2.16: the white of the profile connection space."""


def profile_of(image: Image.Image, body: bytes) -> bytes | None:
    """Return the ICC profile of a picture's colours; None for sRGB by default.

    Args:
        image: opened from ``body``.
        body: the file.

    Raises:
        errors.ValidationError: the colours are stated and cannot be converted (``format``).
    """
    embedded: bytes | None = image.info.get("icc_profile") or None
    if image.format == "PNG":
        return _png_profile(body, embedded)
    if image.format in ("AVIF", "HEIF") and embedded is None:
        return _by_code_points(image.format.lower(), *codes) if (codes := _code_points(body)) else None
    return embedded


def _png_profile(body: bytes, embedded: bytes | None) -> bytes | None:
    """By the precedence of PNG (third edition, 12.8): cICP, iCCP, sRGB, gAMA with cHRM."""
    chunks = dict(_chunks_before_pixels(body))
    if len(codes := chunks.get(b"cICP", b"")) == 4 and codes[2] == 0:
        if not codes[3]:
            raise ValidationError("png with narrow-range samples (cICP): not supported", reason=Reason.FORMAT)
        return _by_code_points("png", codes[0], codes[1])
    if embedded is not None and (not chunks.keys() & {b"sRGB", b"gAMA", b"cHRM"} or _opens(embedded)):
        return embedded
    if b"sRGB" in chunks:
        return None
    gamma, primaries = _gamma(chunks.get(b"gAMA", b"")), _chromaticities(chunks.get(b"cHRM", b""))
    if gamma is None and primaries is None:
        return None
    return _build_profile(primaries or _BT709, gamma or _SRGB_CURVE)


def _opens(profile: bytes) -> bool:
    """Whether an embedded profile can be read at all; if not, what is stated beside it counts."""
    try:
        ImageCms.ImageCmsProfile(io.BytesIO(profile))
    except (OSError, ImageCms.PyCMSError):
        return False
    return True


def _chunks_before_pixels(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The PNG chunks before IDAT, by kind and data; those of colour occur once."""
    for start, end in structure.png_chunks(body):
        kind = body[start + 4 : start + 8]
        if kind == b"IDAT":
            return
        yield kind, body[start + 8 : end - 4]


def _gamma(data: bytes) -> Curve | None:
    """The curve of a gAMA chunk, whose value is 100,000 / exponent."""
    value = int.from_bytes(data, "big") if len(data) == 4 else 0
    if not _GAMMAS[0] <= value <= _GAMMAS[1]:
        return None
    return _SRGB_CURVE if value in _SRGB_GAMMA else (100_000 / value, 1.0, 0.0, 0.0, 0.0)


def _chromaticities(data: bytes) -> Primaries | None:
    """The primaries of a cHRM chunk, which begins with the white; None where they span no triangle."""
    if len(data) != 32:
        return None
    white_x, white_y, *colours = (value / 100_000 for value in struct.unpack(">8I", data))
    primaries = (*colours, white_x, white_y)
    return primaries if _colorants(primaries) is not None else None


def _by_code_points(image_format: str, primaries: int, transfer: int) -> bytes | None:
    """Build the profile for the code points of H.273."""
    if transfer in _HIGH_RANGE:
        raise ValidationError(f"{image_format} of high dynamic range ({_HIGH_RANGE[transfer]}): not supported", reason=Reason.FORMAT)
    if primaries not in _PRIMARIES or transfer not in _CURVES:
        raise ValidationError(
            f"{image_format} with colour primaries {primaries} and transfer {transfer} of ITU-T H.273: not supported", reason=Reason.FORMAT
        )
    return _build_profile(_PRIMARIES[primaries], _CURVES[transfer])


def _code_points(body: bytes) -> tuple[int, int] | None:
    """Colour primaries and transfer of the first ``nclx`` colour box (ISO/IEC 14496-12, 12.1.5) in the ``meta`` box."""
    for kind, start, end in heif.boxes(body):
        if kind == b"meta":
            found = body.find(b"colrnclx", start, end)
            return struct.unpack_from(">HH", body, found + 8) if 0 <= found <= len(body) - 12 else None
    return None


def _colorants(primaries: Primaries) -> npt.NDArray[np.float64] | None:
    """The XYZ of red, green and blue in columns, adapted to D50 by Bradford's matrix; None for degenerate primaries."""
    x, y = np.array(primaries[::2]), np.array(primaries[1::2])
    if (y <= 0).any():
        return None
    xyz = np.stack([x / y, np.ones(4), (1 - x - y) / y])
    white = xyz[:, 3]
    if abs(np.linalg.det(xyz[:, :3])) < 1e-6:
        return None
    scaled = xyz[:, :3] * np.linalg.solve(xyz[:, :3], white)
    gains = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    adapted: npt.NDArray[np.float64] = np.linalg.inv(_BRADFORD) @ np.diag(gains) @ _BRADFORD @ scaled
    return adapted if np.isfinite(adapted).all() and abs(adapted).max() < 8 else None


@lru_cache(maxsize=16)
def _build_profile(primaries: Primaries, curve: Curve) -> bytes | None:
    """Write a matrix profile of version 4 (ICC.1:2022, 7.2, 8.3.3) for an RGB display; None for sRGB."""
    if (primaries, curve) == (_BT709, _SRGB_CURVE):
        return None
    colorants = _colorants(primaries)
    assert colorants is not None
    tags = {b"wtpt": _xyz(_D50)}
    for column, name in enumerate((b"r", b"g", b"b")):
        tags[name + b"XYZ"] = _xyz(colorants[:, column])
        tags[name + b"TRC"] = b"para\0\0\0\0" + struct.pack(">HH", 3, 0) + b"".join(map(_fixed, curve))
    text = "stated by the file".encode("utf-16-be")
    for name in (b"desc", b"cprt"):
        tags[name] = b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(text), 28) + text
    table, data, first = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += struct.pack(">4sII", name, first + len(data), len(value))
        data += value + bytes(-len(value) % 4)
    size = 128 + len(table) + len(data)
    header = struct.pack(">I4xI4s4s4s12x4s28x12s48x", size, 0x04400000, b"mntr", b"RGB ", b"XYZ ", b"acsp", _xyz(_D50)[8:])
    return header + table + data


def _xyz(values: npt.NDArray[np.float64]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(map(_fixed, values))


def _fixed(value: float) -> bytes:
    """A number with 16 bits after the point (s15Fixed16Number)."""
    return struct.pack(">i", round(value * 65536))
