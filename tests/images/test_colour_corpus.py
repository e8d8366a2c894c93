"""Odd but sound images and their right pixels, computed here with numpy from the specifications, against what leaves the product."""

import struct
import zlib
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from app.images.rendering import compress
from app.images.verdict import validate
from app.rules import CompressionRules, ValidationRules
from errors import Reason
from tests.images import colour_files as files
from tests.images import samples

Pixels = npt.NDArray[Any]

BASIC = ValidationRules(level="basic")
EXACT, ROUNDED, CONVERTED, LOSSY = 0, 1, 3, 20
"""Largest differences in levels of 255: none; one rounding; two roundings and lcms' tables; a pixel of a JPEG or
AVIF, whose mean error stays below two levels."""

COLOUR, GREY = files.smooth(), files.grey()
C8, G8 = files.levels(COLOUR).astype(np.uint8), files.levels(GREY).astype(np.uint8)
ALPHA = np.linspace(0, 255, 96 * 72).reshape(72, 96).round().astype(np.uint8)

LINEAR = files.rgb_profile(files.BT709, 1.0, "linear sRGB")
SRGB = files.rgb_profile(files.BT709, None, "another name")
P3 = files.rgb_profile(files.P3, None, "Display P3")
ADOBE = files.rgb_profile(files.ADOBE, 563 / 256, "Adobe RGB (1998)")


def _rgb(grey: Pixels) -> Pixels:
    return np.repeat(grey[..., None], 3, 2)


def _on_white(colour: Pixels, alpha: Pixels) -> Pixels:
    share = alpha[..., None] / 255
    return colour * share + 255 * (1 - share)


def _by_srgb_curve(primaries: tuple[float, ...]) -> Pixels:
    return files.to_srgb(files.srgb_decode(C8 / 255), primaries)


def _by_power(primaries: tuple[float, ...], exponent: float) -> Pixels:
    return files.to_srgb((C8 / 255) ** exponent, primaries)


def _by_bt709(primaries: tuple[float, ...]) -> Pixels:
    value = C8 / 255
    return files.to_srgb(np.where(value < 0.081, value / 4.5, ((value + 0.099) / 1.099) ** (1 / 0.45)), primaries)


def _jpeg(pixels: Pixels, mode: str = "RGB", **options: Any) -> bytes:
    return samples.encode(Image.fromarray(pixels, mode), "JPEG", quality=95, subsampling=0, **options)


def _without_adobe(body: bytes) -> bytes:
    """A JPEG without its Adobe segment, which is 16 bytes long."""
    at = body.index(b"\xff\xee\x00\x0eAdobe")
    return body[:at] + body[at + 16 :]


def _cmyk(inverted: bool) -> Pixels:
    """Ink from 0 (none) to 255, or the other way round."""
    ink = np.concatenate([255 - C8, np.full_like(G8, 20)[..., None]], -1)
    return 255 - ink if inverted else ink


CMYK_SHOWN = C8.astype(float) * (255 - 20) / 255
"""The usual conversion without a profile: (1 - ink) * (1 - black)."""


def _lab() -> tuple[bytes, Pixels]:
    """CIE L*a*b* of D50, a* and b* signed (TIFF 6.0, section 23)."""
    lab = np.stack([60 + 60 * (GREY - 0.5), 40 * (COLOUR[..., 0] - 0.5), 40 * (COLOUR[..., 1] - 0.5)], -1)
    stored = np.stack([lab[..., 0] * 255 / 100, lab[..., 1], lab[..., 2]], -1).round().astype(np.int16)
    return files.tiff(stored.astype(np.uint8), 8), files.lab_to_srgb(stored * np.array([100 / 255, 1, 1]))


