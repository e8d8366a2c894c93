"""Attempts before their requests, outcomes after, and what a crash in between costs."""

import asyncio
import gc
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

import errors
from app.db import Database, attempts, image_search, images, outbox, schema, tables, units
from app.db.image_search import ImageFilter
from app.domain import ImageState, Reason
from app.job_states import JobState, UnitKind
from app.jobs.submit import RETRYABLE
from app.settings import RetrySettings
from downloader import Attempt, Deferred, Fetched, FetchFailed, FetchRequest, HostSilence, NotModified, Outcome
from tests.db.builders import expire
from tests.figures import Growth
from tests.images.samples import encode, photo
from tests.origin import Origin, hang_up, image, redirect, reply
from tests.workers.bench import Bench, open_bench
from workers.job import claim
from workers.stages import outcomes
from workers.stages.fetch import fetch_chunk, settle_chunk
from workers.stages.fetch_metrics import count_attempt, result_of
from workers.stages.outcomes import OutcomeRecorder
from workers.unit import ClaimedUnit


async def attempt_rows(bench: Bench) -> list[tuple[int, str]]:
    """(row number, state) of every attempt."""
    async with bench.db.read() as connection:
        query = select(tables.attempts.c.number, tables.attempts.c.state).order_by(tables.attempts.c.image_id, tables.attempts.c.number)
        return [(row.number, row.state) for row in (await connection.execute(query)).all()]


async def fetch_unit(bench: Bench) -> outbox.Delivery:
    """Plan what was submitted, return the first fetch unit."""
    await bench.drive(until=UnitKind.FETCH)
    return next(delivery for delivery in await bench.due() if delivery.kind is UnitKind.FETCH)


async def test_an_attempt_is_on_record_before_its_request(bench: Bench, origin: Origin) -> None:
    """When the origin sees a request, its attempt is committed already."""
    seen: list[list[tuple[int, str]]] = []

    async def look(exchange: object) -> None:
        seen.append(await attempt_rows(bench))
        await reply(404)(exchange)  # type: ignore[arg-type]

    origin.script("/a.jpg", look)
    await bench.submit([origin.url("/a.jpg")])
    await bench.run(await fetch_unit(bench))
    assert seen == [[(1, "reserved")]]
    assert await attempt_rows(bench) == [(1, "done")]


async def test_a_crash_costs_no_url_its_budget_and_the_origin_at_most_one_more(bench: Bench, origin: Origin) -> None:
    """One reservation without an outcome is forgiven; the origin sees 3 requests, and one more for each such URL at most."""
    origin.script("/busy.jpg", reply(503))
    await bench.submit([origin.url("/busy.jpg")])
    delivery = await fetch_unit(bench)
    unit = await units.claim(bench.db, delivery.unit_id, owner="wrk_dead", lease_s=30)
    assert unit is not None
    (row,) = (await image_search.page(bench.db, ImageFilter())).items
    async with bench.db.write() as connection:
        await attempts.reserve(connection, unit, [(row.id, 1)])
    await expire(bench.db, delivery.unit_id)

    await bench.run(delivery)

    assert len(origin.hits("/busy.jpg")) == 3
    assert await attempt_rows(bench) == [(1, "lost"), (2, "done"), (3, "done"), (4, "done")]


async def test_attempts_that_fail_over_robots_txt_are_on_record(tmp_path: Path, origin: Origin) -> None:
    """A host that refuses connections is asked for its robots.txt first: each attempt counts, and the figures tell of the retries."""
    async with open_bench(tmp_path, {"fetch.robots": True}) as bench:
        job_id = await bench.submit(["http://127.0.0.1:9/a.jpg"])
        await bench.run(await fetch_unit(bench))
        assert await attempt_rows(bench) == [(1, "done"), (2, "done"), (3, "done")]
        assert await attempts.retry_figures(bench.db, job_id) == (3, 1, 0)
        assert await attempts.count_exhausted(bench.db, job_id) == 1
        ((row, *_),) = [(await image_search.page(bench.db, ImageFilter(job_id=job_id))).items]
        assert (row.state, row.reason) == (ImageState.FAILED, Reason.NETWORK)


