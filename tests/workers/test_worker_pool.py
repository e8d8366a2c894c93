"""The worker itself: on a real Redis and PostgreSQL, through their restarts, and down again in order."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.db import Database, events, fleet, image_search, images, jobs, schema, units
from app.db.funnel import Funnel
from app.images.pool.pool import DecoderPool
from app.job_states import DesiredState, JobState
from app.jobs.settle import resolve_spec, store_urls
from app.jobs.submit import submit_build
from app.observability.registry import exposition
from app.queue import embedded_queue, redis_queue
from app.resources import Resources, WorkerResources
from app.spec import JobRequest
from app.storage import open_store
from downloader import FetchLimits, HostSnapshot
from downloader.client import Downloader
from tests.figures import parsed
from tests.images.samples import encode, photo
from tests.origin import Exchange, Origin, image, reply, stall
from tests.services import RedisServer
from tests.workers.bench import bench_settings, open_bench
from tests.workers.proof import eventually
from workers import worker_pool
from workers.worker_pool import (
    MAX_CRASHES,
    MOST_HOSTS,
    WorkerPool,
    busiest,
    kinds_of,
    read_gauges,
    run_workers,
    serve_until_signalled,
    supervise,
)

FAST = {"jobs.sweep_interval_s": 1.0, "fetch.per_host": 16, "validate.children": 1, "jobs.drain_s": 5.0}


@pytest.fixture
async def embedded(tmp_path: Path) -> AsyncIterator[Resources]:
    """Resources with the embedded queue and SQLite."""
    settings = bench_settings(tmp_path / "workspace", FAST)
    db, store, queue = Database(settings.database_url), open_store(settings.storage_url), embedded_queue()
    await schema.upgrade(db)
    yield Resources(settings, db, store, queue)
    await queue.close()
    await store.close()
    await db.close()


async def submit(resources: Resources, urls: list[str], **request: object) -> str:
    """Submit a list, return the job's id."""
    url_list = await store_urls(resources, urls)
    spec = resolve_spec(resources, JobRequest(urls=urls, **request), url_list=url_list)  # type: ignore[arg-type]
    return (await submit_build(resources, spec, name="test")).job_id


async def ended(resources: Resources, job_id: str, timeout_s: float = 180.0) -> jobs.Job:
    """Wait for a job's end."""

    async def final() -> jobs.Job | None:
        job = await jobs.get(resources.db, job_id)
        return job if job.is_final else None

    return await eventually(final, timeout_s)  # type: ignore[no-any-return]


def photos(origin: Origin, count: int) -> list[str]:
    """Photographs on the origin."""
    for number in range(count):
        origin.script(f"/{number}.jpg", image(encode(photo(160, 120, seed=number + 1))))
    return [origin.url(f"/{number}.jpg") for number in range(count)]


async def test_the_embedded_worker_makes_a_dataset(embedded: Resources) -> None:
    """arq on an in-process Redis, decoders in child processes, one event loop; every event of the job can be read back."""
    async with Origin() as origin:
        urls = photos(origin, 30)
        async with run_workers(embedded) as pool:
            assert pool.kinds == ("builder", "validator")
            job_id = await submit(embedded, urls, export_format="imagefolder", label="thing")
            job = await ended(embedded, job_id)
    assert (job.state, job.error) == (JobState.SUCCEEDED, None)
    assert Funnel(await images.counts(embedded.db, dataset_id=job.dataset_id)).kept == 30
    assert await fleet.workers(embedded.db) == []
    names = [event.event for event in await events.after(embedded.db, job_id)]
    assert names[0] in ("job.accepted", "job.planning")
    assert names[-1] == "job.ended"
    assert {"chunk.fetched", "chunk.validated", "dataset.compared", "export.written", "export.verified"} <= set(names)
    data = next(event.data for event in await events.after(embedded.db, job_id) if event.event == "chunk.fetched")
    assert {"job", "run", "worker", "unit_id", "chunk_id"} <= set(data)


