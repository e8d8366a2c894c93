"""Bytes that are stored are used again: without a request, or after a 304; not where they, the list or the rules have changed."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from app.db import schema, tables
from app.db.earlier_fetches import EarlierFetch, reuse_figures
from app.db.images import STORED, as_image
from app.domain import ImageState, Reason, StoredImage
from app.job_states import JobState
from app.jobs.cleaning import clean
from app.jobs.settle import resolve_spec, store_urls
from app.jobs.submit import Caller, submit_build
from app.settings import FetchSettings
from app.spec import JobRequest, ListedImage
from app.storage import paths
from downloader.url_guard import URLGuard
from tests.figures import Growth
from tests.images.samples import encode, photo
from tests.origin import Origin, image, redirect, reply
from tests.workers.bench import Bench, open_bench
from workers.stages.reuse import choose

DATE = "Wed, 21 Oct 2026 07:28:00 GMT"


def pictures(count: int, first: int = 0) -> list[bytes]:
    """Different pictures."""
    return [encode(photo(seed=first + number)) for number in range(count)]


def serve(origin: Origin, bodies: Sequence[bytes], **headers: str) -> list[str]:
    """Serve pictures for ever; return their URLs."""
    return [origin.script(f"/{number}.jpg", image(body, **headers)) for number, body in enumerate(bodies)]


async def built(bench: Bench, urls: Sequence[Any], *, user_id: str = "local", **request: Any) -> str:
    """Build a dataset of a list to its end; return the job's id."""
    url_list = await store_urls(bench.resources, list(urls))
    spec = resolve_spec(bench.resources, JobRequest(urls=list(urls), **request), url_list=url_list)
    made = await submit_build(bench.resources, spec, name="again", caller=Caller(user_id))
    await bench.drive()
    return made.job_id


async def rows_of(bench: Bench, job_id: str) -> list[StoredImage]:
    async with bench.db.read() as connection:
        found = await connection.execute(select(*STORED).where(tables.images.c.job_id == job_id).order_by(tables.images.c.id))
        return [as_image(row) for row in found.all()]


async def figures(bench: Bench, job_id: str) -> tuple[int, int]:
    """How many images of its dataset were reused, and how many confirmed."""
    return await reuse_figures(bench.db, (await bench.job(job_id)).dataset_id)


def requested(origin: Origin) -> list[str]:
    """What was requested since the last call."""
    targets, origin.log[:] = [hit.target for hit in origin.log], []
    return targets


async def test_the_same_list_again_makes_no_request_and_the_same_dataset(bench: Bench, origin: Origin) -> None:
    """Not even robots.txt or tdmrep.json is asked. Each row says whose request brought its bytes and when; figures count them."""
    urls = serve(origin, pictures(12), ETag='"a"')
    first = await built(bench, urls)
    assert len(requested(origin)) == 14
    grown = Growth()
    second = await built(bench, urls)
    assert requested(origin) == []
    before, after = await rows_of(bench, first), await rows_of(bench, second)
    same = ("url", "state", "sha256", "size_bytes", "media_type", "final_url", "fetched_at", "phash", "split", "robots", "opt_out")
    assert [[getattr(row, name) for name in same] for row in after] == [[getattr(row, name) for name in same] for row in before]
    assert {(row.state, row.reuse, row.reused_from) for row in after} == {(ImageState.KEPT, "stored", first)}
    assert {(row.reuse, row.reused_from) for row in before} == {(None, None)}
    assert (await bench.job(second)).state is JobState.SUCCEEDED
    assert [await figures(bench, job_id) for job_id in (first, second)] == [(0, 0), (12, 0)]
    assert grown.of("pictrawl_downloads_total") == {("reused", "none"): 12}


async def test_a_reuse_of_a_reuse_names_the_job_that_made_the_request(bench: Bench, origin: Origin) -> None:
    """However often the list is built."""
    urls = serve(origin, pictures(1))
    first = await built(bench, urls)
    for _ in range(4):
        last = await built(bench, urls)
    assert [row.reused_from for row in await rows_of(bench, last)] == [first]


