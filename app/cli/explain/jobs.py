"""A job's story as a terminal shows it: what was asked, how far its candidates came, why it is short, where its time went."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from app.cli.delivery import destination_of, is_delivered
from app.cli.documents import export_document, job_document, search_document
from app.cli.report import BuildReport, gather
from app.cli.words import clipped, count, duration, number, table, when
from app.db import Database, jobs
from app.db.rows import Search, Unit
from app.domain import UnitState
from app.explain import JobStory, job_story

__all__ = ["Explained", "explained"]


@dataclass(frozen=True, slots=True)
class Explained:
    """A job with its figures, its searches, and its times."""

    report: BuildReport
    dataset: str
    searches: Sequence[Search]
    story: JobStory

    def text(self, again: str = "") -> str:
        """The story in words. ``again`` is what to add to a command so that it finds this workspace."""
        job = self.report.job
        head = f"job {job.id}: {job.kind} of {clipped(self.dataset, 60)}"
        lines = [head, *(f"  {name:<10} {text}" for name, text in self._times() if text), ""]
        told = self.report.summary(again=again).split("\n")[:-1]  # the last line says how to get here
        lines += told if job.is_final else told[1:]
        if self.searches:
            lines += ["", self._searched()]
        if self.story.work and not job.is_final:
            lines += ["", self._work()]
        lines += ["", "where its time went", *_rows([(line.topic, line.words) for line in self.story.slow()])]
        lines += _rows([("look at", command + again) for command in self.story.next_commands()])
        return "\n".join(lines)

    def _times(self) -> list[tuple[str, str]]:
        job = self.report.job
        waited = f", waited {duration(job.started_at - job.created_at)}" if job.started_at else ", not begun"
        return [
            ("made", when(job.created_at) + waited),
            ("ended", when(job.finished_at) if job.finished_at else ""),
            ("target", f"{count(job.target, 'image')}, at least {job.min_images}" if job.target else ""),
            ("stage", "" if job.is_final else f"{job.state}{f' ({job.stage})' if job.stage else ''}"),
            *(("waits for", words) for words in self.story.waits()),
            ("rounds", f"its sources were asked {count(job.rounds + 1, 'time')}" if job.rounds else ""),
        ]

    def _searched(self) -> str:
        rows = [
            (clipped(item.source, 20), clipped(item.keyword, 40), number(item.found), number(item.new), number(item.bad), _end_of(item))
            for item in self.searches
        ]
        return table(("source", "searched", "found", "new", "bad", "state"), rows, right=(2, 3, 4))

    def _work(self) -> str:
        rows = [(kind, state, number(value)) for (kind, state), value in sorted(self.story.work.items())]
        return table(("work", "state", "units"), rows, right=(2,))

    def document(self) -> dict[str, Any]:
        """The story as data."""
        report = self.report
        return job_document(report.job) | {
            "dataset_name": self.dataset,
            "funnel": report.document()["funnel"],
            "reasons": report.funnel.reasons,
            "sources": report.funnel.by_source(),
            "retries": report.retries,
            "bad_lines": report.bad_lines,
            "searches": [search_document(item) for item in self.searches],
            "units": [{"kind": kind, "state": state, "count": value} for (kind, state), value in sorted(self.story.work.items())],
            "dead_units": [
                {"id": unit.id, "kind": unit.kind.value, "error": unit.error}
                for unit in self.story.troubled
                if unit.state is UnitState.DEAD
            ],
            "exports": [export_document(export) for export in report.exports],
            "time": _time_document(self.story),
        }


def _rows(rows: Sequence[tuple[str, str]]) -> list[str]:
    """A topic that goes on is named once."""
    topics = [""] + [topic for topic, _ in rows]
    return [f"  {topic if topic != before else '':<10} {words}" for before, (topic, words) in zip(topics, rows, strict=False)]


def _end_of(search: Search) -> str:
    if search.note:
        return clipped(search.note, 80)
    return "exhausted" if search.is_exhausted else "has more"


def _time_document(story: JobStory) -> dict[str, Any]:
    return {
        "waited_for_worker_s": round(story.waited_s, 3),
        "stages": [asdict(stage) for stage in story.stages],
        "hosts": [asdict(host) for host in story.costly_hosts],
        "hosts_in_all": len(story.hosts),
        "failures": dict(story.failures),
        "exhausted": story.exhausted,
        "deferred": [asdict(item) for item in story.set_aside],
        "waits_for": story.waits(),
        "troubled": [_unit(unit) for unit in story.troubled],
        "lines": [asdict(line) for line in story.slow()],
    }


def _unit(unit: Unit) -> dict[str, Any]:
    return {"id": unit.id, "kind": unit.kind.value, "status": unit.state.value, "crashes": unit.crashes, "error": unit.error}


async def explained(db: Database, job_id: str) -> Explained:
    """Read all that is known of a job."""
    report = await gather(db, job_id)
    where = destination_of(report.job)
    if where is not None and await asyncio.to_thread(is_delivered, where.folder, report.job.dataset_id):
        report = replace(report, delivered=where.folder)
    return Explained(
        report=report,
        dataset=(await jobs.get_dataset(db, report.job.dataset_id)).name,
        searches=await jobs.searches_of(db, job_id),
        story=await job_story(db, job_id),
    )