async def test_pause_holds_and_resume_goes_on(embedded: Resources) -> None:
    """A paused job's units are given back and none is sent; nothing is requested twice when it goes on."""
    from app.jobs.submit import set_desired_state

    async with Origin() as origin:
        gate = asyncio.Event()

        async def slow(exchange: object) -> None:
            await asyncio.wait_for(gate.wait(), 180)
            await image(encode(photo(seed=1)))(exchange)  # type: ignore[arg-type]

        urls = photos(origin, 20)
        origin.script("/slow.jpg", slow)
        async with run_workers(embedded):
            job_id = await submit(embedded, [origin.url("/slow.jpg"), *urls])
            await eventually(lambda: origin.hits("/slow.jpg"))
            await set_desired_state(embedded, job_id, DesiredState.PAUSED)
            gate.set()
            await eventually(lambda: _idle(embedded, job_id))
            assert (await jobs.get(embedded.db, job_id)).state is JobState.PAUSED
            await set_desired_state(embedded, job_id, DesiredState.RUNNING)
            job = await ended(embedded, job_id)
        assert job.state is JobState.SUCCEEDED
        assert all(len(origin.hits(f"/{number}.jpg")) == 1 for number in range(20))


async def _idle(resources: Resources, job_id: str) -> bool:
    counted = await units.counts(resources.db, job_id)
    return not any(state in ("running", "queued") for _, state in counted)


async def test_a_job_that_shall_finish_ends_its_requests_and_waits_for_no_host(embedded: Resources) -> None:
    """While it runs: requests in hand are finished, a URL that was put off for an hour is not waited for, no further one is requested."""
    from app.jobs.submit import set_desired_state

    async with Origin() as origin:
        urls = photos(origin, 30)
        origin.script("/later.jpg", reply(429, headers={"Retry-After": "3000"}))
        async with run_workers(embedded):
            job_id = await submit(embedded, [origin.url("/later.jpg"), *urls])
            await eventually(lambda: origin.hits("/later.jpg"))
            await set_desired_state(embedded, job_id, DesiredState.FINISHED)
            job = await ended(embedded, job_id)
    counted = Funnel(await images.counts(embedded.db, dataset_id=job.dataset_id))
    assert counted.reasons["cancelled"] >= 1
    assert counted.kept + counted.reasons["cancelled"] == 31
    assert counted.open == 0
    assert job.state in (JobState.PARTIAL, JobState.FAILED)
    assert len(origin.hits("/later.jpg")) == 1


async def test_a_cancelled_job_ends_soon_and_closes_its_images(embedded: Resources) -> None:
    """Cancel ends the requests in hand; what is open is failed as cancelled, and no write comes after."""
    from app.jobs.submit import set_desired_state

    async with Origin() as origin:

        async def never(exchange: object) -> None:
            await exchange.rest(600)  # type: ignore[attr-defined]

        for number in range(20):
            origin.script(f"/{number}.jpg", never)
        async with run_workers(embedded):
            job_id = await submit(embedded, [origin.url(f"/{number}.jpg") for number in range(20)])
            await eventually(lambda: origin.hits("/0.jpg"))
            await set_desired_state(embedded, job_id, DesiredState.CANCELLED)
            job = await ended(embedded, job_id)
    assert job.state is JobState.CANCELLED
    counted = Funnel(await images.counts(embedded.db, dataset_id=job.dataset_id))
    assert counted.reasons == {"cancelled": 20}


async def test_a_worker_outlives_its_redis(tmp_path: Path, postgres_url: str) -> None:
    """Redis is killed in mid-job, without persistence: the worker polls on, the sweeper sends again, nothing is doubled."""
    settings = bench_settings(tmp_path / "workspace", FAST)
    db, store = Database(postgres_url), open_store(settings.storage_url)
    await schema.upgrade(db)
    with RedisServer() as server:
        queue = await redis_queue(server.url)
        resources = Resources(settings, db, store, queue)
        async with Origin() as origin:
            held = asyncio.Event()

            async def slow(exchange: object) -> None:
                await asyncio.wait_for(held.wait(), 180)
                await image(encode(photo(seed=777)))(exchange)  # type: ignore[arg-type]

            urls = photos(origin, 40)
            origin.script("/slow.jpg", slow)
            async with run_workers(resources):
                job_id = await submit(resources, [*urls, origin.url("/slow.jpg")])
                await eventually(lambda: origin.hits("/slow.jpg"))
                server.kill()
                held.set()
                await asyncio.sleep(0.5)
                server.restart()
                job = await ended(resources, job_id)
            assert job.state is JobState.SUCCEEDED
            assert Funnel(await images.counts(db, dataset_id=job.dataset_id)).kept == 41
            assert all(len(origin.hits(f"/{number}.jpg")) == 1 for number in range(40))
        await queue.close()
    await store.close()
    await db.close()