async def test_a_grown_list_requests_what_is_new(bench: Bench, origin: Origin, lines: list[dict[str, Any]]) -> None:
    """And the log of each chunk says how many of either there were."""
    urls = serve(origin, pictures(7))
    await built(bench, urls[:5])
    requested(origin)
    await built(bench, [*reversed(urls)])
    assert sorted(requested(origin)) == ["/5.jpg", "/6.jpg"]
    fetched = [line for line in lines if line["event"] == "chunk.fetched"]
    assert [(line["ok"], line["reused"], line["failed"]) for line in fetched] == [(5, 0, 0), (2, 5, 0)]


async def test_bytes_that_are_gone_or_damaged_are_requested_again(bench: Bench, origin: Origin) -> None:
    """Each object is read before it counts; the new bytes are written in its place."""
    bodies = pictures(3)
    urls = serve(origin, bodies)
    await built(bench, urls)
    requested(origin)
    gone, damaged = (bench.resources.store.local_path(paths.blob(hashlib.sha256(body).hexdigest())) for body in bodies[:2])
    assert gone
    assert damaged
    gone.unlink()
    damaged.write_bytes(damaged.read_bytes()[:-9] + b"different")
    job_id = await built(bench, urls)
    assert sorted(requested(origin)) == ["/0.jpg", "/1.jpg"]
    assert [row.state for row in await rows_of(bench, job_id)] == [ImageState.KEPT] * 3
    assert damaged.read_bytes() == bodies[1]


async def test_bytes_in_use_outlive_the_dataset_that_fetched_them(bench: Bench, origin: Origin) -> None:
    """The clean-up spares what any row refers to."""
    urls = serve(origin, pictures(2))
    first = await built(bench, urls)
    second = await built(bench, urls)
    async with bench.db.write() as connection:
        await connection.execute(tables.datasets.delete().where(tables.datasets.c.id == (await bench.job(first)).dataset_id))
    assert (await clean(bench.db, bench.resources.store, min_age_s=0)).blobs == 0
    requested(origin)
    third = await built(bench, urls)
    assert requested(origin) == []
    assert {row.reused_from for row in await rows_of(bench, third)} == {first}
    assert {row.reuse for row in await rows_of(bench, second)} == {"stored"}


async def test_only_rows_of_the_same_user_count(bench: Bench, origin: Origin) -> None:
    """Nobody learns from the number of requests what others have."""
    urls = serve(origin, pictures(2))
    await built(bench, urls, user_id="ann")
    requested(origin)
    await built(bench, urls, user_id="bob")
    assert sorted(requested(origin)) == ["/0.jpg", "/1.jpg"]


async def test_failures_are_requested_again(bench: Bench, origin: Origin) -> None:
    """A 404 of yesterday says nothing about today."""
    body = pictures(1)[0]
    url = origin.script("/a.jpg", reply(404), image(body))
    first = await built(bench, [url])
    second = await built(bench, [url])
    assert [row.reason for row in await rows_of(bench, first)] == [Reason.HTTP_404]
    assert [(row.state, row.reuse) for row in await rows_of(bench, second)] == [(ImageState.KEPT, None)]


async def test_stored_bytes_are_judged_by_the_rules_of_the_job(bench: Bench, origin: Origin) -> None:
    """An earlier verdict is not taken over, in neither direction."""
    urls = serve(origin, pictures(1))
    strict = await built(bench, urls, min_width=5000)
    loose = await built(bench, urls)
    strict_again = await built(bench, urls, min_width=5000)
    found = [(await rows_of(bench, job_id))[0] for job_id in (strict, loose, strict_again)]
    assert [row.reason for row in found] == [Reason.TOO_SMALL, None, Reason.TOO_SMALL]
    assert len(origin.hits("/0.jpg")) == 1


async def test_a_digest_that_the_list_promises_decides(bench: Bench, origin: Origin) -> None:
    """The stored bytes are used where they have it; else the origin is asked."""
    old, new = pictures(2)
    url = origin.script("/a.jpg", image(old), image(new))
    await built(bench, [url])
    promised = [ListedImage(url=url, sha256=hashlib.sha256(body).hexdigest()) for body in (old, new)]
    await built(bench, promised[:1])
    assert len(origin.hits("/a.jpg")) == 1
    job_id = await built(bench, promised[1:])
    assert len(origin.hits("/a.jpg")) == 2
    assert [row.sha256 for row in await rows_of(bench, job_id)] == [promised[1].sha256]


