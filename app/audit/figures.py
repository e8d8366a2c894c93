"""The success metrics as a table: each with its bound, the measured figure, a verdict and where the figure comes from. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from app.audit.coverage_file import HOW, Covered
from app.audit.jobs import EXPLICIT, explicit
from app.audit.overhead import BOUNDS, LOGGING, RETRYING, Part, share_of
from app.audit.policy import sends
from app.audit.rule import Verdict
from app.audit.sources import Sources
from app.audit.traced import Evidence, Injected

__all__ = ["Figure", "Mark", "Overhead", "of_coverage", "of_overhead", "of_run", "of_sources", "unmeasured"]

COVERAGE_PERCENT = 90.0
MOST_REQUESTS = 3
RUN = "this run: "


class Mark(StrEnum):
    """What came of a figure."""

    OK = "ok"
    MISSED = "missed"
    OVER = "over"
    """A time over its bound: reported, and no failure, since a busy machine measures badly."""
    UNMEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Figure:
    """One success metric."""

    metric: str
    bound: str
    measured: str
    mark: Mark
    source: str


@dataclass(frozen=True, slots=True)
class Overhead:
    """What an image's CPU is, and the parts of it that the audit counts."""

    cpu_us_per_image: float
    parts: tuple[Part, ...]


def of_sources(sources: Sources, verdicts: Sequence[Verdict]) -> list[Figure]:
    """What the sources alone tell."""
    good, jobs = explicit(sources)
    guarded = [is_guarded for _, _, is_guarded in sends(sources)]
    holds = {verdict.rule.name: verdict.holds for verdict in verdicts}
    network = all(holds[name] for name in ("through-tenacity", "one-tenacity", "http-in-downloader", "no-dialling", "store-retries"))
    logging = holds["one-logging"] and holds["constant-events"]
    return [
        Figure("jobs with an explicit retry rule", "12 of 12", f"{good} of {jobs}", _mark(good == jobs == 12), f"rule {EXPLICIT.name}"),
        Figure(
            "network calls through Tenacity",
            "every one",
            f"{sum(guarded)} of {len(guarded)} places that send, robots.txt's too",
            _mark(network and bool(guarded) and all(guarded)),
            "rules through-tenacity to store-retries",
        ),
        Figure(
            "modules that log by the rules", "every one", _modules(sources, verdicts), _mark(logging), "rules one-logging, constant-events"
        ),
    ]


def _modules(sources: Sources, verdicts: Sequence[Verdict]) -> str:
    broken = {b.path for v in verdicts if v.rule.name in ("one-logging", "constant-events") for b in v.breaches}
    return f"{len(sources) - len(broken)} of {len(sources)}"


def of_run(run: Evidence, injected: Injected) -> list[Figure]:
    """What a run against a failing origin tells, and one into which faults were put."""
    return [_explosion(run), _job_layer(injected), _operations(run), _retries_logged(run), _traceable(run), _success(run)]


def _explosion(run: Evidence) -> Figure:
    most, wanted = max(run.hits.values(), default=0), sum(run.hits.values())
    measured = f"at most {most}; {wanted} requests for {len(run.hits)} URLs"
    return Figure(
        "no retry explosion", f"<= {MOST_REQUESTS} a URL", measured, _mark(0 < most <= MOST_REQUESTS), RUN + "counted by the origin"
    )


JOB_LAYER = "no explosion under errors of the job layer"
OF_RUNS = (
    ("no retry explosion", f"<= {MOST_REQUESTS} a URL"),
    (JOB_LAYER, f"<= {MOST_REQUESTS} a URL, 4 runs"),
    ("critical operations with their context", "5 of 5"),
    ("retries that are logged", "every one"),
    ("any job traceable by job_id", "every line"),
    ("retry success rate visible", "as the origin counts"),
    ("retry overhead", "< 5%"),
    ("logging overhead", "< 1%"),
)
"""What needs a run, with its bound; a test holds it against the figures of one."""


