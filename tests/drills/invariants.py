"""The invariants that hold after every drill. Pure functions: each gets rows or files and raises on the first violation."""

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

MOST_HITS = 3 + 1
"""Most requests for one URL: the budget, and one reserved without an outcome when a process died."""

OPEN_UNITS = frozenset({"pending", "queued", "running", "quarantined"})
SHOWN = 5
"""Offenders that a message lists."""


class InvariantBroken(AssertionError):
    """An invariant does not hold.

    Attributes:
        name: the invariant's name.
    """

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"{name}: {detail}")
        self.name = name


def finishes(job: Job | None, within_s: float) -> None:
    """A job ends in time after the faults, and does not fail."""
    if job is None:
        raise InvariantBroken("finishes", "the job is gone")
    if job.finished_at is None:
        raise InvariantBroken("finishes", f"still {job.state} after {within_s:g} s, {job.open_units} units open")
    if job.state not in ("succeeded", "cancelled"):
        raise InvariantBroken("finishes", f"ended as {job.state}: {job.error}")


def conservation(pages: Mapping[str, Page], rows: Rows) -> None:
    """Every submitted URL has one row in a final state, and every unit is done."""
    seen = Counter(image.url for image in rows.images)
    _refuse("conservation", "URLs without a row", sorted(set(pages) - set(seen)))
    _refuse("conservation", "rows that were not submitted", sorted(set(seen) - set(pages)))
    _refuse("conservation", "images without an outcome", [f"{i.url} {i.state}" for i in rows.images if i.state not in FINAL_IMAGES])
    _refuse("conservation", "units not done", [f"{u.kind} {u.state} {u.error}" for u in rows.units if u.state != "done"])


FINAL_IMAGES = frozenset({"kept", "failed", "rejected", "duplicate", "tombstoned"})


def counted(rows: Rows) -> None:
    """The ``open_units`` of each job is the number of its open units."""
    still_open = Counter(unit.job_id for unit in rows.units if unit.state in OPEN_UNITS)
    wrong = [f"{job.id} counts {job.open_units}, has {still_open[job.id]}" for job in rows.jobs if job.open_units != still_open[job.id]]
    _refuse("counted", "jobs that miscount", wrong)


def classes(pages: Mapping[str, Page], rows: Rows) -> None:
    """Each URL has the outcome that its origin caused: no fault of ours is recorded as the URL's."""
    groups: Counter[str] = Counter()
    for image in rows.images:
        page = pages[image.url]
        _refuse("classes", "outcomes that the origin did not cause", [] if _is_right(page, image) else [_shown(page, image)])
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
    """Each URL of a job has one row, each job one export, and each digest is that of the bytes that the origin sent."""
    twice = [url for url, count in Counter(image.url for image in rows.images).items() if count > 1]
    _refuse("doubled", "URLs with several rows", twice)
    wrong = [image.url for image in rows.images if image.sha256 and image.sha256 != pages[image.url].sha256]
    _refuse("doubled", "digests of other bytes", wrong)
    exports = Counter(export.job_id for export in rows.exports)
    _refuse("doubled", "jobs with several exports", [job_id for job_id, count in exports.items() if count > 1])


def hits(found: Mapping[str, int], most: int = MOST_HITS) -> None:
    """No URL is requested more often than the rule allows, whatever crashed."""
    _refuse("hits", f"URLs requested more than {most} times", [f"{url}: {count}" for url, count in found.items() if count > most])


def asked_as_planned(pages: Mapping[str, Page], found: Mapping[str, int], *, extra: int = 0) -> None:
    """Each URL was requested as often as its origin made necessary, and at most ``extra`` times more."""
    wrong = [
        f"{url}: {found.get(url, 0)}, not {page.costs}" for url, page in pages.items() if not 0 <= found.get(url, 0) - page.costs <= extra
    ]
    _refuse("asked_as_planned", "URLs requested too often or too rarely", wrong)


def asked_once_settled(at_settling: Mapping[str, int], found: Mapping[str, int]) -> None:
    """A URL with a recorded outcome is never requested again."""
    again = [f"{url}: {count} requests, {found[url]} now" for url, count in at_settling.items() if found.get(url, 0) > count]
    _refuse("asked_once_settled", "URLs requested again", again)


