"""Tests of workers.stages.crawl: a site on a real socket, read breadth first, resumed after a kill at any page, each page accounted for."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select, update

from app.db import crawl_pages, tables
from app.db.exceptions import StateConflict
from app.domain import Reason
from app.explain import PageHistory, explain_subject, page_lines, page_verdict
from app.job_states import UnitKind
from app.jobs.settle import resolve_spec
from app.jobs.submit import submit_build, submit_retry
from app.spec import JobRequest
from tests.db.builders import expire
from tests.origin import JPEG, Exchange, Hit, Origin, Step, redirect, reply
from tests.workers.bench import Bench, open_bench

LINKS = {
    "/": ("/a", "/b"),
    "/a": ("/c", "/", "/a#again"),
    "/b": ("/c", "/d?utm_source=x", "/d"),
    "/c": ("/e",),
    "/d": (),
    "/e": (),
}
"""A small site: which page links which."""


def page(*links: str, images: tuple[str, ...] = (), head: str = "", status: int = 200, **headers: str) -> Step:
    """Answer with a page of some links and images."""
    body = head + "".join(f'<a href="{link}">x</a>' for link in links) + "".join(f'<img src="{image}" alt="{image}">' for image in images)
    named = {"Content-Type": "text/html", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return reply(status, f"<!doctype html><title>x</title>{body}".encode(), named)


def site(origin: Origin) -> str:
    """Script the site, each page with an image of its own; return its first page."""
    for path, links in LINKS.items():
        origin.script(path, page(*links, images=(f"/img{path}{'i' if path == '/' else ''}.jpg", "/img/shared.jpg")))
    return origin.url("/")


async def submit(bench: Bench, *urls: str, label: str | None = None, max_images: int | None = None, **pages: Any) -> str:
    """Submit a build of pages, return the job's id."""
    request = JobRequest(pages={"urls": list(urls), **pages}, label=label, max_images=max_images)
    return (await submit_build(bench.resources, resolve_spec(bench.resources, request), name="test")).job_id


async def search(bench: Bench) -> None:
    """Plan a job and run its search."""
    await bench.run_kind(UnitKind.PLAN)
    await bench.run_kind(UnitKind.SEARCH)


async def images(bench: Bench) -> list[Any]:
    async with bench.db.read() as connection:
        return list((await connection.execute(select(tables.images).order_by(tables.images.c.id))).all())


async def found(bench: Bench) -> list[str]:
    """Paths of the images, in the order of the crawl."""
    return [row.url.partition("/img/")[2] for row in await images(bench)]


async def states(bench: Bench) -> dict[str, tuple[str, str | None]]:
    """What became of each page, by its path."""
    async with bench.db.read() as connection:
        rows = (await connection.execute(select(tables.crawl_pages))).all()
    return {"/" + row.url.split("/", 3)[3].partition("?")[0]: (row.state, row.reason) for row in rows}


def hits(origin: Origin, path: str) -> int:
    return len(origin.hits(path))


@pytest.mark.parametrize(
    ("depth", "names"),
    [
        (0, ["i.jpg", "shared.jpg"]),
        (1, ["i.jpg", "shared.jpg", "a.jpg", "b.jpg"]),
        (2, ["i.jpg", "shared.jpg", "a.jpg", "b.jpg", "c.jpg", "d.jpg"]),
        (3, ["i.jpg", "shared.jpg", "a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"]),
    ],
)
async def test_links_are_followed_breadth_first_to_the_depth(bench: Bench, origin: Origin, depth: int, names: list[str]) -> None:
    """Depth 0 is the named page, 1 what it links; each page is requested once, each image is one candidate."""
    await submit(bench, site(origin), depth=depth, label="site")
    await search(bench)
    assert await found(bench) == names
    assert all(hits(origin, path) <= 1 for path in LINKS)
    first, *_ = await images(bench)
    assert (first.label, first.source, first.page_url) == ("site", "pages", origin.url("/"))
    assert first.group_id == f"page:{origin.url('/')}"


