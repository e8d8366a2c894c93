"""What the runs of the comparison come to: ratios of one round each, their median and range, whether a target is met, and the tables.

Pure: runs in, text out.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Runs", "Target", "Verdict", "judge", "ratio_table", "ratios", "run_table", "spread"]

Runs = Mapping[str, Sequence[Any]]
"""By the name of a contestant its runs, one a round; of each the attributes of `contestants.Ran` are read."""

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
    """What one figure of ours must be, alone or beside the same figure of another's run in the same round.

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
    """A target with what was measured: a value a round, and the steady ratios where the target is one of whole commands."""

    row: str
    what: str
    bound: str
    values: tuple[float, ...]
    steady: tuple[float, ...]
    met: bool
    style: str = ".2f"
    """How its values are written."""


def judge(target: Target, runs: Runs) -> Verdict:
    """Hold a target to the median of its rounds."""
    ours = runs[target.ours]
    other = runs[target.other] if target.other is not None else None
    values = ratios(ours, other, target.field) if other is not None else tuple(float(getattr(run, target.field)) for run in ours)
    steady = ratios(ours, other, STEADY) if other is not None and target.field == WHOLE else ()
    measured = statistics.median(values)
    met = measured <= target.bound if target.is_most else measured >= target.bound
    return Verdict(target.row, target.what, f"{'<=' if target.is_most else '>='} {target.bound:g}", values, steady, met)


def ratios(ours: Sequence[Any], other: Sequence[Any], field: str) -> tuple[float, ...]:
    """Ours by theirs, round by round."""
    return tuple(float(getattr(mine, field) / getattr(theirs, field)) for mine, theirs in zip(ours, other, strict=True))


def spread(values: Sequence[float], style: str) -> str:
    """Median, and in brackets the range."""
    return f"{statistics.median(values):{style}} ({min(values):{style}} to {max(values):{style}})" if values else "-"


def run_table(rows: Mapping[str, Runs]) -> str:
    """A line for each contestant of each row."""
    lines = [_line("Row", "Contestant", "Images", *(head for head, _, _ in _COLUMNS)), _line(*["---"] * (3 + len(_COLUMNS)))]
    for row, runs in rows.items():
        for name, found in runs.items():
            cells = [spread(_known(found, field), style) for _, field, style in _COLUMNS]
            lines.append(_line(row, name, f"{found[0].images:,}", *cells))
    return "\n".join(lines)


def ratio_table(verdicts: Sequence[Verdict]) -> str:
    """A line for each target."""
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
