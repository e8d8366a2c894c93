"""Shares are calls times cost over CPU. No test here asserts how long anything takes."""

import pstats
from pathlib import Path

from overhead import BOUNDS, LOGGING, RETRYING, Counts, LoggingCosts, RetryCosts, counts, logging_costs, parts, share_of

OFTEN = Counts(retries=1, states=2, lines=3, redacted=4, contexts=5)


def test_a_share_is_calls_times_cost_over_an_images_cpu() -> None:
    """Written lines do not count as filtered ones."""
    found = parts(OFTEN, 0.5, RetryCosts(10, 20, 30), LoggingCosts(100, 10, 1, 2))
    assert [part.us_per_image for part in found] == [10, 40, 60, 50, 25, 5, 8]
    assert share_of(RETRYING, found, 1100) == 0.1
    assert share_of(LOGGING, found, 880) == 0.1
    assert BOUNDS == {RETRYING: 0.05, LOGGING: 0.01}


def test_more_lines_than_were_counted_cost_nothing_below_zero() -> None:
    """A library's lines reach the file without a call of ours."""
    assert parts(OFTEN, 9, RetryCosts(0, 0, 0), LoggingCosts(0, 1, 0, 0))[4].calls == 0


def test_calls_are_counted_by_function_and_file(tmp_path: Path) -> None:
    """A context counts once although its generator runs twice; functions of the same name in other files do not count."""
    stats = pstats.Stats()
    stats.stats = {  # type: ignore[attr-defined]
        ("/x/tenacity/__init__.py", 1, "begin"): (8, 8, 0.0, 0.0, {}),
        ("/x/other/__init__.py", 1, "begin"): (8, 8, 0.0, 0.0, {}),
        ("/x/loguru/_logger.py", 1, "contextualize"): (16, 16, 0.0, 0.0, {}),
        ("/x/loguru/_logger.py", 9, "_log"): (2, 2, 0.0, 0.0, {}),
    }
    stats.dump_stats(tmp_path / "profile")
    assert counts(tmp_path / "profile", 4) == Counts(retries=2, states=0, lines=0.5, redacted=0, contexts=2)


def test_a_line_is_written_and_timed(tmp_path: Path) -> None:
    """The file has the written lines and not the filtered ones."""
    costs = logging_costs(tmp_path, calls=2)
    assert min(costs.line_us, costs.filtered_us, costs.context_us, costs.redact_us) >= 0
    lines = (tmp_path / "lines.jsonl").read_text().splitlines()
    assert len(lines) == 14
    assert all('"event":"chunk.fetched"' in line and '"job_id":"job_1"' in line for line in lines)
