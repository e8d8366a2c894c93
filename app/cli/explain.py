"""``pictrawl explain``, ``jobs show`` and ``images show``: what happened to a job, an image or a page, with every value and its limit."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

import errors
from app.cli.delivery import destination_of, find_delivered
from app.cli.documents import attempt_document, export_document, image_document, job_document, page_document, search_document
from app.cli.failures import UsageError
from app.cli.options import Cli, JobId
from app.cli.output import table
from app.cli.report import BuildReport, load_report
from app.cli.session import database_file, open_database, run, workspace_of
from app.cli.settings import load_settings
from app.db import Database, datasets, images, jobs, lookup
from app.db.rows import Search, Unit
from app.discovery.folders.place import file_url
from app.domain import StoredImage
from app.explain import (
    Duplicate,
    ExplanationLine,
    ImageHistory,
    JobHistory,
    PageHistory,
    RequestRecord,
    explain_image,
    explain_job,
    explain_subject,
    image_lines,
    names_image,
    page_lines,
    page_verdict,
    verdict_words,
)
from app.formatting import clipped, count, duration, number, when
from app.job_states import UnitState
from app.jobs.attendance import is_unattended, mark_unattended
from app.settings import Settings
from app.workspace import Workspace

__all__ = ["JobExplanation", "explain", "image_document_of", "image_text", "load_explanation", "show_image", "show_job"]


def explain(
    cli: Cli,
    what: Annotated[
        str,
        typer.Argument(
            metavar="JOB|URL|IMAGE",
            help="A job's id, the beginning of it, or its dataset's name; a URL of an image or page, a file of a folder, an image's id "
            "or its sha256.",
        ),
    ],
) -> int:
    """Explain what happened to a job, a URL or an image.

    Of an image: each request with the wait after it, each check with its value and its limit, each decision. Of a page: what led to it and
    what it gave. Of a job: its time by stage.
    """
    what = _local_url(what.strip())
    return run(_explain_subject(cli, what) if names_image(what) else _show_job(cli, what))


def _local_url(what: str) -> str:
    """The URL of a file that lies here, if that is what a text names; else the text itself."""
    path = Path(what)
    if names_image(what) or not path.is_file():
        return what
    return file_url(str(path.parent.resolve() / path.name))


def show_job(cli: Cli, job: JobId) -> int:
    """Show a job: its progress, and what it waits for."""
    return run(_show_job(cli, job, brief_state=True))


def show_image(cli: Cli, image: Annotated[int, typer.Argument(metavar="IMAGE", help="An image's id.", min=1)]) -> int:
    """Show an image: its requests, its checks, and what decided."""
    return run(_show_image(cli, image))


# images


async def _explain_subject(cli: Cli, what: str) -> int:
    settings = load_settings(cli)
    async with open_database(cli, settings) as db:
        try:
            history = await explain_subject(db, what)
        except errors.NotFoundError as error:
            raise _not_found(cli, settings, error) from error
    if isinstance(history, PageHistory):
        cli.result(page_text(history), {"items": [page_document_of(history)]}, brief=history.page.state)
    else:
        cli.result(image_text(history), {"items": [image_document_of(history)]}, brief=history.image.state.value)
    return 0


def _not_found(cli: Cli, settings: Settings, error: errors.NotFoundError) -> UsageError:
    """Name the place that was searched: most often the image is in another workspace."""
    file = database_file(settings)
    if file is None:
        return UsageError(f"{error.message} in the database of db.url", f"pictrawl images ls{cli.workspace_options} lists what is there")
    hint = f"pictrawl images ls{cli.workspace_options} lists what is there; --workspace names another one"
    return UsageError(f"{error.message} in workspace {_shown_path(file.parent)}", hint)


def _shown_path(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


async def _show_image(cli: Cli, image_id: int) -> int:
    settings = load_settings(cli)
    async with open_database(cli, settings) as db:
        try:
            history = await explain_image(db, [await images.get(db, image_id)])
        except errors.NotFoundError as error:
            raise _not_found(cli, settings, error) from error
    cli.result(image_text(history), image_document_of(history), brief=history.image.state.value)
    return 0


def image_text(history: ImageHistory) -> str:
    """The URL, the verdict, and a line for each fact; consecutive lines on one topic name it once."""
    return _text(history.image.url, verdict_words(history.image), image_lines(history))


def _text(url: str, verdict: str, lines: Sequence[ExplanationLine]) -> str:
    rows = [(line.topic, _line_text(line)) for line in lines]
    return "\n".join([clipped(url, 300), f"  {verdict}", *_topic_rows(rows)])


def _line_text(line: ExplanationLine) -> str:
    if line.at is None or line.topic == "request":  # the text of a request holds its time
        return line.words
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(line.at))}  {line.words}"


def image_document_of(history: ImageHistory) -> dict[str, Any]:
    """The image's row, and the facts that are not in it."""
    image, duplicate = history.image, history.duplicate
    return image_document(image) | {
        "verdict": verdict_words(image),
        "dataset_name": history.dataset.name,
        "keyword": history.search.keyword if history.search else None,
        "robots_txt": history.robots_txt,
        "level": history.rules.level,
        "attempts": [_attempt(made) for made in history.requests],
        "checks": [asdict(line) | {"passed": line.passed} for line in history.checks],
        "duplicate": None if duplicate is None else _duplicate(duplicate),
        "exports": [export.id for export in history.exports],
        "also": [_other(other) for other in history.others],
        "lines": [asdict(line) for line in image_lines(history)],
    }