async def test_what_has_an_outcome_is_never_requested_again(bench: Bench, origin: Origin) -> None:
    """A worker that dies after half a chunk leaves half a chunk to its successor."""
    for number in range(10):
        origin.script(f"/{number}.jpg", image(encode(photo(seed=number + 1))))
    await bench.submit([origin.url(f"/{number}.jpg") for number in range(10)])
    delivery = await fetch_unit(bench)
    async with bench.db.write() as connection:
        half = select(tables.images.c.id).order_by(tables.images.c.id).limit(5)
        await connection.execute(
            update(tables.images).where(tables.images.c.id.in_(half)).values(state=ImageState.FAILED, reason=Reason.HTTP_404)
        )
    await bench.run(delivery)
    assert [len(origin.hits(f"/{number}.jpg")) for number in range(10)] == [0] * 5 + [1] * 5


async def test_a_worker_whose_lease_ran_out_sends_no_request(bench: Bench, origin: Origin) -> None:
    """Past its own deadline a worker asks no origin and writes no row, even before it has heard of its successor."""
    origin.script("/a.jpg", image(encode(photo())))
    await bench.submit([origin.url("/a.jpg")])
    delivery = await fetch_unit(bench)
    unit = await units.claim(bench.db, delivery.unit_id, owner="wrk_slow", lease_s=30)
    assert unit is not None
    assert delivery.chunk_id is not None
    work = ClaimedUnit(bench.context, unit)
    async with work.transaction() as connection:
        assert await images.chunk_images(connection, delivery.chunk_id, [ImageState.PENDING])
    work.lease_deadline = 0.0
    with pytest.raises(units.LeaseLost):
        await fetch_chunk(bench.context, work, delivery.chunk_id)
    assert origin.hits("/a.jpg") == []


async def test_an_overtaken_worker_sends_no_further_request_and_writes_nothing(bench: Bench, origin: Origin) -> None:
    """The fence holds in every write: a successor's claim ends the predecessor at its next reservation."""
    origin.script("/a.jpg", image(encode(photo())))
    await bench.submit([origin.url("/a.jpg")])
    delivery = await fetch_unit(bench)
    unit = await units.claim(bench.db, delivery.unit_id, owner="wrk_slow", lease_s=30)
    assert unit is not None
    await expire(bench.db, delivery.unit_id)
    assert await units.claim(bench.db, delivery.unit_id, owner="wrk_next", lease_s=30) is not None
    with pytest.raises(units.LeaseLost):
        await fetch_chunk(bench.context, ClaimedUnit(bench.context, unit), str(delivery.chunk_id))
    assert origin.hits("/a.jpg") == []
    assert await attempt_rows(bench) == []


async def test_a_ledger_cut_off_while_it_closes_leaves_no_error_unheard(bench: Bench, origin: Origin) -> None:
    """What a fence refuses then, nobody waits for any more; it is no `Task exception was never retrieved` either."""
    unheard: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
    await bench.submit([origin.url("/a.jpg")])
    delivery = await fetch_unit(bench)
    unit = await units.claim(bench.db, delivery.unit_id, owner="wrk_slow", lease_s=30)
    assert unit is not None
    rows = (await image_search.page(bench.db, ImageFilter())).items
    failure = FetchFailed(FetchRequest(rows[0].url, key=rows[0].id), Reason.HTTP_404, "NotFoundError", "404", ())

    async def leave() -> None:
        async with OutcomeRecorder(ClaimedUnit(bench.context, unit), rows, {}) as recorder:
            recorder.add_failed(failure)

    async with bench.db.write() as connection:
        leaving = asyncio.create_task(leave())
        while not _is_closing():
            await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        await connection.execute(update(tables.units).where(tables.units.c.id == unit.id).values(epoch=unit.epoch + 1))
    while _is_closing():
        await asyncio.sleep(0)
    gc.collect()
    assert unheard == []


def _is_closing() -> bool:
    return any("OutcomeRecorder._close" in repr(task.get_coro()) for task in asyncio.all_tasks())


async def test_a_storage_fault_loses_no_outcome(bench: Bench, origin: Origin) -> None:
    """A full disk ends the run; what was known by then is on its rows, and the rest is fetched once the disk is free."""
    origin.script("/404.jpg", reply(404))
    origin.script("/a.jpg", image(encode(photo())))
    job_id = await bench.submit([origin.url("/404.jpg"), origin.url("/a.jpg")])
    delivery = await fetch_unit(bench)
    real = bench.context.store.put_many

    async def full(*_: object) -> str:
        raise errors.StorageError("no space left on device")

    bench.context.store.put_many = full  # type: ignore[method-assign,assignment]
    await bench.run(delivery)
    bench.context.store.put_many = real  # type: ignore[method-assign]
    assert (await bench.job(job_id)).waiting_for == "storage failed (no space left on device); retried in 60 s"
    async with bench.db.write() as connection:
        await connection.execute(update(tables.units).values(not_before=0.0))
    await bench.drive()
    assert (await bench.funnel(job_id)).kept == 1
    assert len(origin.hits("/404.jpg")) <= 1
    assert (await bench.job(job_id)).waiting_for is None


