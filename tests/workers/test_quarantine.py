"""A unit whose workers died again and again runs alone: what kills its process there is condemned, and nothing else is."""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from arq import Retry
from sqlalchemy import update

import errors
from app.db import attempts, image_search, images, jobs, tables, units
from app.db.takeover import IN_HAND, SUSPECTS
from app.domain import ImageState, Reason, StoredImage
from app.job_states import JobState, UnitKind, UnitState
from app.settings import as_flags, load_settings
from tests.db.builders import change
from tests.images.samples import encode, photo
from tests.origin import Exchange, Origin, image
from tests.workers.bench import Bench, bench_settings, forget_outputs
from tests.workers.proof import eventually, one_unit, state_of
from workers import quarantine
from workers.unit import ISOLATED_COMMAND, ClaimedUnit, Stopped, StopReason

LETHAL = (sys.executable, "-m", "tests.workers.lethal")
POISON = encode(photo(64, 64, seed=99))


def speaking(program: str) -> tuple[str, ...]:
    """A process that hears the order and does this."""
    return (sys.executable, "-c", f"import sys, os, signal, json, time; sys.stdin.read(); print('began', flush=True); {program}")


def answering(error: str, message: str) -> tuple[str, ...]:
    """A process whose job raised."""
    return speaking(f"print(json.dumps({{'error': {error!r}, 'message': {message!r}}}))")


async def quarantined(bench: Bench, kind: UnitKind, suspects: list[int] | None = None) -> Any:
    """The one due unit of a kind, as the sweeper would put it into quarantine."""
    (delivery,) = [delivery for delivery in await bench.due() if delivery.kind is kind]
    known = {} if suspects is None else {SUSPECTS: suspects}
    payload = {**(await state_of(bench, delivery.unit_id)).payload, **known}
    async with bench.db.write() as connection:
        await connection.execute(update(tables.units).where(tables.units.c.id == delivery.unit_id).values(crashes=3, payload=payload))
    return delivery


async def ids(bench: Bench, job_id: str) -> dict[str, int]:
    """The id of each image by the last part of its URL."""
    page = await image_search.page(bench.db, image_search.ImageFilter(job_id=job_id))
    return {found.url.rpartition("/")[2]: found.id for found in page.items}


async def states(bench: Bench, job_id: str) -> dict[str, tuple[ImageState, Reason | None]]:
    """State and reason of each image by the last part of its URL."""
    page = await image_search.page(bench.db, image_search.ImageFilter(job_id=job_id))
    return {found.url.rpartition("/")[2]: (found.state, found.reason) for found in page.items}