def _print() -> tuple[bytes, Pixels]:
    """Inks with the profile of their printer."""
    profile, affine = files.ink_profile()
    ink = np.stack([*np.moveaxis(255 - C8, 2, 0), G8 // 4], -1)
    constant = np.ones((*G8.shape, 1))
    return files.tiff(ink, 5, t34675=profile), files.lab_to_srgb(np.concatenate([ink / 255, constant], -1) @ affine.T)


def _palette(alpha: bool) -> tuple[bytes, Pixels]:
    """256 colours, each with an alpha of its own in tRNS."""
    table = np.stack([np.arange(256), 255 - np.arange(256), np.full(256, 128)], -1).astype(np.uint8)
    image = Image.fromarray(G8, "P")
    image.putpalette(table.tobytes())
    shades = np.arange(255, -1, -1, dtype=np.uint8)
    body = samples.encode(image, "PNG", **({"transparency": shades.tobytes()} if alpha else {}))
    return body, _on_white(table[G8], shades[G8]) if alpha else table[G8]


def _turned(orientation: int, encoding: str) -> tuple[bytes, Pixels]:
    """Rows as stored for each orientation (EXIF 2.32, 4.6.4), and the picture upright."""
    stored: dict[int, Callable[[Pixels], Pixels]] = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: a.swapaxes(0, 1)[::-1],
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: a.swapaxes(0, 1)[:, ::-1],
    }
    pixels = np.ascontiguousarray(stored[orientation](C8))
    options = {"quality": 95, "subsampling": 0} if encoding == "JPEG" else {}
    return samples.with_orientation(Image.fromarray(pixels), orientation, encoding, **options), C8


def _interlaced() -> bytes:
    """Adam7: seven passes (PNG 8.2), written by hand since Pillow does not."""
    rows = b""
    for y, x, dy, dx in ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)):
        rows += b"".join(b"\0" + row.tobytes() for row in C8[y::dy, x::dx])
    header = struct.pack(">IIBBBBB", 96, 72, 8, 2, 0, 0, 1)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(samples.chunk(*one) for one in chunks)


def _avif(primaries: int, transfer: int) -> bytes:
    """An AVIF whose nclx box names other colours than Pillow writes."""
    body = samples.encode(Image.fromarray(C8), "AVIF", quality=100, subsampling="4:4:4")
    at = body.index(b"colrnclx") + 8
    return body[:at] + struct.pack(">HH", primaries, transfer) + body[at + 4 :]


def _grey_levels(count: int) -> Pixels:
    return (GREY * (count - 1)).round().astype(np.uint32)


