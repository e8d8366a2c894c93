"""The audit as a whole: rules over the sources, the runs, the coverage, and what of it fails."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from app.audit import figures
from app.audit.coverage_file import Covered, find, read
from app.audit.figures import Figure, Mark, Overhead
from app.audit.rule import Verdict, judge
from app.audit.rules import RULES
from app.audit.sources import Sources, below, installed
from app.cli.failures import Refused
from app.cli.state import Cli

__all__ = ["Audit", "inspect"]

CALLS = 1000
"""How often a call is timed in a batch."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found. ``overhead`` is what the timing figures are made of, where there was a run."""

    verdicts: tuple[Verdict, ...]
    figures: tuple[Figure, ...]
    overhead: Overhead | None

    @property
    def failures(self) -> list[str]:
        """Names of the rules that are broken and of the metrics that are missed."""
        broken = [verdict.rule.name for verdict in self.verdicts if not verdict.holds]
        return broken + [figure.metric for figure in self.figures if figure.mark is Mark.MISSED]


def inspect(cli: Cli, *, static: bool, images: int, coverage: Path | None, source: Path | None) -> Audit:
    """Do everything that was asked for.

    Raises:
        Refused: there are no sources in ``source``.
        errors.ConfigurationError: ``coverage`` is no file of coverage.
    """
    sources = _sources(source)
    covered = _covered(coverage, sources)
    verdicts = judge(RULES, sources)
    found = figures.of_sources(sources, verdicts)
    overhead = None
    if static or source is not None:
        found += figures.unmeasured()
    else:
        measured, overhead = _measured(cli, images)
        found += measured
    return Audit(verdicts, (*found, figures.of_coverage(covered)), overhead)


def _sources(folder: Path | None) -> Sources:
    sources = installed() if folder is None else below(folder)
    if not sources:
        raise Refused(
            f"there are no sources of pictrawl in {folder}", "name the folder that holds app, workers, downloader, errors and logging_setup"
        )
    return sources


def _covered(given: Path | None, sources: Sources) -> Covered | None:
    """What was named must be readable; what merely lies here need not be ours."""
    import errors

    known = [module.path for module in sources.values()]
    if given is not None:
        return read(given, known)
    lying = find(Path.cwd())
    try:
        return read(lying, known) if lying else None
    except errors.ConfigurationError:
        return None


def _measured(cli: Cli, images: int) -> tuple[list[Figure], Overhead]:
    from app.cli.audit.measuring import measure
    from app.cli.session import run

    cli.note("running small builds against a failing host on 127.0.0.1; this takes half a minute")
    with tempfile.TemporaryDirectory(prefix="pictrawl-audit-") as folder:
        measured = run(measure(cli, Path(folder), images, CALLS))
    return figures.of_run(measured.evidence, measured.injected) + figures.of_overhead(measured.overhead), measured.overhead
