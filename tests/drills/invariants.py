"""What must hold after every drill, whatever was killed. Pure: each function gets what is there and raises on the first thing wrong."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.drills.plan import Kind, Page
from tests.drills.world import Disk, Export, Image, Job, Rows

__all__ = [
    "MOST_HITS",
    "Footprint",
    "InvariantBroken",
    "acknowledged",
    "archive",
    "asked_as_planned",
    "asked_once_settled",
    "blobs",
    "bounded",
    "classes",
    "conservation",
    "counted",
    "doubled",
    "drained",
    "finishes",
    "hits",
    "leftovers",
    "no_crash",
    "no_storm",
    "only",
    "silent_after",
    "stays_up",
]

MOST_HITS = 3 + 1 + 1
"""Requests a URL may cost: the budget, one reserved without an outcome when a process died, one repeat on a reused connection."""

OPEN_UNITS = frozenset({"pending", "queued", "running", "quarantined"})
SHOWN = 5
"""Offenders that a message names."""


class InvariantBroken(AssertionError):
    """Something that must always hold does not.

    Attributes:
        name: the invariant's name.
    """

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"{name}: {detail}")
        self.name = name


def finishes(job: Job | None, within_s: float) -> None:
    """A job ends, and well, within so long after the faults are over."""
    if job is None:
        raise InvariantBroken("finishes", "the job is gone")
    if job.finished_at is None:
        raise InvariantBroken("finishes", f"still {job.state} after {within_s:g} s, {job.open_units} units open")
    if job.state not in ("succeeded", "cancelled"):
        raise InvariantBroken("finishes", f"ended as {job.state}: {job.error}")


def conservation(pages: Mapping[str, Page], rows: Rows) -> None:
    """Every URL that was submitted has one row in one final state, and no unit is left, dead or counted wrongly."""
    seen = Counter(image.url for image in rows.images)
    _refuse("conservation", "URLs without a row", sorted(set(pages) - set(seen)))
    _refuse("conservation", "rows that nobody asked for", sorted(set(seen) - set(pages)))
    _refuse("conservation", "images on the way", [f"{i.url} {i.state}" for i in rows.images if i.state not in FINAL_IMAGES])
    _refuse("conservation", "units not done", [f"{u.kind} {u.state} {u.error}" for u in rows.units if u.state != "done"])


FINAL_IMAGES = frozenset({"kept", "failed", "rejected", "duplicate", "tombstoned"})


def counted(rows: Rows) -> None:
    """A job's count of open units is the number of its open units."""
    still_open = Counter(unit.job_id for unit in rows.units if unit.state in OPEN_UNITS)
    wrong = [f"{job.id} counts {job.open_units}, has {still_open[job.id]}" for job in rows.jobs if job.open_units != still_open[job.id]]
    _refuse("counted", "jobs that miscount", wrong)


def classes(pages: Mapping[str, Page], rows: Rows) -> None:
    """Each URL ends as its origin made it end: no fault of ours is recorded as a URL's."""
    groups: Counter[str] = Counter()
    for image in rows.images:
        page = pages[image.url]
        _refuse("classes", "ends that the origin did not make", [] if _is_right(page, image) else [_shown(page, image)])
        groups[page.sha256] += image.state == "kept"
    bytes_of = {page.sha256 for page in pages.values() if page.kind not in (Kind.MISSING, Kind.BROKEN) and not page.ends}
    _refuse("classes", "contents not kept exactly once", sorted(digest for digest in bytes_of if groups[digest] != 1))


def _is_right(page: Page, image: Image) -> bool:
    if page.ends:
        return (image.state, image.reason) in page.ends
    match page.kind:
        case Kind.MISSING:
            return (image.state, image.reason) == ("failed", "http_404")
        case Kind.BROKEN:
            return (image.state, image.reason) == ("rejected", "corrupt")
        case _:
            return (image.state, image.reason) in (("kept", None), ("duplicate", "duplicate_exact"))


def _shown(page: Page, image: Image) -> str:
    return f"{image.url} ({page.kind}) is {image.state}, {image.reason}"


def doubled(pages: Mapping[str, Page], rows: Rows) -> None:
    """One row for each URL and job, one job for each export that is ready, and digests that are those of the bytes that were sent."""
    twice = [url for url, count in Counter(image.url for image in rows.images).items() if count > 1]
    _refuse("doubled", "URLs with several rows", twice)
    wrong = [image.url for image in rows.images if image.sha256 and image.sha256 != pages[image.url].sha256]
    _refuse("doubled", "digests of other bytes", wrong)
    exports = Counter(export.job_id for export in rows.exports)
    _refuse("doubled", "jobs with several exports", [job_id for job_id, count in exports.items() if count > 1])


def hits(found: Mapping[str, int], most: int = MOST_HITS) -> None:
    """No URL costs its origin more requests than the rule allows, whatever crashed."""
    _refuse("hits", f"URLs asked more than {most} times", [f"{url}: {count}" for url, count in found.items() if count > most])


def asked_as_planned(pages: Mapping[str, Page], found: Mapping[str, int], *, extra: int = 0) -> None:
    """Each URL was asked for as often as its origin made necessary, and at most ``extra`` times more: our faults cost no request."""
    wrong = [
        f"{url}: {found.get(url, 0)}, not {page.costs}" for url, page in pages.items() if not 0 <= found.get(url, 0) - page.costs <= extra
    ]
    _refuse("asked_as_planned", "URLs asked too often or too seldom", wrong)