def blobs(rows: Rows, disk: Disk) -> None:
    """Every file in blobs/ holds the bytes of the digest in its name, and every digest of a row has its file."""
    _refuse("blobs", "files with other bytes", [name for name, digest in disk.blobs.items() if name != digest])
    missing = [image.url for image in rows.images if image.sha256 and image.sha256 not in disk.blobs]
    _refuse("blobs", "rows without bytes", missing)


def leftovers(after_clean_up: Disk) -> None:
    """After the clean-up nothing half-written of dead processes is left."""
    _refuse("leftovers", "stray files", list(after_clean_up.strays))


def archive(rows: Rows, disk: Disk) -> None:
    """A visible export is complete: it has the files that its report lists, and holds each kept image once."""
    by_id = {export.id: export for export in rows.exports}
    for export_id, files in disk.exports.items():
        export = by_id.get(export_id)
        if export is not None and export.report and export.state == "ready":
            _check_export(export, files, rows)
        elif "manifest.json" not in files:
            raise InvariantBroken("archive", f"{export_id} is visible without its manifest: {sorted(files)[:SHOWN]}")
    absent = [export.id for export in rows.exports if export.state == "ready" and export.id not in disk.exports]
    _refuse("archive", "ready exports without files", absent)


def _check_export(export: Export, files: Mapping[str, str], rows: Rows) -> None:
    listed = set((export.report or {}).get("files", {}))
    _refuse("archive", f"files that {export.id} lacks", sorted(listed - set(files)))
    held = Counter(digest for path, digest in files.items() if path.startswith("images/"))
    kept = Counter(
        str(image.out_sha256 or image.sha256) for image in rows.images if image.state == "kept" and image.job_id == export.job_id
    )
    _refuse("archive", "kept images that are not in it once", sorted(digest for digest in held | kept if held[digest] != kept[digest]))


def acknowledged(job_ids: Iterable[str], rows: Rows) -> None:
    """Every accepted job is on record and succeeded."""
    states = {job.id: job.state for job in rows.jobs}
    _refuse("acknowledged", "accepted jobs without success", [f"{i}: {states.get(i)}" for i in job_ids if states.get(i) != "succeeded"])


def no_crash(rows: Rows, logs: Iterable[Path] = ()) -> None:
    """No unit is charged with a crash, and none was in these logs: progress resets a unit's count, so that rows alone do not show it."""
    _refuse("no_crash", "units with crashes", [f"{unit.kind} {unit.id}: {unit.crashes}" for unit in rows.units if unit.crashes])
    taken_back = [json.loads(line) for log in logs for line in log.read_text().splitlines() if '"unit.taken_back"' in line]
    _refuse("no_crash", "charges in the logs", [f"{line['unit_id']}: {line['crashes']}" for line in taken_back if line["crashes"]])


def no_storm(rows: Rows, most: int) -> None:
    """Each unit was claimed at most so often."""
    _refuse("no_storm", f"units claimed more than {most} times", [f"{u.kind} {u.id}: {u.epoch}" for u in rows.units if u.epoch > most])


def only(job_ids: Iterable[str], rows: Rows) -> None:
    """These jobs exist and no others: no submission made two."""
    wanted = set(job_ids)
    _refuse("only", "jobs too many or too few", sorted(wanted ^ {job.id for job in rows.jobs}))


def drained(rows: Rows) -> None:
    """Every recorded attempt has its outcome: no request was cut off."""
    cut = [f"image {a.image_id}, number {a.number}, epoch {a.epoch}, {a.state}" for a in rows.attempts if a.state != "done"]
    _refuse("drained", "attempts without an outcome", cut)


def stays_up(exits: Iterable[object]) -> None:
    """No process exited."""
    _refuse("stays_up", "processes that ended", [str(one) for one in exits])


def silent_after(times: Iterable[float], limit: float, what: str) -> None:
    """No event comes later than a limit."""
    late = [f"{at - limit:.2f} s late" for at in times if at > limit]
    _refuse("silent_after", what, late)


@dataclass(frozen=True, slots=True)
class Footprint:
    """Descriptors and memory of a process."""

    descriptors: int
    resident_bytes: int


def bounded(
    before: Mapping[str, Footprint], after: Mapping[str, Footprint], *, descriptors: int = 80, resident_bytes: int = 150_000_000
) -> None:
    """A surviving process holds no more than before, apart from pools, kept connections and caches."""
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
