"""Ratios, medians, verdicts and tables of the comparison."""

from dataclasses import dataclass

import pytest
import verdicts


@dataclass
class Run:
    """What a verdict reads of a run."""

    images: int = 100
    per_s: float = 1.0
    steady_per_s: float = 1.0
    cpu_ms: float = 1.0
    peak_mb: float = 1.0
    first_s: float | None = None


RUNS = {
    "we": [Run(per_s=10, steady_per_s=20, first_s=1.0), Run(per_s=30, steady_per_s=20, first_s=2.0), Run(per_s=24, first_s=9.0)],
    "they": [Run(per_s=10), Run(per_s=10), Run(per_s=8, peak_mb=4.0)],
}


def test_a_ratio_is_of_two_runs_of_one_round() -> None:
    """Never of one contestant's median by the other's: a machine's speed drifts from round to round."""
    assert verdicts.ratios(RUNS["we"], RUNS["they"], "per_s") == (1.0, 3.0, 3.0)


def test_ratios_want_as_many_rounds_of_both() -> None:
    """A round that one of them lacks is no round."""
    with pytest.raises(ValueError, match="shorter"):
        verdicts.ratios(RUNS["we"], RUNS["they"][:2], "per_s")


@pytest.mark.parametrize(("bound", "met"), [(2.9, True), (3.0, True), (3.1, False)])
def test_least_is_held_by_the_median(bound: float, met: bool) -> None:
    """One slow round misses no target, one fast one meets none; the steady ratios stand beside it."""
    verdict = verdicts.judge(verdicts.Target("row", "we x they", "we", "they", bound), RUNS)
    assert verdict.met is met
    assert verdict.values == (1.0, 3.0, 3.0)
    assert verdict.steady == (20.0, 20.0, 1.0)


@pytest.mark.parametrize(("bound", "met"), [(1.9, False), (2.0, True)])
def test_most_is_held_by_the_median_of_ours_alone(bound: float, met: bool) -> None:
    """A target without another's figure reads ours."""
    verdict = verdicts.judge(verdicts.Target("row", "first", "we", None, bound, "first_s", is_most=True), RUNS)
    assert verdict.met is met
    assert verdict.values == (1.0, 2.0, 9.0)
    assert verdict.steady == ()


def test_tables_say_median_and_range_and_what_is_missed() -> None:
    """They are pasted as they are, so every line has as many cells as the head."""
    missed = verdicts.judge(verdicts.Target("row", "we x they", "we", "they", 4), RUNS)
    for table in (verdicts.run_table({"row": RUNS}), verdicts.ratio_table([missed])):
        assert len({line.count("|") for line in table.splitlines()}) == 1
    assert "| 24 (10 to 30) |" in verdicts.run_table({"row": RUNS})
    assert "| 1.00, 3.00, 3.00 | 3.00 (1.00 to 3.00) | 20.00 (1.00 to 20.00) | **MISSED** |" in verdicts.ratio_table([missed])


def test_what_a_contestant_cannot_say_is_a_dash() -> None:
    """img2dataset does not tell when its first image came."""
    assert verdicts.run_table({"row": {"they": RUNS["they"]}}).endswith(" | - |")
