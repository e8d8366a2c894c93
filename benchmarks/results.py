"""What the runs of the comparison show: ratios, targets, tables, and whether two shrunken datasets are the same pictures.

A ratio is of two runs of one round, and a target is compared with the median of them. Shrunken pictures are read from WebDataset shards,
matched by URL and compared by the structural similarity (SSIM) of brightness, after Wang et al. 2004.
"""

import io
import json
import random
import statistics
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

__all__ = [
    *("Compared", "Runs", "Side", "Target", "Verdict", "compare", "judge", "judge_similarity", "similarity_to"),
    *("ratio_table", "ratios", "run_table", "similarity_table", "spread", "ssim"),
]

Runs = Mapping[str, Sequence[Any]]
"""The runs of each contestant by its name, one for each round; a run has the attributes of `contestants.RunResult`."""

WHOLE: Final = "per_s"
STEADY: Final = "steady_per_s"

_COLUMNS: Final = (
    ("Images/s, whole command", WHOLE, ",.0f"),
    ("Images/s, steady", STEADY, ",.0f"),
    ("CPU ms an image", "cpu_ms", ".2f"),
    ("Peak memory, MB", "peak_mb", ",.0f"),
    ("First image, s", "first_s", ".2f"),
)


@dataclass(frozen=True, slots=True)
class Target:
    """A bound of one figure of ours, or of its ratio to the same figure of another contestant's run in the same round.

    Attributes:
        row: what it belongs to.
        what: what is compared, in words.
        field: attribute of a run.
        bound: what the median must reach, or must not exceed where ``is_most``.
    """

    row: str
    what: str
    ours: str
    other: str | None
    bound: float
    field: str = WHOLE
    is_most: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target and its measured values, one for each round; also the steady ratios where the target is about whole commands."""

    row: str
    what: str
    bound: str
    values: tuple[float, ...]
    steady: tuple[float, ...]
    met: bool
    style: str = ".2f"
    """The format of the values."""


def judge(target: Target, runs: Runs) -> Verdict:
    """Compare the median over the rounds with the target."""
    ours = runs[target.ours]
    other = runs[target.other] if target.other is not None else None
    values = ratios(ours, other, target.field) if other is not None else tuple(float(getattr(run, target.field)) for run in ours)
    steady = ratios(ours, other, STEADY) if other is not None and target.field == WHOLE else ()
    measured = statistics.median(values)
    met = measured <= target.bound if target.is_most else measured >= target.bound
    return Verdict(target.row, target.what, f"{'<=' if target.is_most else '>='} {target.bound:g}", values, steady, met)


def ratios(ours: Sequence[Any], other: Sequence[Any], field: str) -> tuple[float, ...]:
    """Return ours divided by theirs for each round."""
    return tuple(float(getattr(mine, field) / getattr(theirs, field)) for mine, theirs in zip(ours, other, strict=True))


def spread(values: Sequence[float], style: str) -> str:
    """Return the median and, in brackets, the range."""
    return f"{statistics.median(values):{style}} ({min(values):{style}} to {max(values):{style}})" if values else "-"


def run_table(rows: Mapping[str, Runs]) -> str:
    """Return a table with a line for each contestant of each row."""
    lines = [_line("Row", "Contestant", "Images", *(head for head, _, _ in _COLUMNS)), _line(*["---"] * (3 + len(_COLUMNS)))]
    for row, runs in rows.items():
        for name, found in runs.items():
            cells = [spread(_known(found, field), style) for _, field, style in _COLUMNS]
            lines.append(_line(row, name, f"{found[0].images:,}", *cells))
    return "\n".join(lines)


def ratio_table(verdicts: Sequence[Verdict]) -> str:
    """Return a table with a line for each target."""
    heads = ("Row", "Target", "Bound", "Round by round", "Median (range)", "Steady, median (range)", "")
    lines = [_line(*heads), _line(*["---"] * len(heads))]
    for verdict in verdicts:
        each = ", ".join(f"{value:{verdict.style}}" for value in verdict.values)
        cells = (each, spread(verdict.values, verdict.style), spread(verdict.steady, ".2f"), "ok" if verdict.met else "**MISSED**")
        lines.append(_line(verdict.row, verdict.what, verdict.bound, *cells))
    return "\n".join(lines)


def _known(found: Sequence[Any], field: str) -> list[float]:
    return [value for run in found if (value := getattr(run, field)) is not None]


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


# --- similarity of shrunken pictures

SAMPLE: Final = 250
"""Pictures that are compared, drawn with a seed; another draw does not change the mean."""

_BYTES_APART: Final = 0.02
"""The most by which the mean file sizes may differ."""

_WINDOW: Final = 11
_SIGMA: Final = 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
"""Window in pixels and constants of the paper."""


@dataclass(frozen=True, slots=True)
class Side:
    """Means over the sample of one dataset."""

    size_bytes: float
    ssim: float


@dataclass(frozen=True, slots=True)
class Compared:
    """Both datasets, and how many pictures of the sample have the same width and height."""

    pictures: int
    same_size: int
    ours: Side
    theirs: Side


def compare(ours: Path, theirs: Path, originals: Path) -> Compared:
    """Draw a sample of the pictures of both folders and compare them.

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