def worker_process(kind: str, environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """``python -m workers KIND`` as a process manager would run it."""
    root = Path(__file__).parents[2]
    with log.open("ab") as stream:
        return subprocess.Popen(
            [sys.executable, "-m", "workers", kind],
            cwd=root,
            env={**{key: value for key, value in os.environ.items() if not key.startswith("PICTRAWL_")}, **environment},
            stdout=stream,
            stderr=stream,
        )


async def test_a_fleet_of_processes_survives_a_killed_worker(tmp_path: Path, redis_url: str, postgres_url: str) -> None:
    """Of two worker processes one is killed with -9 in mid-job: every image is there once, and none is asked for again."""
    environment = {
        "PICTRAWL_QUEUE__BACKEND": "redis",
        "PICTRAWL_QUEUE__URL": redis_url,
        "PICTRAWL_DB__URL": postgres_url,
        "PICTRAWL_STORAGE__URL": (tmp_path / "store").as_uri(),
        "PICTRAWL_FETCH__ALLOW_NETWORKS": '["127.0.0.0/8"]',
        "PICTRAWL_FETCH__PORTS": "[]",
        "PICTRAWL_FETCH__PER_HOST": "8",
        "PICTRAWL_JOBS__LEASE_S": "12",  # a busy machine renews late; with less, a live worker loses its units
        "PICTRAWL_JOBS__SWEEP_INTERVAL_S": "1",
        "PICTRAWL_JOBS__CHUNK_SIZE": "10",
        "PICTRAWL_VALIDATE__CHILDREN": "1",
        "PICTRAWL_LOG__FORMAT": "json",
    }
    settings = bench_settings(tmp_path / "workspace", FAST | {"storage.url": (tmp_path / "store").as_uri()})
    db, store = Database(postgres_url), open_store(settings.storage_url)
    await schema.upgrade(db)
    queue = await redis_queue(redis_url)
    resources = Resources(settings, db, store, queue)
    processes = [worker_process("all", environment, tmp_path / "worker.log") for _ in range(2)]
    try:
        async with Origin() as origin:

            def slowly(body: bytes) -> object:
                async def step(exchange: object) -> None:
                    await asyncio.sleep(0.05)
                    await image(body)(exchange)  # type: ignore[arg-type]

                return step

            for number in range(200):
                origin.script(f"/{number}.jpg", slowly(encode(photo(96, 96, seed=number + 1))))  # type: ignore[arg-type]
            origin.script("/404.jpg", reply(404))
            await eventually(lambda: _count_workers(db))
            job_id = await submit(resources, [origin.url(f"/{number}.jpg") for number in range(200)] + [origin.url("/404.jpg")])
            await eventually(lambda: len(origin.hits("/150.jpg")) or sum(len(origin.hits(f"/{n}.jpg")) for n in range(200)) > 40)
            known = await eventually(lambda: _urls_with_bytes(db, job_id))
            processes[0].kill()
            processes[0].wait()
            job = await ended(resources, job_id)
            assert (job.state, job.error) == (JobState.SUCCEEDED, None)
            counted = Funnel(await images.counts(db, dataset_id=job.dataset_id))
            assert (counted.candidates, counted.fetched, counted.reasons.get("http_404")) == (201, 200, 1)
            hits = {origin.url(f"/{number}.jpg"): len(origin.hits(f"/{number}.jpg")) for number in range(200)}
            assert min(hits.values()) == 1
            assert max(hits.values()) <= 2
            assert {url for url in known if hits[url] > 1} == set()
        processes[1].send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(processes[1].wait, 30) == 0
    finally:
        for process in processes:
            process.kill()
            process.wait()
        await queue.close()
        await store.close()
        await db.close()


async def _count_workers(db: Database) -> bool:
    return len(await fleet.workers(db, fresh_s=30)) == 4


async def _urls_with_bytes(db: Database, job_id: str) -> set[str]:
    """URLs whose outcome is durable: never to be asked for again, whatever dies."""
    page = await image_search.page(db, image_search.ImageFilter(job_id=job_id), limit=500)
    return {image.url for image in page.items if image.sha256}


def test_kinds_of_workers() -> None:
    """``all`` is both."""
    assert kinds_of("all") == ("builder", "validator")
    assert kinds_of("builder") == ("builder",)


async def test_slots_requests_and_decoders_are_read(tmp_path: Path) -> None:
    """Of the kinds that the pool has; what has not begun stands at 0."""
    async with open_bench(tmp_path, {"jobs.builder_slots": 5}) as bench, Downloader() as downloader, DecoderPool(3) as decoders:
        async with run_workers(bench.resources, ("builder",), worker_resources=WorkerResources(downloader, decoders)):
            samples = parsed(exposition().decode())
        after = parsed(exposition().decode())
    assert samples["pictrawl_worker_slots", ("builder",)] == 5
    assert samples["pictrawl_worker_running", ("builder",)] == 0
    assert samples["pictrawl_decoders", ()] == 3
    assert samples["pictrawl_decoders_alive", ()] == samples["pictrawl_decoder_crashes_total", ()] == 0
    assert samples["pictrawl_downloads_in_flight", ()] == samples["pictrawl_hosts_away", ()] == 0
    assert ("pictrawl_worker_slots", ("validator",)) not in samples
    assert ("pictrawl_worker_slots", ("builder",)) not in after, "a pool that has ended tells nothing"


async def test_a_pool_that_is_closed_can_be_read(tmp_path: Path) -> None:
    """A scrape may come while a worker drains."""
    async with open_bench(tmp_path) as bench, Downloader() as downloader:
        decoders = DecoderPool(2)
        pool = WorkerPool(bench.resources, WorkerResources(downloader, decoders), ("validator",))
        await decoders.close()
        readings = {family.name: value for family, _, value in read_gauges(pool)}
    assert readings["pictrawl_decoders"] == 2
    assert readings["pictrawl_decoders_alive"] == 0


async def test_requests_on_the_wire_are_read_in_the_middle_of_them(tmp_path: Path, origin: Origin) -> None:
    """One is answered slowly; the other waits, since its host takes one at a time. The heartbeat tells of it."""
    origin.script("/a.jpg", stall())
    limits = FetchLimits(per_host=1, allow_networks=("127.0.0.0/8",), ports=(), robots=False)
    async with open_bench(tmp_path) as bench, Downloader(limits) as downloader, DecoderPool(1) as decoders:
        async with run_workers(bench.resources, ("builder",), worker_resources=WorkerResources(downloader, decoders)) as pool:
            urls = (origin.url("/a.jpg"), origin.url("/b.jpg"))
            fetches = [asyncio.create_task(downloader.fetch(url)) for url in urls]
            await eventually(lambda: _stand_at(1, 1))
            await pool._write_heartbeat()
            (worker,) = await fleet.workers(bench.resources.db)
            (host,) = worker.hosts or ()
            assert (host["host"], host["in_flight"], host["waiting"]) == (origin.url("").rstrip("/"), 1, 1)
            for fetch in fetches:
                fetch.cancel()
            await asyncio.gather(*fetches, return_exceptions=True)
            assert _stand_at(0, 0)


def _stand_at(in_flight: int, waiting: int) -> bool:
    samples = parsed(exposition().decode())
    return (samples["pictrawl_downloads_in_flight", ()], samples["pictrawl_downloads_waiting", ()]) == (in_flight, waiting)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause before a loop is begun again."""
    monkeypatch.setattr(worker_pool, "RESTART_S", 0.0)


async def opened(folder: Path, **flags: Any) -> Resources:
    """Resources with the embedded queue and SQLite."""
    settings = bench_settings(folder / "workspace", FAST | flags)
    db = Database(settings.database_url)
    await schema.upgrade(db)
    return Resources(settings, db, open_store(settings.storage_url), embedded_queue())


async def closed(resources: Resources) -> None:
    await resources.queue.close()
    await resources.store.close()
    await resources.db.close()


@pytest.fixture
async def resources(tmp_path: Path) -> AsyncIterator[Resources]:
    """With a drain that would take long."""
    made = await opened(tmp_path, **{"jobs.drain_s": 600.0})
    yield made
    await closed(made)


async def test_a_loop_that_dies_now_and_then_goes_on(at_once: None, lines: list[dict[str, Any]]) -> None:
    """Each death is logged; a task that ends in order is not a death."""
    turns = 0

    async def loop() -> None:
        nonlocal turns
        turns += 1
        if turns < 3:
            raise KeyError("a bug")

    await supervise("poll-builder", loop)
    assert turns == 3
    told = [(line["loop"], line["error_type"]) for line in lines if line["event"] == "worker.loop_died"]
    assert told == [("poll-builder", "KeyError")] * 2


async def test_a_loop_that_always_dies_is_given_up(at_once: None) -> None:
    """What it died of is raised, so that a clean process can try."""
    deaths = 0

    async def loop() -> None:
        nonlocal deaths
        deaths += 1
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        await supervise("leases", loop)
    assert deaths == MAX_CRASHES


async def test_a_process_whose_loop_is_given_up_ends_with_1(
    at_once: None, resources: Resources, monkeypatch: pytest.MonkeyPatch, lines: list[dict[str, Any]]
) -> None:
    """Whoever started it sees the exit code, and begins with a clean process."""

    async def broken(_: WorkerPool) -> None:
        raise RuntimeError("a bug in the heartbeat")

    monkeypatch.setattr(WorkerPool, "_run_heartbeat", broken)
    async with asyncio.timeout(180):
        assert await serve_until_signalled(resources, ("builder",)) == 1
    assert [line["loops"] for line in lines if line["event"] == "worker.gave_up"] == [["heartbeat"]]
    assert await fleet.workers(resources.db) == []


@pytest.mark.parametrize("flag", ["jobs.recycle_after", "jobs.recycle_rss_bytes"])
async def test_a_worn_out_process_drains_and_ends_with_0(tmp_path: Path, flag: str, lines: list[dict[str, Any]]) -> None:
    """After so many units, or with so much memory, it makes room for a new one."""
    resources = await opened(tmp_path, **{flag: 1, "jobs.lease_s": 0.6})
    await submit(resources, ["http://127.0.0.1:9/a.jpg"])
    async with asyncio.timeout(180):
        assert await serve_until_signalled(resources, ("builder", "validator")) == 0
    (line,) = [line for line in lines if line["event"] == "worker.recycled"]
    assert line["rss_bytes"] > 10_000_000
    await closed(resources)


async def test_a_second_signal_ends_the_drain(resources: Resources) -> None:
    """The first lets the request in hand go on for as long as the drain may take, the second gives its unit back at once."""
    async with Origin() as origin:
        asked = asyncio.Event()

        async def never(exchange: Exchange) -> None:
            asked.set()
            await exchange.rest(600)

        origin.script("/slow.jpg", never)
        await submit(resources, [origin.url("/slow.jpg")])
        serving = asyncio.create_task(serve_until_signalled(resources, ("builder",)))
        await asyncio.wait_for(asked.wait(), 180)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.3)
        assert not serving.done()
        os.kill(os.getpid(), signal.SIGTERM)
        assert await asyncio.wait_for(serving, 180) == 0


async def test_a_unit_that_is_just_being_picked_drains_too(resources: Resources) -> None:
    """Workers that stop at any moment of a job's first seconds interrupt nothing that could have ended in order."""
    async with Origin() as origin:
        gate = asyncio.Event()

        async def gated(exchange: Exchange) -> None:
            await asyncio.wait_for(gate.wait(), 180)
            await image(encode(photo(seed=5)))(exchange)

        urls = photos(origin, 20)
        origin.script("/gated.jpg", gated)
        gate.set()
        job_id = await submit(resources, [origin.url("/gated.jpg"), *urls])
        for pause_s in (0.0, 0.02, 0.05, 0.1, 0.2):
            async with run_workers(resources):
                await asyncio.sleep(pause_s)
        async with run_workers(resources):
            job = await ended(resources, job_id)
        assert job.state.value == "succeeded"
        assert {len(origin.hits(f"/{number}.jpg")) for number in range(20)} == {1}


def test_a_heartbeat_tells_of_the_busiest_hosts() -> None:
    """Most in flight, then most waiting, then closed longest; a bounded number."""
    figures = {"a": (0, 0, 9.0, 1), "b": (0, 4, 0.0, 0), "c": (2, 0, 0.0, 0), "d": (0, 0, 5.0, 0)}
    hosts = [HostSnapshot(host, *of_host) for host, of_host in figures.items()]
    assert [host.host for host in busiest(hosts)] == ["c", "b", "a", "d"]
    assert len(busiest([HostSnapshot(str(at), 1, 0, 0.0, 0) for at in range(MOST_HOSTS + 1)])) == MOST_HOSTS