def _profiled() -> dict[str, tuple[bytes, Pixels, int]]:
    """Colour profiles, and the chunks of PNG that replace them."""
    grey_linear = _rgb(files.levels(files.srgb_encode(G8 / 255)))
    png, iccp = files.png, files.iccp
    wide = files.BT2020
    return {
        "jpeg Display P3": (_jpeg(C8, icc_profile=P3), _by_srgb_curve(files.P3), LOSSY),
        "png Display P3": (png(C8, iCCP=iccp(P3)), _by_srgb_curve(files.P3), CONVERTED),
        "webp Display P3": (
            samples.encode(Image.fromarray(C8), "WEBP", lossless=True, icc_profile=P3),
            _by_srgb_curve(files.P3),
            CONVERTED,
        ),
        "tiff Adobe RGB": (files.tiff(C8, 2, t34675=ADOBE), _by_power(files.ADOBE, 563 / 256), CONVERTED),
        "png linear sRGB": (png(C8, iCCP=iccp(LINEAR)), _by_power(files.BT709, 1.0), CONVERTED),
        "png sRGB by another name": (png(C8, iCCP=iccp(SRGB)), C8, ROUNDED),
        "png broken profile": (png(C8, iCCP=iccp(P3[:200])), C8, EXACT),
        "jpeg broken profile": (_jpeg(C8, icc_profile=b"no profile"), C8, LOSSY),
        "png rgb with grey profile": (png(_rgb(G8), iCCP=iccp(files.grey_profile(1.0))), grey_linear, CONVERTED),
        "png grey profile": (png(G8, iCCP=iccp(files.grey_profile(1.0))), grey_linear, CONVERTED),
        "png grey with rgb profile": (png(G8, iCCP=iccp(LINEAR)), grey_linear, CONVERTED),
        "png grey, alpha, grey profile": (
            png(np.stack([G8, ALPHA], -1), iCCP=iccp(files.grey_profile(1.0))),
            _on_white(grey_linear, ALPHA),
            CONVERTED,
        ),
        "png alpha and Display P3": (
            png(np.concatenate([C8, ALPHA[..., None]], -1), iCCP=iccp(P3)),
            _on_white(_by_srgb_curve(files.P3), ALPHA),
            CONVERTED,
        ),
        "png gAMA 1": (png(C8, gAMA=files.gama(1.0)), _by_power(files.BT709, 1.0), CONVERTED),
        "png gAMA 1/1.8": (png(C8, gAMA=files.gama(1 / 1.8)), _by_power(files.BT709, 1.8), CONVERTED),
        "png gAMA of sRGB": (png(C8, gAMA=files.gama(0.45455)), C8, EXACT),
        "png grey gAMA 1": (png(G8, gAMA=files.gama(1.0)), grey_linear, CONVERTED),
        "png gAMA and cHRM": (png(C8, gAMA=files.gama(1 / 2.2), cHRM=files.chrm(files.ADOBE)), _by_srgb_curve(files.ADOBE), CONVERTED),
        "png cHRM": (png(C8, cHRM=files.chrm(files.P3)), _by_srgb_curve(files.P3), CONVERTED),
        "png cHRM without area": (png(C8, cHRM=bytes(32)), C8, EXACT),
        "png sRGB before gAMA": (png(C8, sRGB=b"\0", gAMA=files.gama(1.0)), C8, EXACT),
        "png iCCP before sRGB": (png(C8, sRGB=b"\0", iCCP=iccp(P3)), _by_srgb_curve(files.P3), CONVERTED),
        "png gAMA beside a broken profile": (png(C8, iCCP=iccp(P3[:200]), gAMA=files.gama(1.0)), _by_power(files.BT709, 1.0), CONVERTED),
        "png sRGB beside a broken profile": (png(C8, iCCP=iccp(P3[:200]), sRGB=b"\0", gAMA=files.gama(1.0)), C8, EXACT),
        "png iCCP before gAMA": (png(C8, iCCP=iccp(P3), gAMA=files.gama(1.0)), _by_srgb_curve(files.P3), CONVERTED),
        "png cICP Display P3": (png(C8, cICP=bytes((12, 13, 0, 1)), iCCP=iccp(LINEAR)), _by_srgb_curve(files.P3), CONVERTED),
        "png cICP BT.2020": (png(C8, cICP=bytes((9, 14, 0, 1)), sRGB=b"\0"), _by_bt709(wide), CONVERTED),
        "png cICP sRGB": (png(C8, cICP=bytes((1, 13, 0, 1)), gAMA=files.gama(1.0)), C8, EXACT),
        "avif nclx Display P3": (_avif(12, 13), _by_srgb_curve(files.P3), LOSSY),
        "avif nclx sRGB": (_avif(1, 13), C8, LOSSY),
    }