async def test_a_store_without_room_costs_no_url_its_attempts(bench: Bench, origin: Origin) -> None:
    """A chunk that rested asks the store first: however often it comes back to a full one, its URLs are not asked for in vain."""
    origin.script("/a.jpg", image(encode(photo())))
    job_id = await bench.submit([origin.url("/a.jpg")])
    delivery = await fetch_unit(bench)
    real = bench.context.store.put_many

    async def full(*_: object) -> None:
        raise errors.StorageError("no space left on device")

    for _ in range(5):
        bench.context.store.put_many = full  # type: ignore[method-assign,assignment]
        await bench.run(delivery)
        bench.context.store.put_many = real  # type: ignore[method-assign]
        async with bench.db.write() as connection:
            await connection.execute(update(tables.units).values(not_before=0.0))
    assert len(origin.hits("/a.jpg")) == 1
    await bench.drive()
    assert (await bench.funnel(job_id)).kept == 1
    assert len(origin.hits("/a.jpg")) == 2


async def test_deferred_urls_bring_the_unit_back_when_due(bench: Bench, origin: Origin) -> None:
    """A long Retry-After frees the unit; what has come goes on, the deferred URL is requested when due, its attempts still counted."""
    origin.script("/slow.jpg", reply(429, headers={"Retry-After": "60"}), image(encode(photo(seed=5))))
    origin.script("/ok.jpg", image(encode(photo(seed=6))))
    job_id = await bench.submit([origin.url("/ok.jpg"), origin.url("/slow.jpg")])
    delivery = await fetch_unit(bench)
    await bench.run(delivery)
    states = {row.url.rsplit("/", 1)[1]: row.state for row in (await image_search.page(bench.db, ImageFilter(job_id=job_id))).items}
    assert states["slow.jpg"] is ImageState.DEFERRED
    await bench.drive()
    assert (await bench.job(job_id)).state is JobState.RUNNING
    async with bench.db.write() as connection:
        await connection.execute(update(tables.units).values(not_before=0.0))
        await connection.execute(update(tables.images).values(not_before=0.0))
    bench.context.downloader._gate._store._states.clear()
    await bench.drive()
    assert (await bench.job(job_id)).state is JobState.SUCCEEDED
    assert len(origin.hits("/slow.jpg")) == 2


class LaterTime:
    """The downloader's clock, and how far it is ahead of this machine's."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s

    async def pass_by(self, bench: Bench, seconds: float) -> None:
        """Let time go by for the downloader, and for what it has just put off: the database's clock stays where it is."""
        already_ahead_s, self.ahead_s = self.ahead_s, self.ahead_s + seconds
        async with bench.db.write() as connection:
            for table in (tables.units, tables.images):
                moved = table.c.not_before - already_ahead_s - seconds
                await connection.execute(update(table).where(table.c.not_before > 0).values(not_before=moved))


async def test_a_deferred_url_is_taken_up_when_due_with_its_attempts_counted(tmp_path: Path, origin: Origin) -> None:
    """503 with Retry-After 60, for ever: one request at once, one a minute later, one another minute later, and none after the third."""
    clock = LaterTime()
    url = origin.script("/away.jpg", reply(503, headers={"Retry-After": "60"}))
    async with open_bench(tmp_path, clock=clock) as bench:
        job_id = await bench.submit([url])
        for requests in (1, 2):
            await bench.drive()
            (row,) = (await image_search.page(bench.db, ImageFilter(job_id=job_id))).items
            assert (row.state, row.reason) == (ImageState.DEFERRED, Reason.SERVICE_UNAVAILABLE)
            assert row.not_before == pytest.approx(clock() + 60, abs=10)
            assert len(origin.hits("/away.jpg")) == requests
            await clock.pass_by(bench, 61)
        await bench.drive()
        (row,) = (await image_search.page(bench.db, ImageFilter(job_id=job_id))).items
        assert (row.state, row.reason) == (ImageState.FAILED, Reason.SERVICE_UNAVAILABLE)
        assert await attempt_rows(bench) == [(1, "done"), (2, "done"), (3, "done")]
        assert (await bench.job(job_id)).is_final
        await clock.pass_by(bench, 3600)
        await bench.drive()
    assert len(origin.hits("/away.jpg")) == 3