@pytest.fixture
async def built(bench: Bench, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> str:
    """A job of four images, one of which kills whoever touches it."""
    monkeypatch.setenv("LETHAL_BYTES", POISON.hex())
    bench.context.isolated_command = LETHAL
    for name, body in (("a", encode(photo(seed=1))), ("b", POISON), ("c", encode(photo(seed=2))), ("d", encode(photo(seed=3)))):
        origin.script(f"/{name}.jpg", image(body))
    return await bench.submit([origin.url(f"/{name}.jpg") for name in "abcd"])


async def test_an_image_that_kills_whoever_fetches_it_is_condemned_alone(
    bench: Bench, built: str, origin: Origin, lines: list[dict[str, Any]]
) -> None:
    """The process dies over one image, the next goes on without it: the rest is fetched once, and the job ends with what it has."""
    await bench.drive(until=UnitKind.FETCH)
    delivery = await quarantined(bench, UnitKind.FETCH)
    await bench.run(delivery)
    assert await states(bench, built) == {
        "a.jpg": (ImageState.FETCHED, None),
        "b.jpg": (ImageState.FAILED, Reason.POISON),
        "c.jpg": (ImageState.FETCHED, None),
        "d.jpg": (ImageState.FETCHED, None),
    }
    assert [len(origin.hits(f"/{name}.jpg")) for name in "abcd"] == [1, 1, 1, 1]
    assert (await state_of(bench, delivery.unit_id)).state is UnitState.DONE
    told = [line["event"] for line in lines if line["event"].startswith(("quarantine.", "image.poison"))]
    assert told == ["quarantine.began", "image.poison", "quarantine.ended"]
    assert {line.get("job_id") for line in lines if line["event"] == "image.poison"} == {built}
    await bench.drive()
    assert (await bench.job(built)).state is JobState.SUCCEEDED


@pytest.mark.parametrize(("kind", "state"), [(UnitKind.VALIDATE, ImageState.REJECTED), (UnitKind.COMPRESS, ImageState.REJECTED)])
async def test_an_image_that_kills_whoever_opens_it_is_condemned_alone(
    bench: Bench, origin: Origin, monkeypatch: pytest.MonkeyPatch, kind: UnitKind, state: ImageState
) -> None:
    """In validation and in compression, one image is rejected and its chunk goes on."""
    monkeypatch.setenv("LETHAL_BYTES", POISON.hex())
    bench.context.isolated_command = LETHAL
    for name, body in (("a", encode(photo(seed=1))), ("b", POISON)):
        origin.script(f"/{name}.jpg", image(body))
    job_id = await bench.submit([origin.url("/a.jpg"), origin.url("/b.jpg")], compression={"format": "webp", "level": 80})
    if kind is UnitKind.COMPRESS:
        await bench.drive(until=UnitKind.LABELS)
        await forget_outputs(bench.db)
    await bench.drive(until=kind)
    await bench.run(await quarantined(bench, kind))
    assert (await states(bench, job_id))["b.jpg"] == (state, Reason.POISON)
    await bench.drive()
    funnel = await bench.funnel(job_id)
    assert (funnel.kept, funnel.reasons) == (1, {"poison": 1})


async def test_a_harmless_unit_is_exonerated(bench: Bench, built: str, origin: Origin) -> None:
    """A unit that got into quarantine by its neighbours' crashes is done there like anywhere else."""
    bench.context.isolated_command = ISOLATED_COMMAND
    await bench.drive(until=UnitKind.FETCH)
    await bench.run(await quarantined(bench, UnitKind.FETCH))
    assert {state for state, _ in (await states(bench, built)).values()} == {ImageState.FETCHED}
    assert [len(origin.hits(f"/{name}.jpg")) for name in "abcd"] == [1, 1, 1, 1]


async def test_only_suspects_run_alone(bench: Bench, built: str, origin: Origin) -> None:
    """The image that was in hand at every death is judged in a process of its own; the rest of its chunk runs as always, at once."""
    await bench.drive(until=UnitKind.FETCH)
    delivery = await quarantined(bench, UnitKind.FETCH, [(await ids(bench, built))["b.jpg"]])
    await bench.run(delivery)
    assert [len(origin.hits(f"/{name}.jpg")) for name in "abcd"] == [0, 1, 0, 0]
    unit = await state_of(bench, delivery.unit_id)
    assert (unit.state, unit.crashes) == (UnitState.QUEUED, 0)
    await bench.drive()
    assert [len(origin.hits(f"/{name}.jpg")) for name in "abcd"] == [1, 1, 1, 1]
    assert (await states(bench, built))["b.jpg"] == (ImageState.FAILED, Reason.POISON)
    assert (await bench.funnel(built)).kept == 3


async def test_a_validation_leaves_what_is_not_suspected_to_an_ordinary_run(bench: Bench, built: str) -> None:
    """An isolated run that has judged its suspects does not finish the unit."""
    bench.context.isolated_command = ISOLATED_COMMAND
    await bench.drive(until=UnitKind.VALIDATE)
    suspect = (await ids(bench, built))["a.jpg"]
    delivery = await quarantined(bench, UnitKind.VALIDATE, [suspect])
    await bench.run(delivery)
    assert [state for state, _ in (await states(bench, built)).values()] == [ImageState.VALID] + [ImageState.FETCHED] * 3
    await bench.drive()
    assert (await bench.funnel(built)).kept == 4


async def test_images_that_were_in_hand_at_the_death_of_a_suspected_unit_are_suspected_instead(bench: Bench, built: str) -> None:
    """No image was in hand at the deaths before, two are now: the unit is not to blame, and runs as always."""
    await bench.drive(until=UnitKind.FETCH)
    delivery = await quarantined(bench, UnitKind.FETCH, [])
    chosen = sorted((await ids(bench, built)).values())[:2]
    row = replace(await state_of(bench, delivery.unit_id), epoch=1)
    async with bench.db.write() as connection:
        await attempts.reserve(connection, row, [(image_id, 1) for image_id in chosen])
    bench.context.isolated_command = speaking("os.kill(os.getpid(), signal.SIGSEGV)")
    await bench.run(delivery)
    unit = await state_of(bench, delivery.unit_id)
    assert (unit.state, unit.crashes, unit.payload[SUSPECTS]) == (UnitState.QUEUED, 1, chosen)
    assert set((await states(bench, built)).values()) == {(ImageState.PENDING, None)}


async def test_a_unit_that_kills_its_process_itself_is_dead(bench: Bench) -> None:
    """Where no image is at work, the unit is to blame; its job fails, and says by what it died."""
    delivery = await one_unit(bench, UnitKind.INTEGRITY)
    delivery = await quarantined(bench, UnitKind.INTEGRITY)
    bench.context.isolated_command = speaking("os.kill(os.getpid(), signal.SIGSEGV)")
    await bench.run(delivery)
    unit = await state_of(bench, delivery.unit_id)
    assert unit.state is UnitState.DEAD
    assert unit.error == "IsolatedProcessDied: its workers died 3 times; alone in a process, it ended by signal SIGSEGV"
    await bench.drive()
    job = await jobs.get(bench.db, delivery.job_id)
    assert job.state is JobState.FAILED
    assert "SIGSEGV" in str(job.error)


@pytest.mark.parametrize("error", ["MemoryError", "DatabaseConnectionError"])
async def test_an_error_for_arq_is_retried_by_the_worker(bench: Bench, error: str) -> None:
    """What the job raised in its process comes back, and the decorator's rule applies; it stays in quarantine meanwhile."""
    delivery = await one_unit(bench, UnitKind.INTEGRITY)
    delivery = await quarantined(bench, UnitKind.INTEGRITY)
    bench.context.isolated_command = answering(error, "no room")
    with pytest.raises(Retry):
        await bench.run(delivery)
    unit = await state_of(bench, delivery.unit_id)
    assert (unit.state, unit.crashes, unit.error) == (UnitState.QUARANTINED, 3, f"{error}: no room")


@pytest.mark.parametrize(
    ("error", "message", "state", "said"),
    [
        ("NotFoundError", "no export", UnitState.DEAD, "NotFoundError: no export"),
        ("KeyError", "'x'", UnitState.DEAD, "RuntimeError: KeyError: 'x'"),
        ("DECISION_TABLE", "no class", UnitState.DEAD, "RuntimeError: DECISION_TABLE: no class"),
        ("Stopped", "cancelled", UnitState.CANCELLED, None),
        ("StorageError", "disk full", UnitState.QUARANTINED, "disk full"),
        ("LeaseLost", "unit", UnitState.RUNNING, None),
    ],
)
async def test_other_errors_of_its_process_end_the_unit_as_they_would_here(
    bench: Bench, error: str, message: str, state: UnitState, said: str | None
) -> None:
    """Permanent errors and bugs bury it, faults of ours let it rest, what was lost is left alone."""
    delivery = await one_unit(bench, UnitKind.INTEGRITY)
    delivery = await quarantined(bench, UnitKind.INTEGRITY)
    bench.context.isolated_command = answering(error, message)
    await bench.run(delivery)
    unit = await state_of(bench, delivery.unit_id)
    assert (unit.state, unit.error) == (state, said)


async def test_a_process_that_cannot_be_started_is_a_fault_of_ours(bench: Bench, tmp_path: Path) -> None:
    """The unit rests, and nobody is condemned."""
    delivery = await one_unit(bench, UnitKind.INTEGRITY)
    delivery = await quarantined(bench, UnitKind.INTEGRITY)
    bench.context.isolated_command = (str(tmp_path / "missing"),)
    await bench.run(delivery)
    unit = await state_of(bench, delivery.unit_id)
    assert (unit.state, unit.crashes) == (UnitState.QUARANTINED, 3)
    assert "cannot start an isolated process" in str(unit.error)


async def test_a_process_that_never_began_is_a_fault_of_ours(bench: Bench) -> None:
    """No room for its imports, say: the unit rests, and nobody is condemned."""
    delivery = await one_unit(bench, UnitKind.INTEGRITY)
    delivery = await quarantined(bench, UnitKind.INTEGRITY)
    bench.context.isolated_command = (sys.executable, "-c", "raise SystemExit(1)")
    await bench.run(delivery)
    unit = await state_of(bench, delivery.unit_id)
    assert (unit.state, unit.error) == (UnitState.QUARANTINED, "an isolated process ended by exit code 1 before it started the unit")


async def test_a_drain_ends_the_process_in_order_and_condemns_nobody(bench: Bench, built: str, origin: Origin) -> None:
    """SIGTERM goes on to the process; what it has is kept, and the unit waits in quarantine for the next worker."""
    arrived = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        arrived.set()
        await asyncio.sleep(0.5)
        await image(encode(photo(seed=1)))(exchange)

    origin.script("/a.jpg", slow)
    await bench.drive(until=UnitKind.FETCH)
    delivery = await quarantined(bench, UnitKind.FETCH)
    run = asyncio.create_task(bench.run(delivery))
    await arrived.wait()
    bench.leases.drain()
    await run
    assert [state for state, _ in (await states(bench, built)).values()] == [ImageState.FETCHED] + [ImageState.PENDING] * 3
    unit = await state_of(bench, delivery.unit_id)
    assert (unit.state, unit.crashes) == (UnitState.QUEUED, 3)


async def test_a_process_that_ends_by_sigterm_before_it_listens_condemns_nobody(bench: Bench) -> None:
    """Whoever sent it, it is no crash."""
    delivery = await one_unit(bench, UnitKind.INTEGRITY)
    delivery = await quarantined(bench, UnitKind.INTEGRITY)
    bench.context.isolated_command = speaking("os.kill(os.getpid(), signal.SIGTERM)")
    await bench.run(delivery)
    assert (await state_of(bench, delivery.unit_id)).state is UnitState.QUARANTINED


async def test_a_cancelled_job_ends_its_process_at_once(bench: Bench, tmp_path: Path) -> None:
    """The process is killed, reaped, and its death condemns nobody."""
    delivery = await one_unit(bench, UnitKind.INTEGRITY)
    delivery = await quarantined(bench, UnitKind.INTEGRITY)
    bench.context.isolated_command = speaking(f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)")
    run = asyncio.create_task(bench.run(delivery))
    await eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    for work in list(bench.leases._held.values()):
        work.request_stop(StopReason.CANCELLED)
    await run
    assert (await state_of(bench, delivery.unit_id)).state is UnitState.CANCELLED
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text()}").exists()