def _deep() -> dict[str, tuple[bytes, Pixels, int]]:
    """Depths from 1 to 32 bits, integers and floats, both polarities, both byte orders."""
    deep = (GREY * 65535).round().astype(np.uint16)
    deep_colour = (COLOUR * 65535).round().astype(np.uint16)
    shown, colour = _rgb(files.levels(deep / 65535)), files.levels(deep_colour / 65535)
    full = (GREY * (2**32 - 1)).astype(np.uint32)
    cases: dict[str, tuple[bytes, Pixels, int]] = {
        "png 16-bit grey": (files.png(deep, 16), shown, ROUNDED),
        "png 16-bit rgb": (files.png(deep_colour, 16), colour, ROUNDED),
        "tiff 16-bit rgb": (files.tiff(deep_colour, 2), colour, ROUNDED),
        "tiff 16-bit rgb, big-endian": (files.tiff(deep_colour, 2, ">"), colour, ROUNDED),
        "tiff 16-bit grey": (files.tiff(deep, 1), shown, ROUNDED),
        "tiff 16-bit grey, big-endian": (files.tiff(deep, 1, ">"), shown, ROUNDED),
        "tiff 16-bit white is zero": (files.tiff(65535 - deep, 0), shown, ROUNDED),
        "tiff 8-bit white is zero": (files.tiff(255 - G8, 0), _rgb(G8), EXACT),
        "tiff 12-bit grey": (files.tiff(_grey_levels(4096), 1, bits=12), _rgb(files.levels(_grey_levels(4096) / 4095)), ROUNDED),
        "tiff 32-bit": (files.tiff(full, 1), _rgb(files.levels(GREY)), ROUNDED),
        "tiff 32-bit of 8 bits": (files.tiff(G8.astype(np.uint32), 1), _rgb(G8), EXACT),
        "tiff signed 32-bit of 16 bits": (files.tiff(deep.astype(np.int32), 1), shown, ROUNDED),
        "tiff float": (files.tiff(GREY.astype(np.float32), 1), _rgb(files.levels(GREY)), ROUNDED),
        "tiff float, big-endian": (files.tiff(GREY.astype(np.float32), 1, ">"), _rgb(files.levels(GREY)), ROUNDED),
        "tiff float white is zero": (files.tiff((1 - GREY).astype(np.float32), 0), _rgb(files.levels(GREY)), ROUNDED),
        "tiff float, overshoot": (
            files.tiff((GREY * 1.03).astype(np.float32), 1),
            _rgb(files.levels(GREY * 1.03)),
            ROUNDED,
        ),
        "tiff float, range stated": (
            files.tiff((GREY * 400 - 100).astype(np.float32), 1, t340=(-100.0,), t341=(300.0,)),
            _rgb(files.levels(GREY)),
            ROUNDED,
        ),
        "tiff signed 16-bit, range stated": (
            files.tiff((GREY * 2000).round().astype(np.int16) - 1000, 1, t340=(-1000.0,), t341=(1000.0,)),
            _rgb(files.levels((GREY * 2000).round() / 2000)),
            ROUNDED,
        ),
    }
    for bits in (1, 2, 4):
        stored = _grey_levels(2**bits)
        right = _rgb(files.levels(stored / (2**bits - 1)))
        cases[f"png {bits}-bit grey"] = (files.png(stored, bits), right, EXACT)
        cases[f"tiff {bits}-bit grey"] = (files.tiff(stored, 1, bits=bits), right, EXACT)
        cases[f"tiff {bits}-bit white is zero"] = (files.tiff(2**bits - 1 - stored, 0, bits=bits), right, EXACT)
        key = struct.pack(">H", 2**bits - 1)
        only = (stored == 2**bits - 1)[..., None]
        cases[f"png {bits}-bit grey with tRNS"] = (files.png(stored, bits, tRNS=key), np.where(only, 255, right), EXACT)
    return cases


def _transparent() -> dict[str, tuple[bytes, Pixels, int]]:
    """Alpha of every kind, on white."""
    deep = (GREY * 65535).round().astype(np.uint16)
    key = int(deep[36, 48])
    keyed = np.where((deep == key)[..., None], 255, _rgb(files.levels(deep / 65535)))
    one = tuple(int(level) for level in C8[36, 48])
    with_alpha = np.concatenate([C8, ALPHA[..., None]], -1)
    premultiplied = np.concatenate([(C8 * (ALPHA[..., None] / 255)).round(), ALPHA[..., None]], -1).astype(np.uint8)
    grey_premultiplied = np.stack([(G8 * (ALPHA / 255)).round(), ALPHA], -1).astype(np.uint8)
    return {
        "png rgba": (files.png(with_alpha), _on_white(C8, ALPHA), ROUNDED),
        "png la": (files.png(np.stack([G8, ALPHA], -1)), _on_white(_rgb(G8), ALPHA), ROUNDED),
        "png 16-bit grey with tRNS": (files.png(deep, 16, tRNS=struct.pack(">H", key)), keyed, ROUNDED),
        "png 8-bit grey with tRNS": (
            files.png(G8, tRNS=struct.pack(">H", G8[36, 48])),
            np.where((G8[36, 48] == G8)[..., None], 255, _rgb(G8)),
            EXACT,
        ),
        "png rgb with tRNS": (
            files.png(C8, tRNS=struct.pack(">HHH", *one)),
            np.where((one == C8).all(-1)[..., None], 255, C8),
            EXACT,
        ),
        "png palette": (*_palette(alpha=False), EXACT),
        "png palette with tRNS": (*_palette(alpha=True), ROUNDED),
        "tiff rgba": (files.tiff(with_alpha, 2, t338=(2,)), _on_white(C8, ALPHA), ROUNDED),
        "tiff premultiplied": (files.tiff(premultiplied, 2, t338=(1,)), _on_white(C8, ALPHA), ROUNDED),
        "tiff la": (files.tiff(np.stack([G8, ALPHA], -1), 1, t338=(2,)), _on_white(_rgb(G8), ALPHA), ROUNDED),
        "tiff grey premultiplied": (files.tiff(grey_premultiplied, 1, t338=(1,)), _on_white(_rgb(G8), ALPHA), ROUNDED),
        "tiff fourth channel that is no alpha": (files.tiff(with_alpha, 2, t338=(0,)), C8, EXACT),
        "webp rgba": (
            samples.encode(Image.fromarray(with_alpha), "WEBP", lossless=True, exact=True),
            _on_white(C8, ALPHA),
            ROUNDED,
        ),
    }


