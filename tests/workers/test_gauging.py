"""What a crew stands at when it is scraped."""

import asyncio
from pathlib import Path

from app.images.pool.pool import DecoderPool
from app.observability import exposition
from app.resources import Workshop
from downloader import FetchLimits
from downloader.client import Downloader
from tests.figures import parsed
from tests.origin import Origin, stall
from tests.workers.bench import open_bench
from tests.workers.proof import eventually
from workers.gauging import read
from workers.worker_pool import Crew, run_workers


async def test_slots_requests_and_decoders_are_read(tmp_path: Path) -> None:
    """Of the kinds that the crew has; what has not begun stands at 0."""
    async with open_bench(tmp_path, {"jobs.builder_slots": 5}) as bench, Downloader() as downloader, DecoderPool(3) as decoders:
        async with run_workers(bench.resources, ("builder",), workshop=Workshop(downloader, decoders)):
            samples = parsed(exposition().decode())
        after = parsed(exposition().decode())
    assert samples["pictrawl_worker_slots", ("builder",)] == 5
    assert samples["pictrawl_worker_running", ("builder",)] == 0
    assert samples["pictrawl_decoders", ()] == 3
    assert samples["pictrawl_decoders_alive", ()] == samples["pictrawl_decoder_crashes_total", ()] == 0
    assert samples["pictrawl_downloads_in_flight", ()] == samples["pictrawl_hosts_away", ()] == 0
    assert ("pictrawl_worker_slots", ("validator",)) not in samples
    assert ("pictrawl_worker_slots", ("builder",)) not in after, "a crew that has ended tells nothing"


async def test_a_pool_that_is_closed_can_be_read(tmp_path: Path) -> None:
    """A scrape may come while a worker drains."""
    async with open_bench(tmp_path) as bench, Downloader() as downloader:
        decoders = DecoderPool(2)
        crew = Crew(bench.resources, Workshop(downloader, decoders), ("validator",))
        await decoders.close()
        readings = {family.name: value for family, _, value in read(crew)}
    assert readings["pictrawl_decoders"] == 2
    assert readings["pictrawl_decoders_alive"] == 0


async def test_requests_on_the_wire_are_read_in_the_middle_of_them(tmp_path: Path, origin: Origin) -> None:
    """One is answered slowly; the other waits, since its host takes one at a time."""
    origin.script("/a.jpg", stall())
    limits = FetchLimits(per_host=1, allow_networks=("127.0.0.0/8",), ports=(), robots=False)
    async with open_bench(tmp_path) as bench, Downloader(limits) as downloader, DecoderPool(1) as decoders:
        async with run_workers(bench.resources, ("builder",), workshop=Workshop(downloader, decoders)):
            urls = (origin.url("/a.jpg"), origin.url("/b.jpg"))
            fetches = [asyncio.create_task(downloader.fetch(url)) for url in urls]
            await eventually(lambda: _stand_at(1, 1))
            for fetch in fetches:
                fetch.cancel()
            await asyncio.gather(*fetches, return_exceptions=True)
            assert _stand_at(0, 0)


def _stand_at(in_flight: int, waiting: int) -> bool:
    samples = parsed(exposition().decode())
    return (samples["pictrawl_downloads_in_flight", ()], samples["pictrawl_downloads_waiting", ()]) == (in_flight, waiting)