@pytest.mark.parametrize("kill_at", range(1, 8))
async def test_a_crawl_that_dies_at_any_page_goes_on_there(bench: Bench, origin: Origin, kill_at: int) -> None:
    """Killed at its n-th page, then resumed: every image once, no page that was stored is read again."""
    await submit(bench, site(origin), depth=3)
    await bench.run_kind(UnitKind.PLAN)
    (delivery,) = await bench.due()
    running: asyncio.Task[None] | None = None
    seen = 0

    def dying(step: Step) -> Step:
        async def answer(exchange: Exchange) -> None:
            nonlocal seen
            seen += 1
            if seen == kill_at and running is not None:
                running.cancel()
                await exchange.rest(10)
            await step(exchange)

        return answer

    for path in LINKS:
        origin.script(path, dying(origin.step_for(Hit("GET", path, {}))))
    running = asyncio.ensure_future(bench.run(delivery))
    await asyncio.wait([running])
    read = {path for path, (state, _) in (await states(bench)).items() if state == "read"}
    before = {path: hits(origin, path) for path in LINKS}
    running = None
    await expire(bench.db, delivery.unit_id)
    await bench.drive(until=UnitKind.FETCH)
    await bench.run_kind(UnitKind.SEARCH)
    assert sorted(await found(bench)) == ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg", "i.jpg", "shared.jpg"]
    assert all(hits(origin, path) == before[path] for path in read)
    assert all(hits(origin, path) <= 2 for path in LINKS)


async def test_every_page_that_is_not_read_has_its_reason(bench: Bench, origin: Origin, lines: list[dict[str, Any]]) -> None:
    """Not found, disallowed, reserved, another host, no page: the crawl goes on, and says at its end what it left out."""
    links = ("/gone", "/closed/x", "/noai", "/header", "/away", "/film", "/text", "/ok")
    origin.script("/robots.txt", reply(200, b"User-agent: *\nDisallow: /closed/\n"))
    origin.script("/", page(*links))
    origin.script("/noai", page(head="<meta name=robots content=noai>", images=("/img/no.jpg",)))
    origin.script("/header", page(images=("/img/no.jpg",), X_Robots_Tag="noimageai"))
    origin.script("/away", redirect(origin.url("/ok", host="localhost")))
    origin.script("/film", reply(200, b"x", {"Content-Type": "video/mp4"}))
    origin.script("/text", reply(200, b"words", {"Content-Type": "text/plain"}))
    origin.script("/ok", page(images=("/img/ok.jpg",)))
    job_id = await submit(bench, origin.url("/"))
    await search(bench)
    assert await found(bench) == ["ok.jpg"]
    reasons = {path: reason for path, (_, reason) in (await states(bench)).items()}
    assert reasons == {
        "/": None,
        "/ok": None,
        "/gone": "http_404",
        "/closed/x": "robots",
        "/noai": "opt_out",
        "/header": "opt_out",
        "/away": "redirect",
        "/film": "protocol",
        "/text": "protocol",
    }
    assert hits(origin, "/closed/x") == 0
    assert sum(line["event"] == "page.failed" for line in lines) == 7
    counts = await crawl_pages.count_pages(bench.db, (await bench.job(job_id)).dataset_id)
    assert counts.words.startswith("2 pages read; 7 not read: opt_out 2 · protocol 2")


async def test_a_page_that_needs_scripts_is_named(bench: Bench, origin: Origin) -> None:
    """It is read, holds nothing, and the numbers of the crawl say why."""
    shell = "<script src=/app.js></script><noscript>Please enable JavaScript.</noscript><div id=root></div>"
    origin.script("/", page(head=shell))
    job_id = await submit(bench, origin.url("/"))
    await search(bench)
    counts = await crawl_pages.count_pages(bench.db, (await bench.job(job_id)).dataset_id)
    assert "JavaScript" in counts.words