def _other_models() -> dict[str, tuple[bytes, Pixels, int]]:
    """CMYK, YCbCr, L*a*b*, interlacing."""
    ink = _cmyk(inverted=False)
    adobe = _jpeg(ink, "CMYK")
    bare = _without_adobe(_jpeg(_cmyk(inverted=True), "CMYK"))  # Pillow inverts while it writes
    ycbcr = np.asarray(Image.fromarray(C8).convert("YCbCr"))
    return {
        "jpeg CMYK of Adobe": (adobe, CMYK_SHOWN, LOSSY),
        "jpeg CMYK without marker": (bare, CMYK_SHOWN, LOSSY),
        "tiff CMYK": (files.tiff(ink, 5), CMYK_SHOWN, ROUNDED),
        "tiff 16-bit CMYK": (files.tiff(ink.astype(np.uint16) * 257, 5), CMYK_SHOWN, ROUNDED),
        "jpeg CMYK with profile for rgb": (_jpeg(ink, "CMYK", icc_profile=P3), CMYK_SHOWN, LOSSY),
        "tiff YCbCr": (files.tiff(ycbcr, 6, t530=(1, 1)), C8, CONVERTED),
        "tiff CMYK with its profile": (*_print(), CONVERTED),
        "tiff Lab": (*_lab(), CONVERTED),
        "jpeg rgb, no YCbCr": (samples.encode(Image.fromarray(C8), "JPEG", quality=95, keep_rgb=True), C8, LOSSY),
        "png interlaced": (_interlaced(), C8, EXACT),
        "jpeg progressive": (_jpeg(C8, progressive=True), C8, LOSSY),
        "gif": (samples.encode(Image.fromarray(G8), "GIF"), _rgb(G8), EXACT),
        "bmp 1-bit": (
            samples.encode(Image.fromarray((G8 > 127).astype(np.uint8) * 255).convert("1"), "BMP"),
            _rgb((G8 > 127) * 255),
            EXACT,
        ),
    }


def _orientations() -> dict[str, tuple[bytes, Pixels, int]]:
    return {
        f"{encoding} orientation {number}": (*_turned(number, encoding), EXACT if encoding in ("PNG", "TIFF") else LOSSY)
        for encoding in ("JPEG", "PNG", "TIFF")
        for number in range(1, 9)
    }


CORPUS = _profiled() | _deep() | _transparent() | _other_models() | _orientations()


def _shown(body: bytes) -> Pixels:
    """Pixels of a PNG of ours, on white, always three channels."""
    image = samples.opened(body)
    assert "icc_profile" not in image.info
    if image.mode == "RGBA":
        return _on_white(np.asarray(image)[..., :3].astype(float), np.asarray(image)[..., 3])
    return np.asarray(image.convert("RGB")).astype(float)