LOOSE: dict[str, Any] = {"fetch.robots": False, "fetch.opt_out": False, "fetch.allow_networks": ("127.0.0.0/8",), "fetch.ports": ()}


@pytest.mark.parametrize(
    ("stricter", "is_reused"),
    [
        ({}, True),
        ({"fetch.robots": True}, False),
        ({"fetch.opt_out": True}, False),
        ({"fetch.allow_networks": ("127.0.0.0/16",)}, False),
        ({"fetch.allow_networks": ("127.0.0.0/8", "10.0.0.0/8")}, True),
        ({"fetch.max_bytes": 100}, False),
    ],
)
async def test_bytes_of_a_laxer_request_are_not_used(tmp_path: Path, origin: Origin, stricter: dict[str, Any], is_reused: bool) -> None:
    """A setting that is stricter now than it was then is obeyed: the origin is asked under it."""
    urls = serve(origin, pictures(1))
    async with open_bench(tmp_path / "one", LOOSE, url=f"sqlite+aiosqlite:///{tmp_path}/one.db") as bench:
        await schema.upgrade(bench.db)
        await built(bench, urls)
    requested(origin)
    async with open_bench(tmp_path / "one", LOOSE | stricter, url=f"sqlite+aiosqlite:///{tmp_path}/one.db") as bench:
        await built(bench, urls)
    assert ("/0.jpg" not in requested(origin)) is is_reused


async def test_a_refusal_ends_the_use_of_older_bytes(bench: Bench, origin: Origin) -> None:
    """Once its site has refused, a URL is requested under what the site says now; what came after the refusal counts again."""
    body = pictures(1)[0]
    url = origin.script("/a.jpg", image(body), image(body, X_Robots_Tag="noai"), image(body))
    await built(bench, [url])
    refused = await built(bench, [url], refresh=True)
    assert [row.reason for row in await rows_of(bench, refused)] == [Reason.OPT_OUT]
    await built(bench, [url])
    assert len(origin.hits("/a.jpg")) == 3
    await built(bench, [url])
    assert len(origin.hits("/a.jpg")) == 3


async def test_refresh_asks_whether_the_bytes_are_still_the_same(bench: Bench, origin: Origin) -> None:
    """304: the stored bytes, with the attempt on record; 200: the new ones. A reply without validators is asked for unconditionally."""
    old, new, plain = pictures(3)
    urls = [
        origin.script("/same.jpg", image(old, ETag='"1"', Last_Modified=DATE), reply(304)),
        origin.script("/new.jpg", image(pictures(1, 9)[0], ETag='"1"'), image(new, ETag='"2"'), reply(304)),
        origin.script("/plain.jpg", image(plain)),
    ]
    first = await built(bench, urls)
    second = await built(bench, urls, refresh=True)
    same, changed, asked = await rows_of(bench, second)
    assert [(row.state, row.reuse, row.reused_from) for row in (same, changed, asked)] == [
        (ImageState.KEPT, "not_modified", first),
        (ImageState.KEPT, None, None),
        (ImageState.KEPT, None, None),
    ]
    assert [row.sha256 for row in (same, changed, asked)] == [hashlib.sha256(body).hexdigest() for body in (old, new, plain)]
    sent = [[hit.headers.get("if-none-match") for hit in origin.hits(f"/{name}.jpg")] for name in ("same", "new", "plain")]
    assert sent == [[None, '"1"'], [None, '"1"'], [None, None]]
    assert origin.hits("/same.jpg")[1].headers["if-modified-since"] == DATE
    async with bench.db.read() as connection:
        query = select(tables.attempts.c.status, tables.attempts.c.error).where(tables.attempts.c.image_id == same.id)
        assert [tuple(row) for row in (await connection.execute(query)).all()] == [(304, None)]
    assert await figures(bench, second) == (0, 1)
    third = await built(bench, urls, refresh=True)
    assert [row.reused_from for row in await rows_of(bench, third)] == [first, second, None]
    assert origin.hits("/new.jpg")[2].headers["if-none-match"] == '"2"'