def judge_similarity(row: str, found: Compared) -> list[Verdict]:
    """Return the verdicts: the same width and height, nearly the same file size, at least the same SSIM."""
    same = found.same_size / found.pictures
    size = found.ours.size_bytes / found.theirs.size_bytes
    nearer = found.ours.ssim - found.theirs.ssim
    return [
        Verdict(row, "pictures of the same width and height", "all", (same,), (), same == 1),
        Verdict(row, "mean file size, in theirs", f"within {_BYTES_APART:.0%}", (size,), (), abs(size - 1) <= _BYTES_APART, ".3f"),
        Verdict(row, "SSIM to the original, less theirs", ">= 0", (nearer,), (), nearer >= 0, ".4f"),
    ]


def similarity_table(found: Compared) -> str:
    """Return the comparison as a Markdown table."""
    lines = [f"| {found.pictures} pictures, {found.same_size} of the same width and height | pictrawl | img2dataset |", "|---|---|---|"]
    lines.append(f"| mean file size, bytes | {found.ours.size_bytes:,.0f} | {found.theirs.size_bytes:,.0f} |")
    lines.append(f"| mean SSIM to a LANCZOS reduction of the original | {found.ours.ssim:.5f} | {found.theirs.ssim:.5f} |")
    return "\n".join(lines)


def ssim(one: np.ndarray, other: np.ndarray) -> float:
    """Return the mean structural similarity of two brightness arrays, 0 to 255; 1 for equal ones."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    mean_one, mean_other = _blurred(one), _blurred(other)
    spread_one, spread_other = _blurred(one * one) - mean_one**2, _blurred(other * other) - mean_other**2
    together = _blurred(one * other) - mean_one * mean_other
    likeness = (2 * mean_one * mean_other + _C1) * (2 * together + _C2)
    return float(np.mean(likeness / ((mean_one**2 + mean_other**2 + _C1) * (spread_one + spread_other + _C2))))


def _blurred(values: np.ndarray) -> np.ndarray:
    """Blur with Gaussian weights along both axes, only where the whole window fits."""
    weights = np.exp(-((np.arange(_WINDOW) - _WINDOW // 2) ** 2) / (2 * _SIGMA**2))
    weights /= weights.sum()
    height, width = (side - _WINDOW + 1 for side in values.shape)
    down = sum(weight * values[at : at + height] for at, weight in enumerate(weights))
    return sum(weight * down[:, at : at + width] for at, weight in enumerate(weights))


def _side(sample: list[tuple[bytes, Path]]) -> Side:
    near = [_similarity_to_file(original, body) for body, original in sample]
    return Side(statistics.fmean(len(body) for body, _ in sample), statistics.fmean(near))


def similarity_to(body: bytes, original: Image.Image) -> float:
    """Return the SSIM to the original reduced to the same size by Pillow's LANCZOS filter."""
    small = _opened(body)
    reference = original.convert("RGB").resize(small.size, Image.Resampling.LANCZOS)
    return ssim(np.asarray(small.convert("L")), np.asarray(reference.convert("L")))


def _similarity_to_file(original: Path, body: bytes) -> float:
    with Image.open(original) as large:
        return similarity_to(body, large)


def _opened(body: bytes) -> Image.Image:
    return Image.open(io.BytesIO(body))


def _bodies(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the URL and bytes of every picture in the shards."""
    for shard in sorted(folder.glob("*.tar")):
        members: dict[str, dict[str, bytes]] = {}
        with tarfile.open(shard) as archive:
            for member in archive:
                key, _, kind = member.name.partition(".")
                file = archive.extractfile(member)
                members.setdefault(key, {})[kind] = file.read() if file else b""
        yield from ((json.loads(kinds["json"])["url"], kinds["jpg"]) for kinds in members.values() if "json" in kinds)