async def test_evidence_is_on_the_row(bench: Bench, origin: Origin) -> None:
    """The rule, the header, the address that a URL failed for; nothing on a row that has come or failed without."""
    origin.script("/robots.txt", reply(200, b"User-agent: *\nDisallow: /private"))
    origin.script("/kept.jpg", image(encode(photo(seed=5))))
    origin.script("/noai.jpg", image(X_Robots_Tag="noai, noindex"))
    origin.script("/inside.jpg", redirect("http://10.0.0.1/x"))
    names = ["kept.jpg", "noai.jpg", "inside.jpg", "private.jpg", "gone.jpg"]
    job_id = await bench.submit([origin.url(f"/{name}") for name in names])
    await bench.drive()
    rows = (await image_search.page(bench.db, ImageFilter(job_id=job_id))).items
    assert {row.url.rsplit("/", 1)[1]: (row.reason, row.evidence) for row in rows} == {
        "kept.jpg": (None, None),
        "noai.jpg": (Reason.OPT_OUT, "x-robots-tag: noai, noindex"),
        "inside.jpg": (Reason.BLOCKED_ADDRESS, "10.0.0.1"),
        "private.jpg": (Reason.ROBOTS, f"{origin.url('/robots.txt')} line 2, user-agent *: Disallow: /private"),
        "gone.jpg": (Reason.HTTP_404, None),
    }


async def test_what_a_site_said_is_on_the_row(bench: Bench, origin: Origin) -> None:
    """Of every URL that came to it: what robots.txt allowed, and what the reply's headers asked for."""
    origin.script("/robots.txt", reply(200, b"User-agent: *\nDisallow: /private"))
    origin.script("/kept.jpg", image(encode(photo(seed=5))))
    origin.script("/noai.jpg", image(X_Robots_Tag="noai, noindex"))
    names = ["kept.jpg", "noai.jpg", "private.jpg", "gone.jpg"]
    job_id = await bench.submit([*(origin.url(f"/{name}") for name in names), "http://10.0.0.1/inside.jpg"])
    await bench.drive()
    rows = (await image_search.page(bench.db, ImageFilter(job_id=job_id))).items
    assert {row.url.rsplit("/", 1)[1]: (row.robots, row.opt_out) for row in rows} == {
        "kept.jpg": ("allowed", "none"),
        "noai.jpg": ("allowed", "refused"),
        "private.jpg": ("disallowed", "not_read"),
        "gone.jpg": ("allowed", "not_read"),
        "inside.jpg": ("not_asked", "not_read"),
    }


async def test_evidence_of_a_deferral_goes_when_the_url_is_taken_up(tmp_path: Path, origin: Origin) -> None:
    """robots.txt with a server error is why a URL waits; once there is a file, the image comes and nothing of that is left."""
    clock = LaterTime()
    origin.script("/robots.txt", reply(503), reply(404))
    url = origin.script("/a.jpg", image(encode(photo(seed=5))))
    async with open_bench(tmp_path, clock=clock) as bench:
        job_id = await bench.submit([url])
        await bench.drive()
        (row,) = (await image_search.page(bench.db, ImageFilter(job_id=job_id))).items
        why = f"the origin answered 503 for {origin.url('/robots.txt')}"
        assert (row.state, row.reason, row.evidence) == (ImageState.DEFERRED, Reason.HOST_UNAVAILABLE, why)
        await clock.pass_by(bench, 61)
        await bench.drive()
        (row,) = (await image_search.page(bench.db, ImageFilter(job_id=job_id))).items
        assert (row.state, row.evidence) == (ImageState.KEPT, None)


async def test_evidence_is_bounded_and_clean_whoever_made_it(any_database_url: str, tmp_path: Path, origin: Origin) -> None:
    """What no database takes, and what no terminal should see, never gets to a row."""
    db = Database(any_database_url)
    await schema.upgrade(db)
    await db.close()
    async with open_bench(tmp_path, url=any_database_url) as bench:
        await bench.submit([origin.url("/a.jpg")])
        delivery = await fetch_unit(bench)
        (row,) = (await image_search.page(bench.db, ImageFilter())).items
        async with claim(bench.context, delivery.unit_id) as work:
            async with OutcomeRecorder(work, [row], {}) as recorder:
                evidence = "\0\x1b[2J" + "x" * 900
                recorder.add_failed(FetchFailed(FetchRequest(row.url, row.id), Reason.ROBOTS, "E", "m", (), evidence=evidence))
            await work.release()
        (row,) = (await image_search.page(bench.db, ImageFilter())).items
    assert row.evidence is not None
    assert row.evidence.startswith(r"\x00\x1b[2Jxxx")
    assert len(row.evidence) == 300