def asked_once_settled(at_settling: Mapping[str, int], found: Mapping[str, int]) -> None:
    """A URL whose outcome is on record is never requested again."""
    again = [f"{url}: {count} requests, {found[url]} now" for url, count in at_settling.items() if found.get(url, 0) > count]
    _refuse("asked_once_settled", "URLs asked again", again)


def blobs(rows: Rows, disk: Disk) -> None:
    """Every file in blobs/ holds the bytes that its name promises, and every digest on a row has its file."""
    _refuse("blobs", "files with other bytes", [name for name, digest in disk.blobs.items() if name != digest])
    missing = [image.url for image in rows.images if image.sha256 and image.sha256 not in disk.blobs]
    _refuse("blobs", "rows without bytes", missing)


def leftovers(after_clean_up: Disk) -> None:
    """What dead processes left half-written is what the clean-up takes away, and nothing else is left behind."""
    _refuse("leftovers", "files that belong to nothing", list(after_clean_up.strays))


def archive(rows: Rows, disk: Disk) -> None:
    """An export is there as a whole or not at all: what can be seen is what its report lists, and holds each kept image once."""
    by_id = {export.id: export for export in rows.exports}
    for export_id, files in disk.exports.items():
        export = by_id.get(export_id)
        if export is not None and export.report and export.state == "ready":
            _check_export(export, files, rows)
        elif "manifest.json" not in files:
            raise InvariantBroken("archive", f"{export_id} can be seen without its manifest: {sorted(files)[:SHOWN]}")
    absent = [export.id for export in rows.exports if export.state == "ready" and export.id not in disk.exports]
    _refuse("archive", "exports that are ready and not there", absent)


def _check_export(export: Export, files: Mapping[str, str], rows: Rows) -> None:
    listed = set((export.report or {}).get("files", {}))
    _refuse("archive", f"files that {export.id} lacks", sorted(listed - set(files)))
    held = Counter(digest for path, digest in files.items() if path.startswith("images/"))
    kept = Counter(str(image.sha256) for image in rows.images if image.state == "kept" and image.job_id == export.job_id)
    _refuse("archive", "samples that are not there once", sorted(digest for digest in held | kept if held[digest] != kept[digest]))


def acknowledged(job_ids: Iterable[str], rows: Rows) -> None:
    """What was answered with 2xx is on record, and was carried out."""
    states = {job.id: job.state for job in rows.jobs}
    _refuse("acknowledged", "jobs that were promised", [f"{i}: {states.get(i)}" for i in job_ids if states.get(i) != "succeeded"])


def no_crash(rows: Rows, logs: Iterable[Path] = ()) -> None:
    """No unit was charged with a crash, and in these logs of processes none ever was: progress takes a charge back."""
    _refuse("no_crash", "units with crashes", [f"{unit.kind} {unit.id}: {unit.crashes}" for unit in rows.units if unit.crashes])
    told = [json.loads(line) for log in logs for line in log.read_text().splitlines() if '"unit.taken_back"' in line]
    _refuse("no_crash", "charges in the logs", [f"{line['unit_id']}: {line['crashes']}" for line in told if line["crashes"]])


def no_storm(rows: Rows, most: int) -> None:
    """No unit went from hand to hand: each was claimed at most so often."""
    _refuse("no_storm", f"units claimed more than {most} times", [f"{u.kind} {u.id}: {u.epoch}" for u in rows.units if u.epoch > most])


def only(job_ids: Iterable[str], rows: Rows) -> None:
    """There are these jobs and no others: nothing that was asked for once was made twice."""
    wanted = set(job_ids)
    _refuse("only", "jobs too many or too few", sorted(wanted ^ {job.id for job in rows.jobs}))


def drained(rows: Rows) -> None:
    """Every attempt that was put on record has its outcome: nothing was cut off."""
    cut = [f"image {a.image_id}, number {a.number}, epoch {a.epoch}, {a.state}" for a in rows.attempts if a.state != "done"]
    _refuse("drained", "attempts without an outcome", cut)


def stays_up(exits: Iterable[object]) -> None:
    """No process ended by itself."""
    _refuse("stays_up", "processes that ended", [str(one) for one in exits])


def silent_after(times: Iterable[float], limit: float, what: str) -> None:
    """Nothing happens any more after a moment."""
    late = [f"{at - limit:.2f} s late" for at in times if at > limit]
    _refuse("silent_after", what, late)


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a process holds."""

    descriptors: int
    resident_bytes: int


def bounded(
    before: Mapping[str, Footprint], after: Mapping[str, Footprint], *, descriptors: int = 80, resident_bytes: int = 150_000_000
) -> None:
    """Who survived holds no more than it did, but for what pools, kept connections and caches may hold."""
    for name, was in before.items():
        now = after.get(name, was)
        if now.descriptors > was.descriptors + descriptors:
            raise InvariantBroken("bounded", f"{name} holds {now.descriptors} descriptors, was {was.descriptors}")
        if now.resident_bytes > was.resident_bytes + resident_bytes:
            raise InvariantBroken("bounded", f"{name} holds {now.resident_bytes >> 20} MB, was {was.resident_bytes >> 20}")


def _refuse(name: str, what: str, offenders: list[str]) -> None:
    if offenders:
        more = f" and {len(offenders) - SHOWN} more" if len(offenders) > SHOWN else ""
        raise InvariantBroken(name, f"{len(offenders)} {what}: {'; '.join(offenders[:SHOWN])}{more}")