def _job_layer(run: Injected) -> Figure:
    most, runs = max(run.hits.values(), default=0), len(run.retries) + 1
    measured = f"at most {most}; {runs} runs after {', '.join(run.faults)}; {run.state}"
    holds = 0 < most <= MOST_REQUESTS and run.retries == run.faults and run.state == "succeeded"
    return Figure(
        JOB_LAYER, f"<= {MOST_REQUESTS} a URL, 4 runs", measured, _mark(holds), "a second run: faults in mid-chunk, the origin's count"
    )


def _operations(run: Evidence) -> Figure:
    found = run.operations()
    missing = [f"{name}: {', '.join(lack)}" for name, (_, lack) in found.items() if lack]
    lines = sum(count for count, _ in found.values())
    measured = f"{len(found) - len(missing)} of {len(found)}, {lines} lines" + (f"; {'; '.join(missing)}" if missing else "")
    return Figure("critical operations with their context", "5 of 5", measured, _mark(not missing), RUN + "its log at DEBUG")


def _retries_logged(run: Evidence) -> Figure:
    said = len(run.retry_lines)
    measured = f"{said} lines for {run.repeats} repeated requests"
    return Figure(
        "retries that are logged", "every one", measured, _mark(said == run.repeats > 0), RUN + "its log against the origin's count"
    )


def _traceable(run: Evidence) -> Figure:
    lines, journal, rows = len(run.of_job), run.journal_lines, run.journal
    measured = f"{run.traceable} of {lines} lines of its jobs; {rows} of {journal} in `jobs logs`"
    is_whole = run.traceable == lines > 0 and rows == journal > 0
    return Figure("any job traceable by job_id", "every line", measured, _mark(is_whole), RUN + "its log against its journal")


def _success(run: Evidence) -> Figure:
    retries = run.built.document["retries"]
    retried, recovered = retries["retried"], retries["recovered"]
    measured = f"{recovered} of {retried} came ({_percent(recovered / retried) if retried else 'none'}); retried {_causes(run)}"
    source = RUN + "`build --json` against the origin's count"
    return Figure("retry success rate visible", "as the origin counts", measured, _mark(retried == run.retried > 0), source)


def _causes(run: Evidence) -> str:
    causes: dict[str, int] = {}
    for line in run.retry_lines:
        cause = str(line.get("status") or line.get("error_type"))
        causes[cause] = causes.get(cause, 0) + 1
    return ", ".join(f"{count} after {cause}" for cause, count in sorted(causes.items()))


def of_overhead(found: Overhead) -> list[Figure]:
    """The retry layer's and the log's share of an image's CPU."""
    return [_share("retry overhead", RETRYING, found), _share("logging overhead", LOGGING, found)]


def _share(metric: str, of: str, found: Overhead) -> Figure:
    share, most = share_of(of, found.parts, found.cpu_us_per_image), BOUNDS[of]
    measured = f"{_percent(share, 2)} of {found.cpu_us_per_image / 1000:.1f} ms CPU an image"
    source = "this run: calls per image x cost per call / CPU per image"
    return Figure(metric, f"< {most:.0%}", measured, Mark.OK if share < most else Mark.OVER, source)


def of_coverage(covered: Covered | None) -> Figure:
    """Lines and branches that the tests run."""
    metric, bound = "test coverage", f">= {COVERAGE_PERCENT:.0f}%"
    if covered is None:
        return Figure(metric, bound, "not measured", Mark.UNMEASURED, f"{HOW}; --coverage FILE")
    name, least = min(covered.by_package.items(), key=lambda entry: entry[1])
    measured = f"{covered.percent:.1f}% of {covered.files} files, least in {name} ({least:.1f}%)"
    is_met = covered.percent >= COVERAGE_PERCENT
    return Figure(metric, bound, measured, _mark(is_met), f"{covered.path}, written {covered.at}")


def unmeasured() -> list[Figure]:
    """The metrics that need a run, where there was none."""
    return [Figure(metric, bound, "not measured", Mark.UNMEASURED, "leave --static out") for metric, bound in OF_RUNS]


def _mark(holds: bool) -> Mark:
    return Mark.OK if holds else Mark.MISSED


def _percent(share: float, digits: int = 0) -> str:
    return f"{share:.{digits}%}"
