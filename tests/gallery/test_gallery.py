"""Tests of app.gallery.gallery: what a dataset shows while its columns are missing, made, old, broken, or made by two at once."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.db import Database, events, images
from app.domain import ImageState, Reason
from app.gallery import folder
from app.gallery.filters import Filter, Range, Sort
from app.gallery.gallery import MAX_OPEN, Gallery, View
from app.job_states import JobState
from tests.db.builders import add_images, add_job, dataset_of, end_job
from tests.db.test_images import set_all


class Clock:
    """Unix seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        self.now += 0.001  # so that making columns takes some time
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def gallery(database: Database, tmp_path: Path, clock: Clock) -> AsyncIterator[Gallery]:
    async with Gallery(database, tmp_path / "columns", clock=clock) as opened:
        yield opened


async def fill(db: Database, number: int = 30) -> tuple[str, str, list[int]]:
    """A job that runs, its dataset, and images of every kind."""
    job = await add_job(db)
    ids = await add_images(db, job, number)
    rng = random.Random(number)
    for image_id in ids:
        state = rng.choice([ImageState.KEPT, ImageState.FAILED])
        values: dict[str, Any] = {"label": rng.choice(["cat", "dog", None]), "measures": {"sharpness": rng.choice([1.5, 2.5, 3.5])}}
        await set_all(
            db, [image_id], state=state, reason=Reason.TIMEOUT if state is ImageState.FAILED else None, width=rng.randint(1, 9), **values
        )
    return job, await dataset_of(db, job), ids


def ids_of(view: View) -> list[int]:
    return [image.id for image in view.images or []]


async def test_a_gallery_shows_what_the_rows_say(any_database: Database, tmp_path: Path) -> None:
    """Filtered, sorted and in pages, on each database."""
    _, dataset, ids = await fill(any_database)
    rows = [await images.get(any_database, image_id) for image_id in ids]
    wanted = Filter.of({"label": ["cat", ""]}, [Range("width", 3)], text="JPG example.org/1", where="sharpness > 1.5")
    expected = sorted(
        (-(row.measures or {})["sharpness"], row.id)
        for row in rows
        if row.label in ("cat", None) and (row.width or 0) >= 3 and "1" in row.url and (row.measures or {})["sharpness"] > 1.5
    )
    found, cursor = list[int](), None
    async with Gallery(any_database, tmp_path / "columns") as gallery:
        while True:
            view = await gallery.look(dataset, wanted, Sort("sharpness", True), limit=2, cursor=cursor)
            assert view.matches is not None
            assert view.matches.total == len(expected)
            found, cursor = found + ids_of(view), view.next_cursor
            if cursor is None:
                break
    assert found == [image_id for _, image_id in expected]
    assert len(found) > 3


async def test_what_is_shown_of_an_image_is_always_current(gallery: Gallery, database: Database, clock: Clock) -> None:
    """Columns that are old still find it; its row is read anew, and an image that is gone is left out."""
    job, dataset, _ = await fill(database)
    kept = Filter.of({"state": ["kept"]})
    first = await gallery.look(dataset, kept)
    await set_all(database, ids_of(first)[:1], state=ImageState.TOMBSTONED, reason=Reason.TOMBSTONED)
    await end_job(database, job, JobState.SUCCEEDED)
    again = await gallery.look(dataset, kept)
    assert ids_of(again) == ids_of(first)
    assert (again.images or [])[0].state is ImageState.TOMBSTONED
    assert (first.is_current, again.is_current, again.as_of) == (True, False, first.as_of)
    clock.now += 60
    later = await gallery.look(dataset, kept)
    assert ids_of(later) == ids_of(first)[1:]
    assert later.is_current
    assert later.as_of > first.as_of  # type: ignore[operator]


async def test_making_columns_takes_at_most_a_tenth_of_the_time(gallery: Gallery, database: Database, clock: Clock) -> None:
    """A dataset that changes all the time is read again only after nine times as long as that took."""
    job, dataset, _ = await fill(database)
    made = set[float]()
    for _ in range(60):
        await events.add(database, [{"job_id": job, "at": 1.0, "level": "INFO", "event": "chunk.fetched", "data": {}}])
        made.add((await gallery.look(dataset, Filter())).as_of or 0.0)
    spans = [later - earlier for earlier, later in zip(sorted(made), sorted(made)[1:], strict=False)]
    assert len(spans) > 2
    assert min(spans) >= 0.01


UNANSWERED = (
    (Filter.of(text="x"), Sort()),
    (Filter.of({"label": [""]}), Sort()),
    (Filter.of({"state": ["kept", "failed"]}), Sort()),
    (Filter.of({"host": ["a"]}), Sort()),
    (Filter(), Sort("width")),
)
"""Filters and orders that no index answers."""