async def test_deferral_ends(bench: Bench, origin: Origin) -> None:
    """defer_max_s after its first deferral a URL fails with the reason that held it."""
    origin.script("/never.jpg", reply(429, headers={"Retry-After": "600"}))
    job_id = await bench.submit([origin.url("/never.jpg")])
    delivery = await fetch_unit(bench)
    await bench.run(delivery)
    async with bench.db.write() as connection:
        await connection.execute(update(tables.units).values(not_before=0.0))
        await connection.execute(update(tables.images).values(not_before=0.0, deferred_at=1.0))
    bench.context.downloader._gate._store._states.clear()
    await bench.drive()
    (row,) = (await image_search.page(bench.db, ImageFilter(job_id=job_id))).items
    assert (row.state, row.reason) == (ImageState.FAILED, Reason.RATE_LIMITED)
    assert "retry.defer_max_s" in str(row.detail)


def deferral(for_s: float, silent_s: float | None, answered_s: float = 0.0, **more: Any) -> Deferred:
    """A deferral by so many seconds from now; its host is silent since, and has last answered, so long before."""
    now = time.time()
    silence = None if silent_s is None else HostSilence("http://dead.test:80", now - silent_s, now - answered_s if answered_s else 0.0)
    return Deferred(FetchRequest("http://dead.test/a"), now + for_s, Reason.HOST_UNAVAILABLE, (), silence=silence, **more)


GIVING_UP = [
    (lambda: deferral(30, 1), 0.0, None),
    (lambda: deferral(60, 97), 0.0, "dead.test never answered; gave up after 1m37s"),
    (lambda: deferral(60, 97, evidence="the origin answered 503"), 0.0, "dead.test answered nothing but errors; gave up after 1m37s"),
    (lambda: deferral(60, 97, status=503), 0.0, "dead.test answered nothing but errors; gave up after 1m37s"),
    (lambda: deferral(60, 97, retry_after_s=60), 0.0, None),  # it asks for patience
    (lambda: deferral(60, 97, answered_s=200), 0.0, None),  # it answered in this job
    (lambda: deferral(60, 97, answered_s=400), 0.0, "dead.test never answered; gave up after 1m37s"),  # in an earlier one
    (lambda: deferral(110, 5000), 0.0, "dead.test never answered; gave up after 5m00s"),  # only the time of this job counts
    (lambda: deferral(3600, None), 0.0, None),
    (lambda: deferral(3600, None), 3700.0, "deferred for 1h01m, longer than retry.defer_max_s"),
]


@pytest.mark.parametrize(("outcome", "deferred_s", "expected"), GIVING_UP)
def test_when_a_deferred_url_is_given_up(outcome: Callable[[], Deferred], deferred_s: float, expected: str | None) -> None:
    """A host that has not answered in its job gets two minutes, one that has or that asks for patience two hours. The job is 300 s old."""
    now = time.time()
    found = outcomes._why_given_up(outcome(), now - deferred_s, now - 300, RetrySettings())
    assert (found and re.sub(r"\d+ s", "N s", found)) == (expected and re.sub(r"\d+ s", "N s", expected))


@pytest.mark.parametrize("status", [503, 500])
async def test_a_host_that_answers_only_errors_holds_a_job_for_two_minutes(tmp_path: Path, origin: Origin, status: int) -> None:
    """Its robots.txt keeps it closed; the good URLs of another host are in, and the job ends with them."""
    clock = LaterTime()
    origin.script("/robots.txt", *[reply(status)] * 9)
    urls = [origin.url(f"/{number}.jpg") for number in range(3)]
    async with open_bench(tmp_path, clock=clock) as bench:
        job_id = await bench.submit(urls)
        for _ in range(3):
            await bench.drive()
            await clock.pass_by(bench, 61)
        rows = (await image_search.page(bench.db, ImageFilter(job_id=job_id))).items
        assert [(row.state, row.reason) for row in rows] == [(ImageState.FAILED, Reason.HOST_UNAVAILABLE)] * 3
        assert all("answered nothing but errors; gave up after" in str(row.detail) for row in rows)