@pytest.mark.parametrize("name", CORPUS)
def test_every_export_is_right_srgb(name: str) -> None:
    """The compressed form within the tolerance of the case, the thumbnail within that and a JPEG's at quality 75; both upright."""
    body, right, tolerance = CORPUS[name]
    shown = _shown(compress(body, CompressionRules("png")).body)
    assert shown.shape == right.shape
    assert abs(shown - right).max() <= tolerance + 0.51  # the right pixels are rounded to levels too
    assert abs(shown - right).mean() < 2
    verdict = validate(body, BASIC)
    assert verdict.reason is None, verdict.detail
    thumbnail = np.asarray(samples.opened(verdict.thumbnail or b"").convert("RGB")).astype(float)
    smoothed = thumbnail.shape == right.shape and abs(thumbnail - right).mean()
    assert smoothed < 5


@pytest.mark.parametrize("name", ["jpeg Display P3", "png 16-bit grey", "tiff 16-bit white is zero", "jpeg CMYK without marker"])
def test_keep_leaves_the_bytes_alone(name: str) -> None:
    """Whatever stands in them."""
    body = CORPUS[name][0]
    assert compress(body, CompressionRules()).body == body


def _on_paper(body: bytes) -> Pixels:
    """What a viewer shows of any of our outputs."""
    image = samples.opened(body).convert("RGBA")
    return _on_white(np.asarray(image)[..., :3].astype(float), np.asarray(image)[..., 3])


@pytest.mark.parametrize("encoding", ["jpeg", "webp", "png"])
def test_every_mode_can_be_written_by_every_encoder(encoding: Literal["jpeg", "webp", "png"]) -> None:
    """Ink, alpha, palettes, 1 to 32 bits: what an encoder lacks is converted first, and the colours stay right."""
    for name in WRITTEN:
        body, right, _ = CORPUS[name]
        output = compress(body, CompressionRules(encoding, 95))
        assert output.format == encoding
        assert abs(_on_paper(output.body) - right).mean() < 3, name


WRITTEN = (
    "tiff CMYK", "jpeg CMYK of Adobe", "png rgba", "png la", "png palette with tRNS", "png 1-bit grey", "bmp 1-bit", "png 16-bit grey",
    "png 16-bit grey with tRNS", "png 16-bit rgb", "tiff 32-bit", "tiff float", "tiff Lab", "tiff YCbCr", "png grey profile",
    "JPEG orientation 6",
)  # fmt: skip


def _png_with(**chunks: bytes) -> bytes:
    return files.png(C8, **chunks)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (files.tiff((GREY * 4).astype(np.float32), 1), "32-bit float samples from"),
        (files.tiff((GREY - 0.5).astype(np.float32), 1), "32-bit float samples from"),
        (files.tiff(np.where(GREY > 0.5, np.inf, GREY).astype(np.float32), 1), "to inf"),
        (files.tiff((GREY * 2000 - 1000).astype(np.int16), 1), "16-bit signed samples from"),
        (files.tiff((GREY * 100_000).astype(np.uint32), 1), "32-bit unsigned samples from"),
        (files.tiff((GREY * 200 - 100).astype(np.int8), 1), "8-bit signed samples from"),
        (files.png((COLOUR * 65535).astype(np.uint16), 16, tRNS=bytes(6)), "16 bits a channel with a transparent colour"),
        (_png_with(cICP=bytes((9, 16, 0, 1))), "high dynamic range (PQ)"),
        (_png_with(cICP=bytes((9, 18, 0, 1))), "high dynamic range (HLG)"),
        (_png_with(cICP=bytes((1, 13, 0, 0))), "narrow-range"),
        (_png_with(cICP=bytes((77, 13, 0, 1))), "colour primaries 77"),
        (_avif(9, 16), "high dynamic range (PQ)"),
        (files.tiff(C8, 6, t530=(2, 2)), "subsampled (2, 2)"),
    ],
)
def test_what_cannot_be_converted_is_refused_by_name(body: bytes, words: str) -> None:
    """Reason ``format``, with what is in the file."""
    verdict = validate(body, BASIC)
    assert verdict.reason is Reason.FORMAT, verdict.detail
    assert words in verdict.detail
