"""Each invariant on rows and files that keep it, and on ones that break it."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from tests.drills import invariants
from tests.drills.fleet import Exit
from tests.drills.invariants import Footprint, InvariantBroken
from tests.drills.plan import SHARES, Kind, Page, PlanOrigin, make_plan
from tests.drills.world import Attempt, Disk, Export, Image, Job, Rows, Unit, read_disk


def digest(body: bytes) -> str:
    """SHA-256, hex."""
    return sha256(body).hexdigest()


A, B = digest(b"a"), digest(b"b")
PAGES = {
    "http://h/a": Page("http://h/a", "/a", Kind.OK, b"a", A),
    "http://h/b": Page("http://h/b", "/b", Kind.BROKEN, b"b", B),
    "http://h/c": Page("http://h/c", "/c", Kind.MISSING),
    "http://h/d": Page("http://h/d", "/d", Kind.DUPLICATE, b"a", A),
}
JOB = Job("job", "ds", "succeeded", "running", 0, None, 9.0)
UNIT = Unit("unit", "job", "fetch", "done", 1, None, 0, None, 8.0)
IMAGES = (
    Image(1, "job", "http://h/a", "kept", None, A, None, 7.0),
    Image(2, "job", "http://h/b", "rejected", "corrupt", B, None, 7.0),
    Image(3, "job", "http://h/c", "failed", "http_404", None, None, 7.0),
    Image(4, "job", "http://h/d", "duplicate", "duplicate_exact", A, 1, 7.0),
)
ATTEMPT = Attempt("job", 1, 1, 1, "done", 200, None)
EXPORT = Export("exp", "job", "files", "ready", "exports/exp", 1, {"files": {"images/0.jpg": 1, "metadata.jsonl": 1}})
ROWS = Rows((JOB,), (UNIT,), IMAGES, (ATTEMPT,), (EXPORT,))
DISK = Disk({A: A, B: B}, {"exp": {"images/0.jpg": A, "metadata.jsonl": "x", "manifest.json": "y"}})


def with_image(number: int, **change: object) -> Rows:
    """The rows with one image changed."""
    images = [replace(image, **change) if image.id == number else image for image in IMAGES]  # type: ignore[arg-type]
    return replace(ROWS, images=tuple(images))


def test_good_rows_break_nothing() -> None:
    """Every checker accepts good rows and files."""
    invariants.finishes(JOB, 1)
    for check in (invariants.conservation, invariants.classes, invariants.doubled):
        check(PAGES, ROWS)
    for alone in (invariants.counted, invariants.no_crash, invariants.drained):
        alone(ROWS)
    invariants.blobs(ROWS, DISK)
    invariants.archive(ROWS, DISK)
    invariants.leftovers(DISK)
    invariants.acknowledged(["job"], ROWS)
    invariants.hits(dict.fromkeys(PAGES, invariants.MOST_HITS))
    invariants.asked_once_settled({"http://h/a": 2}, {"http://h/a": 2})
    invariants.asked_as_planned(PAGES, dict.fromkeys(PAGES, 1))
    invariants.no_storm(ROWS, 1)
    invariants.only(["job"], ROWS)
    invariants.stays_up([])
    invariants.silent_after([1.0], 2.0, "requests")
    invariants.bounded({"w": Footprint(10, 10)}, {"w": Footprint(20, 20)})


VIOLATIONS: list[tuple[str, str, Callable[[], None]]] = [
    ("finishes", "job gone", lambda: invariants.finishes(None, 1)),
    ("finishes", "still running", lambda: invariants.finishes(replace(JOB, state="running", finished_at=None), 1)),
    ("finishes", "failed", lambda: invariants.finishes(replace(JOB, state="failed", error="a unit died"), 1)),
    ("conservation", "row missing", lambda: invariants.conservation(PAGES, replace(ROWS, images=IMAGES[1:]))),
    ("conservation", "row too many", lambda: invariants.conservation({}, ROWS)),
    ("conservation", "image open", lambda: invariants.conservation(PAGES, with_image(1, state="fetched"))),
    ("conservation", "unit dead", lambda: invariants.conservation(PAGES, replace(ROWS, units=(replace(UNIT, state="dead"),)))),
    ("counted", "one too many", lambda: invariants.counted(replace(ROWS, jobs=(replace(JOB, open_units=1),)))),
    ("counted", "one too few", lambda: invariants.counted(replace(ROWS, units=(replace(UNIT, state="running"),)))),
    ("classes", "404 as timeout", lambda: invariants.classes(PAGES, with_image(3, reason="timeout"))),
    ("classes", "good as failed", lambda: invariants.classes(PAGES, with_image(1, state="failed", reason="network", sha256=None))),
    ("classes", "broken as kept", lambda: invariants.classes(PAGES, with_image(2, state="kept", reason=None))),
    ("classes", "duplicate kept too", lambda: invariants.classes(PAGES, with_image(4, state="kept", reason=None))),
    ("classes", "nobody kept", lambda: invariants.classes(PAGES, with_image(1, state="duplicate", reason="duplicate_exact"))),
    ("doubled", "two rows", lambda: invariants.doubled(PAGES, replace(ROWS, images=(*IMAGES, replace(IMAGES[0], id=9))))),
    ("doubled", "other bytes", lambda: invariants.doubled(PAGES, with_image(1, sha256=B))),
    ("doubled", "two exports", lambda: invariants.doubled(PAGES, replace(ROWS, exports=(EXPORT, replace(EXPORT, id="exp2"))))),
    ("hits", "one too many", lambda: invariants.hits({"http://h/a": invariants.MOST_HITS + 1})),
    ("asked_once_settled", "asked again", lambda: invariants.asked_once_settled({"http://h/a": 1}, {"http://h/a": 2})),
    ("blobs", "half written", lambda: invariants.blobs(ROWS, replace(DISK, blobs={A: digest(b""), B: B}))),
    ("blobs", "blob missing", lambda: invariants.blobs(ROWS, replace(DISK, blobs={A: A}))),
    ("leftovers", "scratch folder", lambda: invariants.leftovers(replace(DISK, strays=(".scratch/x",)))),
    ("archive", "sample missing", lambda: invariants.archive(ROWS, _export({"images/0.jpg": ""}))),
    ("archive", "sample twice", lambda: invariants.archive(ROWS, _export({"images/1.jpg": A}))),
    ("archive", "listed file missing", lambda: invariants.archive(ROWS, _export({"metadata.jsonl": ""}))),
    ("archive", "ready and absent", lambda: invariants.archive(ROWS, replace(DISK, exports={}))),
    ("archive", "half visible", lambda: invariants.archive(replace(ROWS, exports=()), _export({"manifest.json": ""}))),
    ("acknowledged", "never heard of", lambda: invariants.acknowledged(["other"], ROWS)),
    ("acknowledged", "not carried out", lambda: invariants.acknowledged(["job"], replace(ROWS, jobs=(replace(JOB, state="failed"),)))),
    ("no_crash", "a crash", lambda: invariants.no_crash(replace(ROWS, units=(replace(UNIT, crashes=1),)))),
    ("drained", "cut off", lambda: invariants.drained(replace(ROWS, attempts=(replace(ATTEMPT, state="reserved"),)))),
    ("no_storm", "three claims", lambda: invariants.no_storm(replace(ROWS, units=(replace(UNIT, epoch=3),)), 2)),
    ("asked_as_planned", "never", lambda: invariants.asked_as_planned(PAGES, {})),
    ("asked_as_planned", "twice", lambda: invariants.asked_as_planned(PAGES, dict.fromkeys(PAGES, 2))),
    ("only", "one too many", lambda: invariants.only([], ROWS)),
    ("only", "one too few", lambda: invariants.only(["job", "other"], ROWS)),
    ("stays_up", "exit", lambda: invariants.stays_up([Exit("w", 1, 1)])),
    ("silent_after", "late request", lambda: invariants.silent_after([3.0], 2.0, "requests")),
    ("bounded", "descriptors", lambda: invariants.bounded({"w": Footprint(10, 1)}, {"w": Footprint(200, 1)})),
    ("bounded", "memory", lambda: invariants.bounded({"w": Footprint(1, 1)}, {"w": Footprint(1, 1 << 30)})),
]


def _export(change: dict[str, str]) -> Disk:
    """The disk with files of the export changed; an empty digest takes one away."""
    files = {path: held for path, held in ({**DISK.exports["exp"], **change}).items() if held}
    return replace(DISK, exports={"exp": files})


@pytest.mark.parametrize(("name", "check"), [pytest.param(name, check, id=f"{name}: {what}") for name, what, check in VIOLATIONS])
def test_a_violation_is_named(name: str, check: Callable[[], None]) -> None:
    """One thing wrong breaks the invariant that is about it."""
    with pytest.raises(InvariantBroken) as broken:
        check()
    assert broken.value.name == name


def test_every_invariant_is_seen_to_break() -> None:
    """No checker is missing in the list above."""
    checkers = {name for name in invariants.__all__ if name.islower()}
    assert checkers == {name for name, _, _ in VIOLATIONS}


def test_the_disk_is_read_as_it_is(tmp_path: Path) -> None:
    """Blobs by name and bytes, exports by file, and everything half-written or unknown as a stray."""
    for path, body in {"blobs/ab/cd/abcd": b"x", "exports/e/images/0.jpg": b"y", "blobs/ab/cd/abcd#1": b"z", ".scratch/t/f": b""}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(body)
    disk = read_disk(tmp_path)
    assert disk.blobs == {"abcd": digest(b"x")}
    assert disk.exports == {"e": {"images/0.jpg": digest(b"y")}}
    assert disk.strays == (".scratch/t/f", "blobs/ab/cd/abcd#1")


def test_a_seed_gives_the_same_plan() -> None:
    """The same URLs of the same kinds with the same bytes, and every kind in its share."""
    one, other = (make_plan(PlanOrigin(), 7, 100) for _ in range(2))
    assert one.pages == other.pages
    kinds = [page.kind for page in one.pages.values()]
    assert all(abs(kinds.count(kind) - percent) <= 1 for kind, percent in SHARES.items())
    assert make_plan(PlanOrigin(), 8, 100).pages != one.pages