async def test_a_reservation_that_fails_fails_all_who_wait_for_it(bench: Bench, origin: Origin) -> None:
    """Nobody waits for ever, and no request goes out unrecorded, when the database refuses a reservation."""
    for number in range(5):
        origin.script(f"/{number}.jpg", image(encode(photo(seed=number + 1))))
    await bench.submit([origin.url(f"/{number}.jpg") for number in range(5)])
    delivery = await fetch_unit(bench)

    async def refuse(*_: object) -> None:
        raise errors.StorageError("the disk of the database is full")

    real = attempts.reserve
    attempts.reserve = refuse  # type: ignore[assignment]
    try:
        with pytest.raises(errors.StorageError):
            async with asyncio.timeout(10), claim(bench.context, delivery.unit_id) as work:
                await fetch_chunk(bench.context, work, str(delivery.chunk_id))
    finally:
        attempts.reserve = real
    assert all(not origin.hits(f"/{number}.jpg") for number in range(5))


async def test_a_reservation_waits_for_a_database_that_is_away_for_a_moment(bench: Bench, origin: Origin) -> None:
    """Within the lease it costs time only: no request in hand is cut off, none goes out unrecorded, none goes out twice."""
    for number in range(5):
        origin.script(f"/{number}.jpg", image(encode(photo(seed=number + 1))))
    await bench.submit([origin.url(f"/{number}.jpg") for number in range(5)])
    delivery = await fetch_unit(bench)
    real, refused = attempts.reserve, 0

    async def refuse_once(*arguments: Any) -> None:
        nonlocal refused
        refused += 1
        if refused == 1:
            raise errors.DatabaseConnectionError("away")
        await real(*arguments)

    attempts.reserve = refuse_once
    try:
        async with claim(bench.context, delivery.unit_id) as work:
            counts = await fetch_chunk(bench.context, work, str(delivery.chunk_id))
    finally:
        attempts.reserve = real
    assert counts["ok"] == 5
    assert [len(origin.hits(f"/{number}.jpg")) for number in range(5)] == [1] * 5


async def test_what_a_death_has_lost_is_not_reserved_ahead(bench: Bench) -> None:
    """However often a chunk's workers die, a URL that was never asked loses the one attempt that is forgiven, and no other."""
    await bench.submit([f"http://127.0.0.1:9/{number}.jpg" for number in range(10)])
    delivery = await fetch_unit(bench)
    found = (await image_search.page(bench.db, ImageFilter())).items
    for reserved in (10, 1, 1):
        unit = await units.claim(bench.db, delivery.unit_id, owner="wrk_dead", lease_s=30)
        assert unit is not None
        async with bench.db.read() as connection:
            waiting = await images.chunk_images(connection, str(delivery.chunk_id), [ImageState.PENDING])
        async with bench.db.write() as connection:
            made = await attempts.used(connection, unit, [image.id for image in waiting])
        recorder = OutcomeRecorder(ClaimedUnit(bench.context, unit), waiting, made)
        await recorder.reserve(recorder.requests()[0], made.get(found[0].id, attempts.Used()).counted + 1)
        rows = [row for row in await attempt_rows(bench) if row[1] == "reserved"]
        assert len(rows) == reserved
        await expire(bench.db, delivery.unit_id)


async def test_what_was_in_hand_at_a_death_is_requested_last(bench: Bench, origin: Origin) -> None:
    """A process that is killed again and again does not use up the attempts of the same few URLs."""
    for number in range(4):
        origin.script(f"/{number}.jpg", reply(404))
    await bench.submit([origin.url(f"/{number}.jpg") for number in range(4)])
    delivery = await fetch_unit(bench)
    unit = await units.claim(bench.db, delivery.unit_id, owner="wrk_dead", lease_s=30)
    assert unit is not None
    first, second, *_ = (await image_search.page(bench.db, ImageFilter())).items
    async with bench.db.write() as connection:
        await attempts.reserve(connection, unit, [(first.id, 1), (first.id, 2), (second.id, 1)])
    await expire(bench.db, delivery.unit_id)
    await bench.run(delivery)
    requested = [hit.target for hit in origin.log if hit.target.endswith(".jpg")]
    assert (sorted(requested[:2]), sorted(requested[2:])) == (["/2.jpg", "/3.jpg"], ["/0.jpg", "/1.jpg"])


