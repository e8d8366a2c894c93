"""Whether two shrunken datasets are the same pictures: sizes, bytes, and how near each is to a careful reduction of the original.

Both are read from WebDataset shards, matched by URL. Near is the structural similarity (SSIM) of brightness, after Wang et al. 2004.
"""

import io
import json
import random
import statistics
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import verdicts
from PIL import Image

__all__ = ["Compared", "Side", "compare", "judge", "nearness", "ssim", "table"]

SAMPLE: Final = 250
"""Pictures compared: drawn with a seed, enough for a mean that another draw does not move."""

_BYTES_APART: Final = 0.02
"""What mean file sizes may differ by and still count as the same quality."""

_WINDOW: Final = 11
_SIGMA: Final = 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
"""Window in pixels, and the constants, of the paper."""


@dataclass(frozen=True, slots=True)
class Side:
    """One dataset's part of the sample, means."""

    size_bytes: float
    ssim: float


@dataclass(frozen=True, slots=True)
class Compared:
    """Both, and how many pictures of the sample have the same width and height."""

    pictures: int
    same_size: int
    ours: Side
    theirs: Side


def compare(ours: Path, theirs: Path, originals: Path) -> Compared:
    """Draw pictures that both folders must hold, and compare them.

    Raises:
        SystemExit: the folders do not hold the same URLs.
    """
    mine, other = dict(_bodies(ours)), dict(_bodies(theirs))
    if mine.keys() != other.keys() or not mine:
        raise SystemExit(f"{ours} and {theirs} do not hold the same URLs: {len(mine)} and {len(other)}")
    drawn = random.Random(0).sample(sorted(mine), min(SAMPLE, len(mine)))
    same = sum(_opened(mine[url]).size == _opened(other[url]).size for url in drawn)
    sides = [_side([(bodies[url], originals / url.rpartition("/")[2]) for url in drawn]) for bodies in (mine, other)]
    return Compared(len(drawn), same, sides[0], sides[1])


def judge(row: str, found: Compared) -> list[verdicts.Verdict]:
    """Same sizes, same bytes within a little, and at least as near to the original."""
    same = found.same_size / found.pictures
    size = found.ours.size_bytes / found.theirs.size_bytes
    nearer = found.ours.ssim - found.theirs.ssim
    return [
        verdicts.Verdict(row, "pictures of the same width and height", "all", (same,), (), same == 1),
        verdicts.Verdict(row, "mean file size, in theirs", f"within {_BYTES_APART:.0%}", (size,), (), abs(size - 1) <= _BYTES_APART, ".3f"),
        verdicts.Verdict(row, "SSIM to the original, less theirs", ">= 0", (nearer,), (), nearer >= 0, ".4f"),
    ]


def table(found: Compared) -> str:
    """What was compared, in Markdown."""
    lines = [f"| {found.pictures} pictures, {found.same_size} of the same width and height | pictrawl | img2dataset |", "|---|---|---|"]
    lines.append(f"| mean file size, bytes | {found.ours.size_bytes:,.0f} | {found.theirs.size_bytes:,.0f} |")
    lines.append(f"| mean SSIM to a LANCZOS reduction of the original | {found.ours.ssim:.5f} | {found.theirs.ssim:.5f} |")
    return "\n".join(lines)


def ssim(one: np.ndarray, other: np.ndarray) -> float:
    """Mean structural similarity of two pictures of brightness, 0 to 255; 1 for the same picture."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    mean_one, mean_other = _blurred(one), _blurred(other)
    spread_one, spread_other = _blurred(one * one) - mean_one**2, _blurred(other * other) - mean_other**2
    together = _blurred(one * other) - mean_one * mean_other
    likeness = (2 * mean_one * mean_other + _C1) * (2 * together + _C2)
    return float(np.mean(likeness / ((mean_one**2 + mean_other**2 + _C1) * (spread_one + spread_other + _C2))))


def _blurred(values: np.ndarray) -> np.ndarray:
    """Gaussian weights along both axes, where the whole window fits."""
    weights = np.exp(-((np.arange(_WINDOW) - _WINDOW // 2) ** 2) / (2 * _SIGMA**2))
    weights /= weights.sum()
    height, width = (side - _WINDOW + 1 for side in values.shape)
    down = sum(weight * values[at : at + height] for at, weight in enumerate(weights))
    return sum(weight * down[:, at : at + width] for at, weight in enumerate(weights))


def _side(sample: list[tuple[bytes, Path]]) -> Side:
    near = [_nearness_to(original, body) for body, original in sample]
    return Side(statistics.fmean(len(body) for body, _ in sample), statistics.fmean(near))


def nearness(body: bytes, original: Image.Image) -> float:
    """SSIM to what Pillow's slow, exact filter makes of the original at the same size."""
    small = _opened(body)
    reference = original.convert("RGB").resize(small.size, Image.Resampling.LANCZOS)
    return ssim(np.asarray(small.convert("L")), np.asarray(reference.convert("L")))


def _nearness_to(original: Path, body: bytes) -> float:
    with Image.open(original) as large:
        return nearness(body, large)


def _opened(body: bytes) -> Image.Image:
    return Image.open(io.BytesIO(body))


def _bodies(folder: Path) -> Iterator[tuple[str, bytes]]:
    """URL and bytes of every picture in the shards."""
    for shard in sorted(folder.glob("*.tar")):
        members: dict[str, dict[str, bytes]] = {}
        with tarfile.open(shard) as archive:
            for member in archive:
                key, _, kind = member.name.partition(".")
                file = archive.extractfile(member)
                members.setdefault(key, {})[kind] = file.read() if file else b""
        yield from ((json.loads(kinds["json"])["url"], kinds["jpg"]) for kinds in members.values() if "json" in kinds)