async def test_an_overloaded_host_is_asked_again_later(bench: Bench, origin: Origin) -> None:
    """A page that is 503 waits, the others go on; after its third try it has failed, and the crawl ends."""
    origin.script("/", page("/busy", "/late", images=("/img/1.jpg",)))
    origin.script("/busy", reply(503))
    origin.script("/late", *[reply(503)] * 3, page(images=("/img/late.jpg",)))
    job_id = await submit(bench, origin.url("/"))
    await search(bench)
    assert await found(bench) == ["1.jpg"]
    assert "the next try is in" in str((await bench.job(job_id)).waiting_for)
    for _ in range(3):
        async with bench.db.write() as connection:
            await connection.execute(update(tables.crawl_pages).values(not_before=0.0))
            await connection.execute(update(tables.units).values(not_before=0.0))
        await bench.run_kind(UnitKind.SEARCH)
    assert await found(bench) == ["1.jpg", "late.jpg"]
    assert (await states(bench))["/busy"] == ("failed", "service_unavailable")


async def test_a_crawl_ends_at_max_pages(bench: Bench, origin: Origin) -> None:
    """A calendar without end costs as many pages as were allowed."""

    class Endless(Origin):
        def step_for(self, hit: Any) -> Step:
            number = int(hit.target.rpartition("/")[2] or 0) if hit.target.rpartition("/")[2].isdigit() else 0
            return reply(404) if "." in hit.target else page(*(f"/day/{number * 10 + more}" for more in range(10)))

    async with Endless() as endless:
        await submit(bench, endless.url("/day/1"), depth=20, max_pages=15)
        await search(bench)
        assert sum(hit.target.startswith("/day/") for hit in endless.log) == 15
    async with bench.db.read() as connection:
        (note,) = (await connection.execute(select(tables.searches.c.note))).one()
    assert note == "15 pages read; it ended at max_pages 15"


async def test_a_page_under_two_addresses_is_read_once(bench: Bench, origin: Origin) -> None:
    """A redirect to a page that waits: it is not requested a second time."""
    origin.script("/", page("/old", "/x", "/y", "/z", "/new"))
    origin.script("/old", redirect("/new"))
    for path in ("/x", "/y", "/z"):
        origin.script(path, page())
    origin.script("/new", page(images=("/img/new.jpg",)))
    await submit(bench, origin.url("/"))
    await search(bench)
    assert await found(bench) == ["new.jpg"]
    assert (await states(bench))["/new"] in (("alias", None), ("read", None))


async def test_other_hosts_are_followed_where_asked(bench: Bench, origin: Origin) -> None:
    """Here localhost beside 127.0.0.1."""
    origin.script("/", page(origin.url("/there", host="localhost")))
    origin.script("/there", page(images=("/img/there.jpg",)))
    await submit(bench, origin.url("/"), follow_hosts=["localhost"])
    await search(bench)
    assert await found(bench) == ["there.jpg"]


async def test_a_sitemap_index_is_read_to_the_images_of_its_pages(bench: Bench, origin: Origin) -> None:
    """Its sitemaps are no step, their pages are one: depth 1 reads them, and follows none of their links."""
    origin.script("/index.xml", reply(200, f"<sitemapindex><sitemap><loc>{origin.url('/one.xml')}</loc></sitemap></sitemapindex>".encode()))
    origin.script("/one.xml", reply(200, f"<urlset><url><loc>{origin.url('/p')}</loc></url></urlset>".encode()))
    origin.script("/p", page("/q", images=("/img/p.jpg",)))
    await submit(bench, origin.url("/index.xml"))
    await search(bench)
    assert await found(bench) == ["p.jpg"]
    assert hits(origin, "/q") == 0


async def test_a_target_stops_the_crawl_and_a_later_round_takes_it_up(bench: Bench, origin: Origin) -> None:
    """With a target, no more pages are read than it needs."""
    await submit(bench, site(origin), depth=3, max_images=1)
    await search(bench)
    assert hits(origin, "/e") == 0
    assert (await states(bench))["/"] == ("read", None)


async def test_a_whole_build_of_pages(bench: Bench, origin: Origin) -> None:
    """From the page to the end of the job; the images are no pictures here, and each has its reason."""
    for path in ("/img/i.jpg", "/img/shared.jpg"):
        origin.script(path, reply(200, JPEG, {"Content-Type": "image/jpeg"}))
    job_id = await submit(bench, site(origin), depth=0)
    await bench.drive()
    assert (await bench.job(job_id)).is_final
    assert (await bench.funnel(job_id)).fetched == 2


