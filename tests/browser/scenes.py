"""Drawn pictures for datasets that people look at: four kinds of scenes in many moods. The same seed gives the same picture."""

import io
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image, ImageDraw

__all__ = ["SCENES", "draw", "jpeg"]

Colour = tuple[int, int, int]

SKIES: tuple[tuple[Colour, Colour], ...] = (
    ((74, 134, 196), (226, 238, 242)),
    ((38, 44, 92), (244, 158, 108)),
    ((94, 90, 140), (250, 206, 186)),
    ((120, 176, 208), (252, 244, 216)),
    ((18, 24, 56), (70, 92, 140)),
    ((150, 170, 184), (224, 226, 222)),
)
"""Colours of the top and of the horizon: noon, sunset, dawn, haze, night, overcast."""

SIZES = ((640, 427), (640, 480), (480, 600), (640, 360), (520, 520))


def draw(kind: str, seed: int) -> Image.Image:
    """A scene of a kind of :data:`SCENES`, with a little grain as of a camera."""
    random = np.random.default_rng([seed, *kind.encode()])
    width, height = SIZES[seed % len(SIZES)]
    picture = _sky(random, width, height)
    SCENES[kind](random, ImageDraw.Draw(picture), width, height)
    grain = random.normal(0, 4, (height, width, 1))
    return Image.fromarray(np.clip(np.asarray(picture) + grain, 0, 255).astype(np.uint8))


def jpeg(picture: Image.Image, quality: int = 88) -> bytes:
    """The bytes of a picture."""
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return out.getvalue()


def _sky(random: np.random.Generator, width: int, height: int) -> Image.Image:
    top, low = (np.array(colour) for colour in SKIES[int(random.integers(len(SKIES)))])
    share = np.linspace(0, 1, height)[:, None, None] ** random.uniform(0.6, 1.4)
    rows = top * (1 - share) + low * share
    picture = Image.fromarray(np.broadcast_to(rows, (height, width, 3)).astype(np.uint8).copy())
    x, y, radius = random.uniform(0.1, 0.9) * width, random.uniform(0.1, 0.4) * height, random.uniform(0.04, 0.09) * width
    ImageDraw.Draw(picture).ellipse((x - radius, y - radius, x + radius, y + radius), fill=(254, 246, 214))
    return picture


def _tint(random: np.random.Generator, colour: Colour, by: int = 26) -> Colour:
    shifted = np.clip(np.array(colour) + random.integers(-by, by + 1, 3), 0, 255)
    return int(shifted[0]), int(shifted[1]), int(shifted[2])


def _ridge(random: np.random.Generator, width: int, base: float, rise: float) -> list[tuple[float, float]]:
    """A line of hills from left to right: three waves of random lengths."""
    xs = np.linspace(0, width, 90)
    waves = sum(np.sin(xs / width * random.uniform(2, 13) + random.uniform(0, 6.3)) * rise / part for part in (1, 2, 4))
    return [(float(x), float(base - y)) for x, y in zip(xs, np.asarray(waves), strict=True)]


def _hills(random: np.random.Generator, pen: ImageDraw.ImageDraw, width: int, height: int, far: Colour, near: Colour) -> None:
    """Four layers of hills, from the horizon to the foreground."""
    for layer in range(4):
        share = layer / 3
        colour = tuple(int(a * (1 - share) + b * share) for a, b in zip(far, near, strict=True))
        base = height * (0.5 + 0.14 * layer)
        line = _ridge(random, width, base, height * random.uniform(0.03, 0.1))
        pen.polygon([*line, (width, height), (0, height)], fill=_tint(random, (colour[0], colour[1], colour[2]), 10))


