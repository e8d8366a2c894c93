"""The report of a build: the document for scripts, the summary for people, the exit code."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from app.cli import exit_codes
from app.cli.changes import since_words
from app.cli.leaks import lopsided_words
from app.cli.output import width
from app.cli.rebuild_report import Rebuilt, load_rebuilt
from app.db import Database, attempts, crawl_pages, datasets, earlier_fetches, images, jobs, versions
from app.db.crawl_pages import PageCounts
from app.db.funnel import Funnel
from app.db.rows import Export, Job, Version
from app.domain import LIST_SOURCE, Reason
from app.explain.job import lost_words, search_words
from app.explain.keywords import KeywordFigures, load_keywords, total_by_source
from app.formatting import clipped, count, duration, listing, number, size
from app.images.split_groups import LeakReport
from app.job_states import JobState

__all__ = ["BuildReport", "load_report"]


@dataclass(frozen=True, slots=True)
class BuildReport:
    """A build and its figures.

    Attributes:
        tried: images that took at least one request.
        exhausted: images that were retried and failed.
        bad_lines: lines of the list that hold no usable URL.
        bad_results: results of other sources of which no image could be read.
        pages: of the crawl, if it was one.
        keywords: what each keyword brought; empty for a list.
        deep: kept images of more than 8 bits a channel that leave as they came.
        rebuilt: what is not as its lock has it, of a rebuild.
        version: what the dataset is now, if its images are decided.
        delivered: the folders that exports were written to, by the export's id.
        page: the report that lies beside the delivered dataset.
        interrupted: the exit code of an interrupted run.
    """

    job: Job
    funnel: Funnel
    tried: int = 0
    exhausted: int = 0
    bad_lines: int = 0
    bad_results: int = 0
    pages: PageCounts = field(default_factory=PageCounts)
    keywords: Sequence[KeywordFigures] = ()
    deep: int = 0
    rebuilt: Rebuilt | None = None
    version: Version | None = None
    exports: Sequence[Export] = field(default_factory=tuple)
    delivered: Mapping[str, Path] = field(default_factory=dict)
    page: Path | None = None
    interrupted: int | None = None

    @property
    def code(self) -> int:
        """The exit code."""
        job = self.job
        if not job.is_final:
            return self.interrupted if self.interrupted is not None else exit_codes.OK
        if any(export.state == "failed" for export in self.latest):
            return exit_codes.UNVERIFIED
        if any(export.is_undelivered for export in self.latest):
            return exit_codes.ENVIRONMENT
        if job.state is JobState.FAILED and job.shortfall is None:
            return exit_codes.BUG
        if not self.funnel.kept:
            return exit_codes.NOTHING_KEPT
        is_short = self.funnel.kept < job.min_images or (job.shortfall or {}).get("labels")
        if is_short:
            return exit_codes.TOO_FEW
        return exit_codes.UNVERIFIED if self.funnel.other_forms else exit_codes.OK

    @property
    def latest(self) -> Sequence[Export]:
        """The newest export in each format, that of the first format first."""
        found: dict[str, Export] = {}
        for export in self.exports:
            found.setdefault(export.format, export)
        return list(found.values())

    @property
    def retries(self) -> dict[str, Any]:
        """Requests for images with an outcome, URLs that took more than one, those of them that succeeded; and requests of searches."""
        funnel = self.funnel
        return {
            "attempts": funnel.attempts,
            "urls": self.tried,
            "retried": funnel.retried,
            "recovered": funnel.recovered,
            "mean_attempts": round(funnel.attempts / self.tried, 3) if self.tried else 0.0,
            "without_outcome": funnel.lost,
            "search_requests": funnel.search_requests,
            "search_retries": funnel.search_retries,
        }

    def document(self) -> dict[str, Any]:
        """The document of ``--json``; its keys are contract."""
        funnel = self.funnel
        return {
            "job_id": self.job.id,
            "status": self.job.state.value,
            "target": self.job.target,
            "funnel": {name: getattr(funnel, name) for name in (*LIST_FIGURES, *STAGES, *REUSE_FIGURES, "spare")},
            "reasons": funnel.reasons,
            "keywords": [asdict(item) for item in self.keywords],
            "shortfall": self.job.shortfall,
            "short_classes": list(self.job.short_classes or ()),
            "retries": self.retries,
            "exports": [self._export(export) for export in self.exports],
            **({"rebuild": self.rebuilt.document()} if self.rebuilt else {}),
        } | ({"pages": asdict(self.pages)} if self.pages else {})

    def _export(self, export: Export) -> dict[str, Any]:
        path = self.delivered.get(export.id)
        return {
            "id": export.id,
            "format": export.format,
            "state": export.state,
            "samples": export.samples,
            "size_bytes": export.size_bytes,
            "path": str(path) if path is not None else None,
            "destination": export.destination,
            "delivered_at": export.delivered_at,
            "error": export.error,
        }

    def summary(self, *, workspace_options: str = "") -> str:
        """The report for people. ``workspace_options`` are appended to the commands in it."""
        rows = [
            *self._dataset(),
            *(self.rebuilt.rows() if self.rebuilt else ()),
            ("funnel", _funnel(self.funnel)),
            ("reused", self._reused()),
            ("not kept", listing(self.funnel.reasons)),
            *self._keywords(),
            *self._sources(),
            ("splits", self._splits()),
            *self._classes(),
            *self._retries(),
            *self._shortfall(),
            ("network", self._network()),
            ("warning", self._empty_keywords()),
            ("warning", self._not_expanded()),
            ("warning", self._warning()),
            ("list", self._list()),
            ("pages", self.pages.words if self.pages else ""),
            ("not read", f"pictrawl jobs logs {self.job.id} --event page.failed{workspace_options}" if self.pages.failed else ""),
            ("bad lines", f"pictrawl jobs logs {self.job.id} --event list.bad_line{workspace_options}" if self.bad_lines else ""),
            ("unusable", f"pictrawl jobs logs {self.job.id} --event search.bad_result{workspace_options}" if self.bad_results else ""),
            ("conflicts", self._conflicts(workspace_options)),
            ("resume" if not self.job.is_final else "details", self._next(workspace_options)),
            (
                "finish",
                "" if self.job.is_final else f"pictrawl finish {self.job.id}{workspace_options} ends it with what it has",
            ),
        ]
        return "\n".join([self._headline(), *(_row(name, text) for name, text in rows if text)])

    def _headline(self) -> str:
        job, funnel = self.job, self.funnel
        goal = f" of {number(job.target)}" if job.target else ""
        if not job.is_final:
            return f"interrupted: {count(funnel.unique, 'image')}{goal} valid so far, {number(funnel.open)} still open; everything is saved"
        took = duration((job.finished_at or job.created_at) - job.created_at)
        noun = "images" if job.target or funnel.kept != 1 else "image"
        return f"{job.state}: {number(funnel.kept)}{goal} {noun} kept in {took}"

    def _dataset(self) -> list[tuple[str, str]]:
        rows = [row for at, export in enumerate(self.latest) for row in self._written(export, "also" if at else "dataset")]
        if self.version is not None and (self.version.parent_id or self.version.merged):
            rows.append(("version", f"{self.version.number}, {since_words(self.version)}"))
        return [*rows, ("report", str(self.page))] if self.page is not None else rows

    def _written(self, export: Export, name: str) -> list[tuple[str, str]]:
        """Where an export is and what is in it, or why it is not there."""
        facts = f"{export.format}, {count(export.samples or 0, 'sample')}, {size(export.size_bytes or 0)}"
        if export.state == "failed":
            what = "failed verification" if export.prefix else "not written"
            return [("export", f"{export.format} {what}: {export.error}" if len(self.latest) > 1 else f"{what}: {export.error}")]
        if export.delivered_at is not None:
            return [(name, str(export.destination)), ("", facts)]
        if export.is_undelivered:
            return [("export", f"{export.id} ({facts}), in the store"), ("", str(export.error or f"not yet at {export.destination}"))]
        if export.id not in self.delivered:
            return [("export", f"{export.id} ({facts}), in the store")]
        return [(name, str(self.delivered[export.id])), ("", facts)]

    def _splits(self) -> str:
        """That most images had to stay in one split, and what to do about it."""
        stated = (self.exports[0].report or {}).get("split_report") if self.exports else None
        if not stated:
            return ""
        report = LeakReport.of_json(stated)
        if report.images > 1 and len(report.splits) == 1 < len(self.job.spec.get("splits") or {}):
            return f"all images are in one split: they share what it splits by, {', '.join(report.split_by)}; see --split-by"
        return lopsided_words(report)

    def _sources(self) -> list[tuple[str, str]]:
        """What each of several sources brought, one in a row."""
        totals = total_by_source(self.keywords)
        if len(totals) < 2:
            return []
        rows = [f"{item.words()}, {number(item.kept)} kept" for item in totals]
        return [("sources" if at == 0 else "", text) for at, text in enumerate(rows)]

    def _list(self) -> str:
        """What became of the rows of a list, where not each is one candidate."""
        funnel = self.funnel
        if not (self.bad_lines or funnel.merged_rows or funnel.label_conflicts):
            return ""
        has_earlier = self.job.spec.get("update_of") or self.job.spec.get("into")
        names = ("new URLs", "known URLs") if has_earlier else ("distinct URLs", "merged rows")
        figures = {"rows read": funnel.rows_read, names[0]: funnel.distinct_urls, names[1]: funnel.merged_rows}
        figures |= {"bad lines": self.bad_lines} if self.bad_lines else {}
        figures |= {"label conflicts": funnel.label_conflicts} if funnel.label_conflicts else {}
        return ", ".join(f"{name} {number(value)}" for name, value in figures.items())

    def _reused(self) -> str:
        """How many images have bytes that were stored before, beside those whose own request brought them."""
        funnel = self.funnel
        figures = {"reused": funnel.reused, "not modified (304)": funnel.not_modified}
        parts = [f"{number(value)} {name}" for name, value in figures.items() if value]
        return ", ".join([*parts, f"{number(max(0, funnel.fetched - funnel.reused - funnel.not_modified))} fetched"]) if parts else ""

    def _conflicts(self, workspace_options: str) -> str:
        command = f"pictrawl images ls --job {self.job.id} --reason label_conflict{workspace_options}"
        return command if self.funnel.rows_read and self.funnel.label_conflicts else ""

    def _keywords(self) -> list[tuple[str, str]]:
        """What each of several keywords brought, one in a row."""
        if len(self.keywords) < 2:
            return []
        first = sorted(self.keywords, key=lambda item: item.kept >= item.wanted) if len(self.keywords) > SHOWN_KEYWORDS else self.keywords
        rows = [item.words() for item in first[:SHOWN_KEYWORDS]]
        rows += [f"and {number(len(first) - SHOWN_KEYWORDS)} more, see --json"] if len(first) > SHOWN_KEYWORDS else []
        return [("keywords" if at == 0 else "", text) for at, text in enumerate(rows)]

    def _empty_keywords(self) -> str:
        empty = [clipped(item.keyword, 40) for item in self.keywords if not item.kept] if self.job.is_final and self.funnel.kept else []
        more = f" and {number(len(empty) - SHOWN_KEYWORDS)} more" if len(empty) > SHOWN_KEYWORDS else ""
        return f"no image was kept for {', '.join(empty[:SHOWN_KEYWORDS])}{more}" if empty else ""

    def _not_expanded(self) -> str:
        """Which keywords were searched for without other names, and why that was with the first."""
        found = [item for item in self.keywords if item.not_expanded]
        names = ", ".join(clipped(item.keyword, 40) for item in found[:SHOWN_KEYWORDS])
        more = f" and {number(len(found) - SHOWN_KEYWORDS)} more" if len(found) > SHOWN_KEYWORDS else ""
        return f"not expanded: {names}{more}; {clipped(str(found[0].not_expanded), 160)}" if found else ""

    def _classes(self) -> list[tuple[str, str]]:
        """The classes of which few images or none were kept, one in a row."""
        classes = self.job.short_classes or ()
        rows = [
            f"{clipped(item['label'], 40)}: {number(item['kept']) if item['kept'] else 'none'} of {number(item['candidates'])} kept; "
            + listing(item["reasons"])
            for item in classes[:SHOWN_CLASSES]
        ]
        rows += [f"and {number(len(classes) - SHOWN_CLASSES)} more"] if len(classes) > SHOWN_CLASSES else []
        return [("classes" if at == 0 else "", text) for at, text in enumerate(rows)]

    def _retries(self) -> list[tuple[str, str]]:
        funnel = self.funnel
        lines = [self._attempts()] if funnel.attempts else []
        if funnel.lost:
            lines.append(lost_words(funnel.lost))
        if funnel.search_retries:
            lines.append(search_words(funnel.search_requests, funnel.search_retries))
        return [("retries" if at == 0 else "", line) for at, line in enumerate(lines)]

    def _attempts(self) -> str:
        figures = self.retries
        mean = f"{figures['mean_attempts']:.2f} attempts per URL"
        if not figures["retried"]:
            return f"no URL was retried, {mean}"
        if not figures["recovered"]:
            return f"no retry brought an image; {count(self.exhausted, 'URL')} failed, {mean}"
        share = 100 * figures["recovered"] / figures["retried"]
        return f"{count(figures['retried'], 'URL')} retried, {number(figures['recovered'])} recovered ({share:.0f} %), {mean}"

    def _warning(self) -> str:
        what = f"{count(self.deep, 'image')} of more than 8 bits a channel left as found (keep), which many loaders cut or refuse"
        return f"{what}; --encode png makes 8 bits of them" if self.deep else ""

    def _shortfall(self) -> list[tuple[str, str]]:
        causes = (self.job.shortfall or {}).get("causes") or []
        rows = [("why short" if at == 0 else "", str(cause)) for at, cause in enumerate(causes)]
        return rows + ([("error", self.job.error)] if self.job.error else [])

    def _network(self) -> str:
        """Where no host of a build could be reached."""
        reasons = self.funnel.reasons
        if not reasons or self.funnel.fetched or not NETWORK_REASONS.issuperset(reasons):
            return ""
        return "no host could be reached; `pictrawl doctor --only network --url URL` with one of the URLs says why"

    def _next(self, workspace_options: str) -> str:
        return f"pictrawl {'explain' if self.job.is_final else 'resume'} {self.job.id}{workspace_options}"


LIST_FIGURES = ("rows_read", "distinct_urls", "merged_rows", "label_conflicts")
STAGES = ("candidates", "fetched", "valid", "unique", "kept")
"""Figures of the list and stages of the funnel, by the names that every interface has for them; ``spare`` candidates are no stage."""

REUSE_FIGURES = ("reused", "not_modified")

NETWORK_REASONS = frozenset(
    reason.value
    for reason in (Reason.DNS_NOT_FOUND, Reason.TLS, Reason.NETWORK, Reason.TIMEOUT, Reason.HOST_UNAVAILABLE, Reason.PROXY_REFUSED)
)
"""Reasons of images whose host was not reached."""

SHOWN_CLASSES = 8
SHOWN_KEYWORDS = 20
"""Of more than these the short ones are shown first."""

COMMANDS = frozenset(
    {"changed", "missing", "other form", "bad lines", "not read", "conflicts", "resume", "finish", "details", "dataset", "also", "report"}
)
"""Rows with text to copy: they are not wrapped."""

NO_BREAK = "\u00a0"


def _row(name: str, text: str) -> str:
    head = f"  {name:<10} "
    if name in COMMANDS:
        return head + text
    together = re.sub(r"(?<=\w) (?=\d)", NO_BREAK, text)  # a name and its count stay on one line
    indent = " " * len(head)
    filled = textwrap.fill(together, width(), initial_indent=head, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return filled.replace(NO_BREAK, " ")


def _funnel(funnel: Funnel) -> str:
    rows = [f"{number(funnel.rows_read)} rows read"] if funnel.rows_read else []
    return " > ".join([*rows, *(f"{number(getattr(funnel, name))} {name}" for name in STAGES)])


async def load_report(
    db: Database,
    job_id: str,
    *,
    delivered: Mapping[str, Path] | None = None,
    page: Path | None = None,
    interrupted: int | None = None,
) -> BuildReport:
    """Read everything that a report needs."""
    job = await jobs.get(db, job_id)
    counts = await images.counts(db, dataset_id=job.dataset_id)
    searches = await jobs.searches_of(db, job_id)
    return BuildReport(
        job=job,
        funnel=Funnel(
            counts,
            *await attempts.retry_figures(db, job_id),
            await jobs.list_figures(db, job.dataset_id),
            await attempts.count_lost(db, job_id),
            *await jobs.search_figures(db, job_id),
            *await earlier_fetches.reuse_figures(db, job.dataset_id),
        ),
        tried=await attempts.images_tried(db, job_id),
        deep=await images.count_deep(db, job.dataset_id) if job.is_final else 0,
        exhausted=await attempts.count_exhausted(db, job_id),
        keywords=await load_keywords(db, job),
        bad_lines=sum(search.bad for search in searches if search.source == LIST_SOURCE),
        bad_results=sum(search.bad for search in searches if search.source != LIST_SOURCE),
        pages=await crawl_pages.count_pages(db, job.dataset_id) if job.spec.get("pages") else PageCounts(),
        exports=await datasets.exports_of_job(db, job_id),
        rebuilt=await load_rebuilt(db, job),
        version=(await versions.newest_of_each(db, [job.dataset_id])).get(job.dataset_id) if job.is_final else None,
        delivered=delivered or {},
        page=page,
        interrupted=interrupted,
    )