def _attempt(made: RequestRecord) -> dict[str, Any]:
    attempt = made.attempt
    more = {
        "job_id": made.job_id,
        "state": made.state,
        "started_at": attempt.started_at or None,
        "queued_s": round(attempt.queued_s, 3),
        "reason": attempt.reason.value if attempt.reason else None,
        "wait_cause": attempt.wait_cause,
    }
    return attempt_document(attempt) | more


def _duplicate(duplicate: Duplicate) -> dict[str, Any]:
    names = ("is_exact", "distance", "limit")
    original = duplicate.original
    return {"of": original.id, "url": original.url} | {name: getattr(duplicate, name) for name in names}


def _other(image: StoredImage) -> dict[str, Any]:
    return {"id": image.id, "dataset_id": image.dataset_id, "job_id": image.job_id, "url": image.url, "status": image.state.value}


# pages


def page_text(history: PageHistory) -> str:
    """As `image_text`, of a page."""
    return _text(history.page.url, page_verdict(history.page, is_final=history.job.is_final), page_lines(history))


def page_document_of(history: PageHistory) -> dict[str, Any]:
    """The page's row, and the facts that are not in it."""
    return page_document(history.page) | {
        "verdict": page_verdict(history.page, is_final=history.job.is_final),
        "dataset_name": history.dataset.name,
        "found_on": history.parent.url if history.parent else None,
        "also": [{"id": other.id, "job_id": other.job_id, "status": other.state} for other in history.others],
        "lines": [asdict(line) for line in page_lines(history)],
    }


# jobs


async def _show_job(cli: Cli, job_id: str, *, brief_state: bool = False) -> int:
    settings = load_settings(cli)
    async with open_database(cli, settings) as db:
        job_id = await lookup.job_id(db, job_id)
        found = await load_explanation(db, job_id, workspace_of(settings))
    cli.result(found.text(cli.workspace_options), found.document(), brief=found.report.job.state.value if brief_state else job_id)
    return 0