async def test_no_robots_reads_what_robots_would_close(tmp_path: Any, origin: Origin) -> None:
    """--no-robots is for one's own hosts: robots.txt and meta elements are not obeyed; opt-outs still are."""
    origin.script("/robots.txt", reply(200, b"User-agent: *\nDisallow: /\n"))
    origin.script("/", page(head="<meta name=robots content='noindex, nofollow'>", images=("/img/1.jpg",)))
    async with open_bench(tmp_path / "own", {"fetch.robots": False}) as bench:
        await submit(bench, origin.url("/"))
        await search(bench)
        assert await found(bench) == ["1.jpg"]


async def told(bench: Bench, url: str) -> tuple[str, dict[str, str]]:
    """The verdict on a page, and the words on each topic."""
    history = await explain_subject(bench.db, url)
    assert isinstance(history, PageHistory)
    return page_verdict(history.page, is_final=history.job.is_final), {line.topic: line.words for line in page_lines(history)}


async def test_a_page_tells_by_which_it_was_found_and_what_it_gave(bench: Bench, origin: Origin) -> None:
    """In any spelling of its address; where the depth ends, its links are not followed, and that is said."""
    job_id = await submit(bench, site(origin), depth=2)
    await search(bench)
    verdict, words = await told(bench, origin.url("/a?utm_source=mail#top"))
    assert (verdict, words["found"]) == ("read", f"linked by {origin.url('/')}, 1 link from a page that was named")
    assert (words["requests"], words["kind"], words["images"], words["links"]) == ("1 request", "html", "2 taken", "2 followed")
    assert words["robots.txt"] == f"none, so everything is allowed, {origin.url('/robots.txt')}"
    assert words["opt-out"] == "none in the reply's headers"
    assert job_id in words["part of"]
    assert (await told(bench, origin.url("/")))[1]["found"] == "named by the job"
    assert (await told(bench, origin.url("/c")))[1]["links"] == "none followed: the build goes 2 links from the pages that were named"


async def test_a_page_that_was_not_read_tells_why(bench: Bench, origin: Origin) -> None:
    """Its reason, what that rests on, and whether it was requested."""
    origin.script("/robots.txt", reply(200, b"User-agent: *\nDisallow: /closed/\n"))
    origin.script("/", page("/gone", "/closed/x", "/header", "/noai", "/busy", "/old"))
    origin.script("/header", page(X_Robots_Tag="noimageai"))
    origin.script("/noai", page(head="<meta name=robots content=noai>"))
    origin.script("/busy", reply(503))
    origin.script("/old", redirect("/new"))
    origin.script("/new", page(images=("/img/new.jpg",)))
    await submit(bench, origin.url("/"))
    await search(bench)
    verdict, words = await told(bench, origin.url("/closed/x"))
    assert verdict.startswith("failed: robots, ")
    assert (words["requests"], "Disallow: /closed/" in words["evidence"]) == ("none: it was decided without a request", True)
    assert words["robots.txt"] == f"disallows it, {origin.url('/robots.txt')}"
    verdict, words = await told(bench, origin.url("/header"))
    assert (verdict.startswith("failed: opt_out, "), words["opt-out"]) == (True, "refused by the reply's headers")
    assert words["evidence"] == "the reply's header x-robots-tag: noimageai"
    verdict, words = await told(bench, origin.url("/gone"))
    assert (verdict.startswith("failed: http_404"), words["requests"], "kind" in words) == (True, "1 request", False)
    verdict, words = await told(bench, origin.url("/noai"))
    assert (verdict.startswith("failed: opt_out, "), words["kind"]) == (True, "html")
    verdict, words = await told(bench, origin.url("/busy"))
    assert (verdict, words["next try"]) == ("waiting: 1 attempt failed, it is requested again", "not before this time")
    _, words = await told(bench, origin.url("/new"))
    assert (words["asked as"], words["images"]) == (f"{origin.url('/new')}, another address of this page", "1 taken")