def test_an_error_comes_back_as_what_it_was() -> None:
    """A class of ours by its name, with its message."""
    error = quarantine.rebuild_error("DatabaseConnectionError", "away")
    assert isinstance(error, errors.DatabaseConnectionError)
    assert str(error) == "away"
    assert isinstance(quarantine.rebuild_error("Stopped", "lost"), Stopped)
    assert isinstance(quarantine.rebuild_error("LeaseLost", "unit"), units.LeaseLost)


def test_settings_reach_the_process_whole(tmp_path: Path) -> None:
    """Whatever flags, files and environment said here, it works by the same, secrets included."""
    flags = {"db.url": "postgresql+asyncpg://me:s3cret@db/x", "queue.url": "redis://:hush@redis:6379/0", "log.file": tmp_path / "log"}
    settings = bench_settings(tmp_path, flags)
    assert load_settings(as_flags(settings)) == settings


async def test_batches_are_everything_at_once_in_an_ordinary_run(bench: Bench, built: str) -> None:
    """Only quarantine is slow."""
    await bench.drive(until=UnitKind.FETCH)
    (delivery,) = [delivery for delivery in await bench.due() if delivery.kind is UnitKind.FETCH]
    unit = await units.claim(bench.db, delivery.unit_id, owner="wrk_test", lease_s=30)
    assert unit is not None
    async with bench.db.read() as connection:
        found: list[StoredImage] = await images.chunk_images(connection, str(delivery.chunk_id), [ImageState.PENDING])
    batches = [batch async for batch in ClaimedUnit(bench.context, unit).batches(found)]
    assert batches == [found]
    after_death = replace(unit, crashes=1, payload={**unit.payload, SUSPECTS: [found[0].id]})
    work = ClaimedUnit(bench.context, after_death)
    assert [batch async for batch in work.batches(found)] == [[*found[1:], found[0]]]