async def test_a_large_dataset_is_shown_before_it_is_counted(database: Database, tmp_path: Path) -> None:
    """By an index where one answers; otherwise there is nothing to show yet. The pages go on from the columns."""
    _, dataset, ids = await fill(database)

    def opened(name: str) -> Gallery:  # a first look at each: the columns that it begins may be there at the second one
        return Gallery(database, tmp_path / name, small=20)

    async with opened("states") as gallery:
        kept = await gallery.look(dataset, Filter.of({"state": ["kept"]}), limit=4)
        assert {image.state for image in kept.images or []} == {ImageState.KEPT}
    for number, (unanswered, order) in enumerate(UNANSWERED):
        async with opened(str(number)) as gallery:
            assert (await gallery.look(dataset, unanswered, order)).images is None
    async with opened("all") as gallery:
        first = await gallery.look(dataset, Filter(), limit=4)
        assert (ids_of(first), first.matches, first.as_of) == (ids[:4], None, None)
        counted = await gallery.look(dataset, Filter(), limit=4, cursor=first.next_cursor, wait=True)
        assert ids_of(counted) == ids[4:8]
        assert counted.matches is not None
        assert counted.matches.total == len(ids)


async def test_two_processes_use_the_same_columns(database: Database, tmp_path: Path, clock: Clock) -> None:
    """Both at once make them without harm; what one makes anew, the other shows, and nobody needs what was removed meanwhile."""
    job, dataset, ids = await fill(database)
    one, two = (Gallery(database, tmp_path / "columns", clock=clock) for _ in range(2))
    async with one, two:
        views = await asyncio.gather(one.look(dataset, Filter()), two.look(dataset, Filter()))
        assert [view.is_current for view in views] == [True, True]
        await end_job(database, job, JobState.SUCCEEDED)
        clock.now += 60
        made = await one.look(dataset, Filter())
        shown = await two.look(dataset, Filter())
        assert (shown.is_current, shown.as_of) == (True, made.as_of)
        folder.clear(tmp_path / "columns")
        assert ids_of(await two.look(dataset, Filter())) == ids
        broken = folder.path_of(tmp_path / "columns", dataset)
        broken.write_bytes(b"PICTRAWL columns 1\nno")
        assert ids_of(await two.look(dataset, Filter())) == ids
    async with Gallery(database, tmp_path / "columns", clock=clock) as three:
        assert (await three.look(dataset, Filter())).is_current
        assert broken.stat().st_size > 100


async def test_columns_outlive_a_process_and_not_a_dataset(database: Database, tmp_path: Path, clock: Clock) -> None:
    """The next process shows what the last one made; a removed dataset leaves no word of it on the disk."""
    _, dataset, _ = await fill(database)
    async with Gallery(database, tmp_path / "columns", clock=clock) as gallery:
        first = await gallery.look(dataset, Filter())
    async with Gallery(database, tmp_path / "columns", clock=clock) as gallery:
        again = await gallery.look(dataset, Filter())
        assert again.as_of == first.as_of
        gallery.forget(dataset)
        assert list((tmp_path / "columns").iterdir()) == []
        assert (await gallery.look(dataset, Filter())).as_of > first.as_of  # type: ignore[operator]
        gallery.forget()
        assert list((tmp_path / "columns").iterdir()) == []


async def test_a_gallery_without_a_folder_leaves_nothing(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of a server's database has a temporary one."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    _, dataset, ids = await fill(database)
    before = set(tmp_path.iterdir())
    async with Gallery(database, None) as gallery:
        assert ids_of(await gallery.look(dataset, Filter())) == ids
        (place,) = set(tmp_path.iterdir()) - before
        assert (len(list(place.iterdir())), place.stat().st_mode & 0o777) == (1, 0o700)
    assert set(tmp_path.iterdir()) == before


async def test_columns_stay_in_memory_where_no_file_can_be_written(database: Database, tmp_path: Path) -> None:
    """A full disk, or a folder that is none, costs nobody the gallery."""
    (tmp_path / "columns").touch()
    _, dataset, ids = await fill(database)
    async with Gallery(database, tmp_path / "columns") as gallery:
        view = await gallery.look(dataset, Filter.of(text="example"))
        assert (ids_of(view), view.is_current) == (ids, True)


async def test_an_error_of_the_machine_reaches_who_looks(database: Database, tmp_path: Path) -> None:
    """Also one in the background, at the next look; then columns are made again."""
    _, dataset, ids = await fill(database)
    ticks = iter([1.0])

    async with Gallery(database, tmp_path / "columns", clock=lambda: next(ticks), small=1) as gallery:
        assert (await gallery.look(dataset, Filter())).matches is None
        while not all(task.done() for task in asyncio.all_tasks() if task is not asyncio.current_task()):
            await asyncio.sleep(0)
        with pytest.raises(RuntimeError):  # StopIteration in a coroutine
            await gallery.look(dataset, Filter())
        ticks = iter([2.0, 3.0])
        assert ids_of(await gallery.look(dataset, Filter(), wait=True)) == ids


async def test_answers_and_columns_in_memory_are_bounded(database: Database, tmp_path: Path) -> None:
    """Of any number of datasets and filters, a few are held; the others are mapped and counted again."""
    places = [(await fill(database, 2))[1] for _ in range(3 * MAX_OPEN)]
    async with Gallery(database, tmp_path / "columns") as gallery:
        for dataset in [*places, places[0]]:
            assert len(ids_of(await gallery.look(dataset, Filter()))) == 2
        for number in range(50):
            await gallery.look(places[0], Filter.of(ranges=[Range("width", number)]))
    assert len(list((tmp_path / "columns").iterdir())) == len(places)
    maps = Path("/proc/self/maps")
    assert not maps.exists() or maps.read_text().count(".columns") < 2 * MAX_OPEN  # a thread may hold what it read last