async def test_the_requests_of_all_tries_are_counted(bench: Bench, origin: Origin) -> None:
    """Those of the last one are not all."""
    origin.script("/", reply(503))
    await submit(bench, origin.url("/"))
    await search(bench)
    for _ in range(2):
        async with bench.db.write() as connection:
            await connection.execute(update(tables.crawl_pages).values(not_before=0.0))
            await connection.execute(update(tables.units).values(not_before=0.0))
        await bench.run_kind(UnitKind.SEARCH)
    verdict, words = await told(bench, origin.url("/"))
    assert verdict.startswith("failed: service_unavailable")
    assert words["requests"] == f"{hits(origin, '/')} requests"


async def ended(bench: Bench, origin: Origin, **pages: Any) -> str:
    """A build that has ended, with a page that was not found; then the page is there, with images and a link."""
    origin.script("/", page("/late", "/ok", images=("/img/1.jpg",)))
    origin.script("/ok", page(images=("/img/ok.jpg",)))
    job_id = await submit(bench, origin.url("/"), depth=2, **pages)
    await bench.drive()
    assert (await bench.job(job_id)).is_final
    origin.script("/late", page("/more", "/", images=("/img/late.jpg", "/img/1.jpg")))
    origin.script("/more", page(images=("/img/more.jpg",)))
    return job_id


async def test_a_retry_reads_failed_pages_again(bench: Bench, origin: Origin) -> None:
    """With their images and links; no page that was read is requested again, no image is doubled."""
    first = await ended(bench, origin)
    second = (await submit_retry(bench.resources, first, frozenset({Reason.HTTP_404}))).job_id
    await bench.drive()
    assert (await bench.job(second)).is_final
    assert sorted(await found(bench)) == ["1.jpg", "late.jpg", "more.jpg", "ok.jpg"]
    assert (hits(origin, "/"), hits(origin, "/ok"), hits(origin, "/late"), hits(origin, "/more")) == (1, 1, 2, 1)
    assert set((await states(bench)).values()) == {("read", None)}
    assert all(hits(origin, path) == 1 for path in ("/img/late.jpg", "/img/more.jpg"))


async def test_a_retry_that_dies_goes_on_with_its_pages(bench: Bench, origin: Origin) -> None:
    """Killed while it reads one: what it has reopened is read by the next run."""
    first = await ended(bench, origin)
    await submit_retry(bench.resources, first, frozenset({Reason.HTTP_404}))
    await bench.run_kind(UnitKind.PLAN)
    delivery = next(item for item in await bench.due() if item.kind is UnitKind.SEARCH)
    step = origin.step_for(Hit("GET", "/late", {}))

    async def dying(exchange: Exchange) -> None:
        running.cancel()
        await exchange.rest(10)

    origin.script("/late", dying)
    running = asyncio.ensure_future(bench.run(delivery))
    await asyncio.wait([running])
    origin.script("/late", step)
    await expire(bench.db, delivery.unit_id)
    await bench.drive()
    assert sorted(await found(bench)) == ["1.jpg", "late.jpg", "more.jpg", "ok.jpg"]
    assert (hits(origin, "/"), hits(origin, "/more")) == (1, 1)


async def test_a_retry_takes_up_only_pages_with_its_reasons(bench: Bench, origin: Origin) -> None:
    """A page that is not found has not failed for a reason that passes; without such a page there is nothing to retry."""
    first = await ended(bench, origin)
    async with bench.db.write() as connection:
        await connection.execute(update(tables.images).values(state="kept", reason=None))
    with pytest.raises(StateConflict, match="nothing to retry: no image or page of job"):
        await submit_retry(bench.resources, first)
    async with bench.db.write() as connection:
        late = tables.crawl_pages.c.reason == "http_404"
        await connection.execute(update(tables.crawl_pages).where(late).values(reason="service_unavailable", tries=3))
    await submit_retry(bench.resources, first)
    await bench.drive()
    assert hits(origin, "/late") == 2