@pytest.mark.parametrize(("crashes", "in_hand"), [(0, None), (1, [3, 5])])
async def test_a_validation_writes_down_what_it_begins_once_a_worker_died(bench: Bench, built: str, crashes: int, in_hand: Any) -> None:
    """Then few images are suspected after the next death. Ordinary runs save the transactions."""
    await bench.drive(until=UnitKind.VALIDATE)
    (delivery,) = [delivery for delivery in await bench.due() if delivery.kind is UnitKind.VALIDATE]
    row = await units.claim(bench.db, delivery.unit_id, owner="wrk_test", lease_s=30)
    assert row is not None
    work = ClaimedUnit(bench.context, replace(row, crashes=crashes))
    async with bench.db.read() as connection:
        found = await images.chunk_images(connection, str(delivery.chunk_id), [ImageState.FETCHED])
    await work.begin([replace(found[0], id=5)])
    await work.begin([replace(found[0], id=3)])
    assert (await state_of(bench, delivery.unit_id)).payload.get(IN_HAND) == in_hand


async def test_a_page_is_progress_of_its_search(bench: Bench) -> None:
    """A long search whose process is killed from time to time is not suspected."""
    await bench.submit(["http://127.0.0.1:9/a.jpg"])
    await bench.drive(until=UnitKind.SEARCH)
    (delivery,) = await bench.due()
    await change(bench.db, tables.units, delivery.unit_id, crashes=2)
    await bench.run(delivery)
    unit = await state_of(bench, delivery.unit_id)
    assert (unit.state, unit.crashes) == (UnitState.DONE, 0)


async def test_progress_clears_a_suspected_unit_and_no_suspected_image(bench: Bench, built: str) -> None:
    """Other images say nothing of an image that was in hand at a death."""
    await bench.drive(until=UnitKind.FETCH)
    (delivery,) = [delivery for delivery in await bench.due() if delivery.kind is UnitKind.FETCH]
    row = await units.claim(bench.db, delivery.unit_id, owner="wrk_test", lease_s=30)
    assert row is not None
    left = []
    for suspects in ([7], [], None):
        await change(bench.db, tables.units, row.id, crashes=2)
        known = {} if suspects is None else {SUSPECTS: suspects}
        work = ClaimedUnit(bench.context, replace(row, crashes=2, payload=known))
        async with work.transaction() as connection:
            await work.record_progress(connection)
        left.append((await state_of(bench, row.id)).crashes)
    assert left == [2, 0, 0]
