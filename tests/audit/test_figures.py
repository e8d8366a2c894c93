"""Figures: each verdict both ways, from sources and runs made for it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.audit.coverage_file import Covered
from app.audit.figures import OF_RUNS, Figure, Mark, Overhead, of_coverage, of_overhead, of_run, of_sources, unmeasured
from app.audit.operations import OPERATIONS
from app.audit.overhead import LOGGING, RETRYING, Part
from app.audit.pipeline import Built
from app.audit.rule import judge
from app.audit.rules import RULES
from app.audit.sources import installed, parsed
from app.audit.traced import Evidence, Injected

FAULTS = ("MemoryError", "DatabaseConnectionError")
INJECTED = Injected({"http://h/1": 3}, FAULTS, "succeeded", FAULTS)


def line(event: str, level: str = "INFO", **fields: Any) -> dict[str, Any]:
    """A line of the job."""
    return {"event": event, "level": level, "job": "process_chunk", "job_id": "job_1"} | fields


def evidence() -> Evidence:
    """A run without a flaw: two URLs, one of which came at its second request."""
    lines = [line(event, **dict.fromkeys(fields - {"job_id"}, 1)) for o in OPERATIONS for event, fields in o.events.items()]
    lines = [said | ({"level": "WARNING", "status": 503} if said["event"] == "download.retry" else {}) for said in lines]
    document = {"job_id": "job_1", "retries": {"retried": 1, "recovered": 1}}
    built = Built(document, (*lines, {"event": "worker.started", "level": "INFO"}), 1.0, Path())
    return Evidence(built, {"http://h/1": 1, "http://h/2": 2}, journal=len(lines))


def marks(run: Evidence) -> Mapping[str, Mark]:
    """Verdicts by metric."""
    return {figure.metric: figure.mark for figure in of_run(run, INJECTED)}


def changed(document: dict[str, Any] | None = None, lines: tuple[Mapping[str, Any], ...] | None = None) -> Evidence:
    """The run with another document, or other lines."""
    run = evidence()
    return replace(run, built=replace(run.built, document=document or run.built.document, lines=lines or run.built.lines))


def without(event: str) -> tuple[Mapping[str, Any], ...]:
    """The lines but for an event's."""
    return tuple(said for said in evidence().built.lines if said["event"] != event)


def test_ours_are_met_by_the_sources() -> None:
    """12 of 12, every call, every module."""
    figures = of_sources(installed(), judge(RULES, installed()))
    assert [figure.mark for figure in figures] == [Mark.OK] * 3
    assert [figure.measured for figure in figures][:2] == ["12 of 12", "3 of 3 places that send, robots.txt's too"]


def test_sources_that_break_a_rule_miss_their_metric() -> None:
    """Nothing is ok because it is empty."""
    bad = parsed({"workers/x.py": "import logging, tenacity", "app/y.py": ""})
    figures = of_sources(bad, judge(RULES, bad))
    assert [figure.mark for figure in figures] == [Mark.MISSED] * 3
    assert figures[2].measured == "1 of 2"


def test_a_run_without_a_flaw_meets_everything() -> None:
    """With faults of the job layer and without."""
    assert set(marks(evidence()).values()) == {Mark.OK}
    success = of_run(evidence(), INJECTED)[-1]
    assert success.measured == "1 of 1 came (100%); retried 1 after 503"


@pytest.mark.parametrize(
    ("run", "missed"),
    [
        (replace(evidence(), hits={"http://h/1": 4, "http://h/2": 1}), {"no retry explosion", "retries that are logged"}),
        (replace(evidence(), hits={}), {"no retry explosion", "retries that are logged", "retry success rate visible"}),
        (replace(evidence(), journal=0), {"any job traceable by job_id"}),
        (
            changed(lines=(*evidence().built.lines, {"event": "x", "level": "DEBUG", "job": "process_chunk"})),
            {"any job traceable by job_id"},
        ),
        (changed({"job_id": "job_1", "retries": {"retried": 0, "recovered": 0}}), {"retry success rate visible"}),
        (replace(changed(lines=without("chunk.compressed")), journal=7), {"critical operations with their context"}),
        (
            replace(changed(lines=without("download.retry")), journal=7),
            {"critical operations with their context", "retries that are logged"},
        ),
    ],
)
def test_a_flaw_misses_its_metric(run: Evidence, missed: set[str]) -> None:
    """That one and no other."""
    assert {metric for metric, mark in marks(run).items() if mark is Mark.MISSED} == missed


@pytest.mark.parametrize(
    "injected",
    [
        replace(INJECTED, hits={"http://h/1": 4}),
        replace(INJECTED, hits={}),
        replace(INJECTED, retries=FAULTS[:1]),
        replace(INJECTED, state="failed"),
    ],
)
def test_faults_that_multiply_requests_or_end_the_job_miss_it(injected: Injected) -> None:
    """Also faults that nobody retried: then the run has shown nothing."""
    good, bad = of_run(evidence(), INJECTED)[1], of_run(evidence(), injected)[1]
    assert (good.mark, bad.mark) == (Mark.OK, Mark.MISSED)
    assert good.measured == "at most 3; 3 runs after MemoryError, DatabaseConnectionError; succeeded"


def test_what_an_operation_lacks_is_told() -> None:
    """By its name and its event."""
    figure = next(f for f in of_run(changed(lines=without("chunk.compressed")), INJECTED) if f.metric.startswith("critical"))
    assert figure.measured.startswith("4 of 5, ")
    assert "compression: no chunk.compressed" in figure.measured


def test_a_time_over_its_bound_is_reported_and_not_missed() -> None:
    """A busy machine measures badly."""
    within = Overhead(1000, (Part(RETRYING, "x", 1, 49), Part(LOGGING, "y", 1, 9)))
    assert [figure.mark for figure in of_overhead(within)] == [Mark.OK, Mark.OK]
    assert [figure.measured for figure in of_overhead(within)] == ["4.90% of 1.0 ms CPU an image", "0.90% of 1.0 ms CPU an image"]
    over = Overhead(1000, (Part(RETRYING, "x", 1, 51), Part(LOGGING, "y", 1, 11)))
    assert [figure.mark for figure in of_overhead(over)] == [Mark.OVER, Mark.OVER]


def test_coverage_is_met_missed_or_not_measured() -> None:
    """Never made up."""
    covered = Covered(91.2, {"app": 90.1, "errors": 100.0}, 200, "2026-01-01T00:00:00Z", ".coverage")
    assert of_coverage(covered) == Figure(
        "test coverage", ">= 90%", "91.2% of 200 files, least in app (90.1%)", Mark.OK, ".coverage, written 2026-01-01T00:00:00Z"
    )
    assert of_coverage(replace(covered, percent=89.9)).mark is Mark.MISSED
    assert of_coverage(None).mark is Mark.UNMEASURED
    assert "make test" in of_coverage(None).source


def test_without_a_run_its_metrics_are_named_all_the_same() -> None:
    """With the same bounds, and how to measure them."""
    assert dict(OF_RUNS) == {figure.metric: figure.bound for figure in [*of_run(evidence(), INJECTED), *of_overhead(Overhead(1, ()))]}
    assert {figure.mark for figure in unmeasured()} == {Mark.UNMEASURED}