@pytest.mark.parametrize(
    ("lost", "done", "detail"),
    [
        (4, 0, "4 of its 4 requests were cut off by the end of their process, before an outcome was kept"),
        (0, 3, "its requests were answered, but this machine stopped or failed each time before their outcome was kept"),
    ],
)
async def test_a_url_whose_attempts_were_used_up_by_deaths_says_so(bench: Bench, origin: Origin, lost: int, done: int, detail: str) -> None:
    """It is not requested again, and no host or budget is blamed; `pictrawl retry` takes it up by default."""
    await bench.submit([origin.url("/a.jpg")])
    delivery = await fetch_unit(bench)
    (row,) = (await image_search.page(bench.db, ImageFilter())).items
    unit = await units.claim(bench.db, delivery.unit_id, owner="wrk_dead", lease_s=30)
    assert unit is not None
    received = [(row.id, number, Attempt(number, 1.0, 0.1, status=200)) for number in range(1, done + 1)]
    async with bench.db.write() as connection:
        await attempts.reserve(connection, unit, [(row.id, number) for number in range(1, lost + done + 1)])
        await attempts.record(connection, unit, received)
    await expire(bench.db, delivery.unit_id)
    await bench.run(delivery)
    (row,) = (await image_search.page(bench.db, ImageFilter())).items
    assert (row.state, row.reason, row.detail) == (ImageState.FAILED, Reason.INTERRUPTED, detail)
    assert origin.log == []
    assert Reason.INTERRUPTED in RETRYABLE


async def test_a_window_is_reserved_in_one_statement(tmp_path: Path, origin: Origin) -> None:
    """A hundred URLs cost a handful of transactions, not hundreds."""
    for number in range(100):
        origin.script(f"/{number}.jpg", reply(404))
    async with open_bench(tmp_path, {"jobs.chunk_size": 100, "fetch.per_host": 64}) as bench:
        await bench.submit([origin.url(f"/{number}.jpg") for number in range(100)])
        delivery = await fetch_unit(bench)
        count = 0
        original = attempts.reserve

        async def counted(*args: object) -> None:
            nonlocal count
            count += 1
            await original(*args)  # type: ignore[arg-type]

        attempts.reserve = counted  # type: ignore[assignment]
        try:
            await bench.run(delivery)
        finally:
            attempts.reserve = original
        async with bench.db.read() as connection:
            total = (await connection.execute(select(func.count()).select_from(tables.attempts))).scalar_one()
    assert total == 100
    assert count <= 10


async def test_a_stopped_chunk_takes_unused_reservations_back(tmp_path: Path, origin: Origin) -> None:
    """A drain ends the requests in hand; what was reserved and not sent costs nothing, and the unit is pending again."""
    begun = asyncio.Event()

    async def slow(exchange: object) -> None:
        begun.set()
        await asyncio.sleep(0.05)
        await reply(404)(exchange)  # type: ignore[arg-type]

    for number in range(30):
        origin.script(f"/{number}.jpg", slow)
    async with open_bench(tmp_path, {"jobs.chunk_size": 100, "fetch.concurrency": 2}) as bench:
        job_id = await bench.submit([origin.url(f"/{number}.jpg") for number in range(30)])
        delivery = await fetch_unit(bench)
        run = asyncio.create_task(bench.run(delivery))
        await begun.wait()
        bench.stop_what_runs()
        await run
        rows = await attempt_rows(bench)
        hits = sum(len(origin.hits(f"/{number}.jpg")) for number in range(30))
        assert 0 < hits < 30
        assert rows == [(1, "done")] * hits
        await bench.drive()
        assert (await bench.funnel(job_id)).reasons == {"http_404": 30}
        assert all(len(origin.hits(f"/{number}.jpg")) == 1 for number in range(30))


async def test_settling_twice_is_refused(bench: Bench, origin: Origin) -> None:
    """A second end of the same unit finds the fence closed."""
    origin.script("/gone.jpg", hang_up())
    await bench.submit([origin.url("/gone.jpg")])
    delivery = await fetch_unit(bench)
    async with claim(bench.context, delivery.unit_id) as work:
        await fetch_chunk(bench.context, work, str(delivery.chunk_id))
        await settle_chunk(work, str(delivery.chunk_id))
        with pytest.raises(units.LeaseLost):
            await settle_chunk(work, str(delivery.chunk_id))


ONCE = (Attempt(1, 0.0, 0.1, status=200),)
TWICE = (
    Attempt(1, 0.0, 0.1, status=503, error="ServiceUnavailableError", reason=Reason.SERVICE_UNAVAILABLE),
    Attempt(2, 0.0, 0.1, status=200),
)