@dataclass(frozen=True, slots=True)
class JobExplanation:
    """A job with its figures, its searches, and its times."""

    report: BuildReport
    dataset: str
    searches: Sequence[Search]
    history: JobHistory

    def text(self, workspace_options: str = "") -> str:
        """The form for people. ``workspace_options`` are appended to the commands in it."""
        job = self.report.job
        head = f"job {job.id}: {job.kind} of {clipped(self.dataset, 60)}"
        lines = [head, *(f"  {name:<10} {text}" for name, text in self._times() if text), ""]
        summary = self.report.summary(workspace_options=workspace_options).split("\n")[:-1]  # the last line is this command
        lines += summary if job.is_final else summary[1:]
        if self.searches:
            lines += ["", self._searches()]
        if self.history.work and not job.is_final:
            lines += ["", self._units()]
        lines += ["", "where its time went", *_topic_rows([(line.topic, line.words) for line in self.history.slow()])]
        lines += _topic_rows([("look at", command + workspace_options) for command in self.history.next_commands()])
        return "\n".join(lines)

    def _times(self) -> list[tuple[str, str]]:
        job = self.report.job
        waited = f", waited {duration(job.started_at - job.created_at)}" if job.started_at else ", not begun"
        return [
            ("made", when(job.created_at) + waited),
            ("ended", when(job.finished_at) if job.finished_at else ""),
            ("target", f"{count(job.target, 'image')}, at least {job.min_images}" if job.target else ""),
            ("stage", "" if job.is_final or is_unattended(job) else f"{job.state}{f' ({job.stage})' if job.stage else ''}"),
            *(("waits for", words) for words in self.history.waits()),
            ("rounds", f"its sources were searched {count(job.rounds + 1, 'time')}" if job.rounds else ""),
        ]

    def _searches(self) -> str:
        rows = [
            (clipped(item.source, 20), clipped(item.keyword, 40), number(item.found), number(item.new), number(item.bad), _search_end(item))
            for item in self.searches
        ]
        return table(("source", "searched", "found", "new", "bad", "state"), rows, right=(2, 3, 4))

    def _units(self) -> str:
        rows = [(kind, state, number(value)) for (kind, state), value in sorted(self.history.work.items())]
        return table(("work", "state", "units"), rows, right=(2,))

    def document(self) -> dict[str, Any]:
        """The document of ``--json``."""
        report = self.report
        return job_document(report.job) | {
            "dataset_name": self.dataset,
            "funnel": report.document()["funnel"],
            "keywords": report.document()["keywords"],
            "reasons": report.funnel.reasons,
            "sources": report.funnel.by_source(),
            "retries": report.retries,
            "bad_lines": report.bad_lines,
            "searches": [search_document(item) for item in self.searches],
            "units": [{"kind": kind, "state": state, "count": value} for (kind, state), value in sorted(self.history.work.items())],
            "dead_units": [
                {"id": unit.id, "kind": unit.kind.value, "error": unit.error}
                for unit in self.history.troubled
                if unit.state is UnitState.DEAD
            ],
            "exports": [export_document(export) for export in report.exports],
            "time": _time_document(self.history),
        }


def _topic_rows(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Indented lines; consecutive lines on one topic name it once."""
    topics = [""] + [topic for topic, _ in rows]
    return [f"  {topic if topic != before else '':<10} {text}" for before, (topic, text) in zip(topics, rows, strict=False)]


def _search_end(search: Search) -> str:
    if search.note:
        return clipped(search.note, 80)
    return "read to its end" if search.is_exhausted else "has more"


def _time_document(history: JobHistory) -> dict[str, Any]:
    return {
        "waited_for_worker_s": round(history.waited_s, 3),
        "stages": [asdict(stage) for stage in history.stages],
        "hosts": [asdict(host) for host in history.costly_hosts],
        "hosts_in_all": len(history.hosts),
        "failures": dict(history.failures),
        "exhausted": history.exhausted,
        "without_outcome": history.lost,
        "deferred": [asdict(item) for item in history.deferred],
        "waits_for": history.waits(),
        "troubled": [_unit(unit) for unit in history.troubled],
        "lines": [asdict(line) for line in history.slow()],
    }


def _unit(unit: Unit) -> dict[str, Any]:
    return {"id": unit.id, "kind": unit.kind.value, "status": unit.state.value, "crashes": unit.crashes, "error": unit.error}


async def load_explanation(db: Database, job_id: str, workspace: Workspace | None) -> JobExplanation:
    """Read everything that explains a job. ``workspace`` is that of the embedded queue."""
    report = await load_report(db, job_id)
    (job,) = await mark_unattended(db, workspace, [report.job])
    report = replace(report, job=job)
    destination = destination_of(report.job)
    if destination is not None:
        delivered = await asyncio.to_thread(find_delivered, destination, report.job, report.latest)
        report = replace(report, delivered=delivered)
    return JobExplanation(
        report=report,
        dataset=(await datasets.get_dataset(db, report.job.dataset_id)).name,
        searches=await jobs.searches_of(db, job_id),
        history=replace(await explain_job(db, job_id), job=job),
    )