async def test_refresh_of_damaged_bytes_is_unconditional(bench: Bench, origin: Origin) -> None:
    """A 304 would confirm bytes that are not there."""
    body = pictures(1)[0]
    urls = serve(origin, [body], ETag='"1"')
    await built(bench, urls)
    await bench.resources.store.delete([paths.blob(hashlib.sha256(body).hexdigest())])
    await built(bench, urls, refresh=True)
    assert [hit.headers.get("if-none-match") for hit in origin.hits("/0.jpg")] == [None, None]


async def test_validators_go_to_the_end_of_the_redirects(bench: Bench, origin: Origin) -> None:
    """It gave them."""
    origin.script("/b.jpg", image(pictures(1)[0], ETag='"b"'), reply(304))
    url = origin.script("/a.jpg", redirect("/b.jpg"))
    await built(bench, [url])
    job_id = await built(bench, [url], refresh=True)
    assert [(row.reuse, row.final_url) for row in await rows_of(bench, job_id)] == [("not_modified", origin.url("/b.jpg"))]
    assert "if-none-match" not in origin.hits("/a.jpg")[1].headers


# The decision by itself

SETTINGS = FetchSettings(allow_networks=("10.0.0.0/8",))
WANTED = StoredImage(1, "ds_2", "job_2", "chk_2", "https://h.test/a.jpg", "list", ImageState.PENDING)
FETCH = EarlierFetch(
    7, WANTED.url, ImageState.KEPT, 100.0, "job_1", "a" * 64, 1000, "image/jpeg", WANTED.url, "allowed", "none", "10.0.0.0/8"
)
REFUSED = EarlierFetch(8, WANTED.url, ImageState.FAILED, 200.0, "job_1")

CASES: Mapping[str, tuple[Mapping[str, Any], bool]] = {
    "as it is": ({}, True),
    "no robots.txt": ({"robots": "no_file"}, True),
    "robots.txt not read": ({"robots": "off"}, False),
    "opt-outs not read": ({"opt_out": "off"}, False),
    "no decision on record": ({"robots": None, "opt_out": None}, False),
    "no exempt network": ({"exempt_networks": ""}, True),
    "a network within a current one": ({"exempt_networks": "10.1.0.0/16"}, True),
    "another network": ({"exempt_networks": "10.0.0.0/8 127.0.0.0/8"}, False),
    "a network of the other family": ({"exempt_networks": "fd00::/8"}, False),
    "from a version that kept no networks": ({"exempt_networks": None}, False),
    "a redirect to a port that is closed now": ({"final_url": "https://h.test:9999/a.jpg"}, False),
    "a redirect to an address that is blocked now": ({"final_url": "http://127.0.0.1/a.jpg"}, False),
    "larger than the limit": ({"size_bytes": SETTINGS.max_bytes + 1}, False),
    "without bytes": ({"sha256": None}, False),
}


@pytest.mark.parametrize("case", CASES)
def test_bytes_count_if_their_request_obeyed_what_is_obeyed_now(case: str) -> None:
    """Each rule by itself."""
    changes, is_used = CASES[case]
    fetch = replace(FETCH, **changes)
    assert (choose(WANTED, [fetch], SETTINGS, URLGuard(SETTINGS.ports, SETTINGS.allow_networks)) is fetch) is is_used


def test_the_newest_that_counts_is_chosen() -> None:
    """Older bytes where newer ones do not count; none from before a refusal."""
    guard = URLGuard(SETTINGS.ports, SETTINGS.allow_networks)
    newer = replace(FETCH, at=300.0)
    assert choose(WANTED, [newer, FETCH], SETTINGS, guard) is newer
    assert choose(WANTED, [replace(newer, robots="off"), FETCH], SETTINGS, guard) is FETCH
    assert choose(WANTED, [newer, REFUSED, FETCH], SETTINGS, guard) is newer
    assert choose(WANTED, [REFUSED, FETCH], SETTINGS, guard) is None
    assert choose(WANTED, [], SETTINGS, guard) is None