def fetched_by(attempts: tuple[Attempt, ...], *, made: int = 0) -> Fetched:
    """An image of four bytes."""
    return Fetched(FetchRequest("http://a/", attempts_made=made), b"1234", "00", "image/jpeg", 200, "http://a/", attempts)


def failed_by(attempts: tuple[Attempt, ...], error: str, reason: Reason) -> FetchFailed:
    """No image."""
    return FetchFailed(FetchRequest("http://a/"), reason, error, "words", attempts)


def test_a_request_is_counted_with_its_waits() -> None:
    """By number and outcome, by status, and by what was waited for before and after."""
    grown = Growth()
    count_attempt(Attempt(2, 0.0, 0.3, 429, "RateLimitError", Reason.RATE_LIMITED, wait_s=7.0, wait_cause="retry_after", queued_s=1.5))
    count_attempt(Attempt(9, 0.0, 0.1, status=200))
    assert grown.of("pictrawl_download_attempts_total") == {("2", "rate_limited"): 1, ("4+", "ok"): 1}
    assert grown.of("pictrawl_download_responses_total") == {("4xx",): 1, ("2xx",): 1}
    assert grown.of("pictrawl_download_wait_seconds_total") == {("retry_after",): 7.0, ("host_gate",): 1.5}
    assert grown.of("pictrawl_download_waits_total") == {("retry_after",): 1, ("host_gate",): 1}
    assert grown.of("pictrawl_download_attempt_duration_seconds_count") == {("failed",): 1, ("ok",): 1}


def test_a_request_without_an_answer_is_counted() -> None:
    """It has no status; an error without a reason would be `other`."""
    grown = Growth()
    count_attempt(Attempt(1, 0.0, 0.3, error="NetworkError"))
    assert grown.of("pictrawl_download_attempts_total") == {("1", "other"): 1}
    assert grown.of("pictrawl_download_responses_total") == {("none",): 1}


EXHAUSTED = failed_by(TWICE, "ServiceUnavailableError", Reason.SERVICE_UNAVAILABLE)
REFUSED = failed_by(TWICE, "NotFoundError", Reason.HTTP_404)
DEFERRED = Deferred(FetchRequest("http://a/", attempts_made=1), 99.0, Reason.RATE_LIMITED, ONCE)


@pytest.mark.parametrize(
    ("outcome", "is_final", "download", "retries"),
    [
        (fetched_by(ONCE), True, ("ok", "none"), None),
        (fetched_by(TWICE), True, ("ok", "none"), "recovered"),
        (fetched_by(ONCE, made=1), True, ("ok", "none"), "recovered"),
        (NotModified(FetchRequest("http://a/"), 304, "http://a/", ONCE), True, ("not_modified", "none"), None),
        (NotModified(FetchRequest("http://a/"), 304, "http://a/", TWICE), True, ("not_modified", "none"), "recovered"),
        (failed_by(ONCE, "NotFoundError", Reason.HTTP_404), True, ("failed", "http_404"), None),
        (failed_by((), "InvalidURLError", Reason.INVALID_URL), True, ("failed", "invalid_url"), None),
        (EXHAUSTED, True, ("failed", "service_unavailable"), "exhausted"),
        (REFUSED, True, ("failed", "http_404"), "refused"),
        (DEFERRED, False, ("deferred", "rate_limited"), None),
        (DEFERRED, True, ("failed", "rate_limited"), "exhausted"),
    ],
)
def test_a_url_is_counted_by_how_it_ended(outcome: Outcome, is_final: bool, download: tuple[str, str], retries: str | None) -> None:
    """With its reason, its bytes, and what retries came to where there were any."""
    grown = Growth()
    end = result_of(outcome, is_final=is_final)
    assert grown.of("pictrawl_downloads_total") == {}, "it is counted when it is on its row, and not before"
    end.count()
    assert grown.of("pictrawl_downloads_total") == {download: 1}
    assert grown.of("pictrawl_download_bytes_total") == ({(): 4} if isinstance(outcome, Fetched) else {})
    assert grown.of("pictrawl_download_retried_urls_total") == ({(retries,): 1} if retries else {})


def test_every_passing_error_is_known_by_name() -> None:
    """Those that the downloader retries."""
    for error in errors.TRANSIENT:
        end = result_of(failed_by(TWICE, error.__name__, Reason.TIMEOUT))
        assert end.retries == "exhausted"