def _dunes(random: np.random.Generator, pen: ImageDraw.ImageDraw, width: int, height: int) -> None:
    _hills(random, pen, width, height, _tint(random, (226, 186, 138)), _tint(random, (176, 112, 62)))
    for _ in range(int(random.integers(4, 12))):
        x, y = random.uniform(0, width), random.uniform(0.7, 0.95) * height
        for blade in range(7):
            pen.line((x, y, x + (blade - 3) * 5, y - random.uniform(10, 34)), fill=(92, 104, 52), width=2)


def _meadow(random: np.random.Generator, pen: ImageDraw.ImageDraw, width: int, height: int) -> None:
    _hills(random, pen, width, height, _tint(random, (132, 168, 142)), _tint(random, (72, 122, 48)))
    petals = [_tint(random, colour) for colour in ((236, 84, 92), (250, 206, 72), (240, 240, 250), (150, 96, 190))]
    for _ in range(int(random.integers(60, 180))):
        x, depth = random.uniform(0, width), random.uniform(0.66, 1)
        y, radius = depth * height, 1 + 7 * (depth - 0.6)
        pen.line((x, y, x + 2, y + radius * 4), fill=(52, 96, 40), width=1)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=petals[int(random.integers(4))])


def _skyline(random: np.random.Generator, pen: ImageDraw.ImageDraw, width: int, height: int) -> None:
    for depth in range(3):
        x, shade = 0.0, _tint(random, (150 - 46 * depth, 156 - 46 * depth, 172 - 42 * depth), 14)
        while x < width:
            across, tall = random.uniform(0.05, 0.13) * width, random.uniform(0.2, 0.62 - 0.1 * depth) * height
            pen.rectangle((x, height - tall, x + across, height), fill=_tint(random, shade, 8))
            for window_y in np.arange(height - tall + 8, height - 8, 14):
                for window_x in np.arange(x + 6, x + across - 8, 11):
                    if random.random() < 0.16 + 0.12 * depth:
                        pen.rectangle((window_x, window_y, window_x + 5, window_y + 7), fill=(250, 222, 150))
            x += across + random.uniform(0, 8)


def _harbour(random: np.random.Generator, pen: ImageDraw.ImageDraw, width: int, height: int) -> None:
    sea, horizon = _tint(random, (46, 104, 138)), 0.55 * height
    pen.polygon([*_ridge(random, width, horizon, height * 0.05), (width, horizon), (0, horizon)], fill=_tint(random, (96, 108, 104)))
    pen.rectangle((0, horizon, width, height), fill=sea)
    for _ in range(140):
        x, y = random.uniform(0, width), random.uniform(horizon, height)
        pen.line((x, y, x + random.uniform(8, 46), y), fill=_tint(random, sea, 40), width=2)
    for y in sorted(random.uniform(0.58, 0.9, int(random.integers(2, 6)))):
        _boat(random, pen, float(random.uniform(0.08, 0.85) * width), float(y * height), float((y - 0.35) * 0.34 * width))


def _boat(random: np.random.Generator, pen: ImageDraw.ImageDraw, x: float, y: float, size: float) -> None:
    hull = _tint(random, ((170, 60, 52), (44, 62, 96), (232, 228, 216))[int(random.integers(3))])
    pen.polygon([(x - size, y), (x + size, y), (x + size * 0.7, y + size * 0.36), (x - size * 0.7, y + size * 0.36)], fill=hull)
    pen.line((x, y, x, y - size * 1.7), fill=(60, 50, 44), width=3)
    pen.polygon([(x + 4, y - size * 1.6), (x + 4, y - 6), (x + size * 0.9, y - 6)], fill=_tint(random, (244, 240, 228), 10))
    pen.polygon([(x - 4, y - size * 1.3), (x - 4, y - 6), (x - size * 0.7, y - 6)], fill=_tint(random, (226, 214, 190), 14))


SCENES: Mapping[str, Callable[[np.random.Generator, ImageDraw.ImageDraw, int, int], None]] = {
    "dunes": _dunes,
    "harbour": _harbour,
    "meadow": _meadow,
    "skyline": _skyline,
}
"""What can be drawn, by the label of its pictures."""
