"""A workspace with everything that pages show, built by real workers from hosts on loopback, and a server of a copy of it.

The hosts have names of their own: requests reach them through a proxy, which is the origin of all of them.
"""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
from PIL import Image

from app.resources import Resources, open_resources
from app.settings import Settings, load_settings
from app.storage import paths
from tests.browser.scenes import SCENES, draw, jpeg
from tests.origin import Hit, Origin, Step, image, reply
from tests.templates import sqlite_like_new
from tests.web.sockets import messages, served
from workers.worker_pool import run_workers

__all__ = ["Hosts", "Seeded", "Site", "build", "copied", "follow", "open_site", "seed", "start_decoder"]

PER_LABEL = 14
HOSTS = ("photos.example.org", "cdn.example.net", "archive.example.com")
LICENCES = ("CC BY 4.0", "CC BY-SA 4.0", "CC0 1.0", None, "CC BY 2.0")
CREATORS = ("Ann Example", "Bo Sample", "Chris Muster", "نور مثال")
SPLITS = {"train": 0.7, "val": 0.15, "test": 0.15}
KEYWORD = "sailing boat"


class Hosts(Origin):
    """Hosts of any name behind a proxy. A URL without an answer is 404.

    Attributes:
        searches: answers of APIs by the beginning of their URLs; called with the query.
    """

    def __init__(self) -> None:
        super().__init__()
        self.searches: dict[str, Any] = {}

    def step_for(self, hit: Hit) -> Step:
        url, _, query = hit.target.partition("?")
        for prefix, answer in self.searches.items():
            if url.startswith(prefix):
                return reply(200, json.dumps(answer(dict(parse_qsl(query)))).encode(), {"Content-Type": "application/json"})
        return super().step_for(hit)

    def serve(self, url: str, *steps: Step) -> str:
        """Answer requests for a URL with these steps in turn, the last one for ever; return it."""
        self.script(url, *steps)
        return url


@dataclass(frozen=True)
class Seeded:
    """What is in a workspace: ids by the names that paths of pages have for them."""

    workspace: Path
    ids: Mapping[str, str]


@dataclass(frozen=True)
class Site:
    """A server of a seeded workspace.

    Attributes:
        url: its origin, without a slash at the end.
        hosts: what its builds may ask.
    """

    url: str
    api: httpx.AsyncClient
    resources: Resources
    hosts: Hosts
    ids: Mapping[str, str] = field(default_factory=dict)


def settings_of(workspace: Path, hosts: Hosts) -> Settings:
    """Settings under which all requests of a build go to these hosts."""
    return load_settings(
        {
            "workspace.path": workspace,
            "fetch.proxy": f"http://127.0.0.1:{hosts.port}",
            "fetch.contact": "ops@example.org",
            "fetch.per_host": 8,
            "validate.children": 1,
            "jobs.sweep_interval_s": 1.0,
            "sources.openverse.base_url": "http://openverse.example.org",
        }
    )


@asynccontextmanager
async def open_site(workspace: Path, *, works: bool = False, ids: Mapping[str, str] | None = None, port: int = 0) -> AsyncIterator[Site]:
    """Serve a workspace on this port or a free one; with ``works`` its jobs are done."""
    if not (workspace / "pictrawl.db").exists():
        sqlite_like_new(workspace / "pictrawl.db")
    async with AsyncExitStack() as stack:
        hosts = await stack.enter_async_context(Hosts())
        resources = await stack.enter_async_context(open_resources(settings_of(workspace, hosts)))
        if works:
            await stack.enter_async_context(run_workers(resources))
        api = await stack.enter_async_context(served(resources, port=port))
        yield Site(str(api.base_url).rstrip("/"), api, resources, hosts, ids or {})


async def start_decoder(site: Site) -> None:
    """Have a thumbnail made: the process that does it lives as long as the server, and not as one test."""
    path = f"/v1/images/{site.ids['image_id']}"
    await site.resources.store.delete([paths.thumb((await site.api.get(path)).json()["sha256"])])
    assert (await site.api.get(f"{path}/thumbnail")).status_code == 200


async def build(site: Site, **wanted: Any) -> dict[str, Any]:
    """Submit a job, follow it to its end and return it."""
    accepted = await site.api.post("/v1/jobs", json=wanted)
    assert accepted.status_code == 202, accepted.text
    return await follow(site, accepted.json()["links"]["self"])


async def follow(site: Site, path: str) -> dict[str, Any]:
    """Follow a job to its end and return it."""
    async with site.api.stream("GET", f"{path}/events") as response:
        assert [message async for message in messages(response)][-1].event == "bye"
    return dict((await site.api.get(path)).json())


async def seed(workspace: Path) -> Seeded:
    """Build two datasets and a failed one in an empty folder, and leave a paused job. Takes some seconds."""
    async with open_site(workspace, works=True) as site:
        rows = [*good(site.hosts), *dropped(site.hosts)]
        site.hosts.searches["http://openverse.example.org/v1/images/"] = openverse(site.hosts)
        job, other, _ = await asyncio.gather(
            build(site, name="landscapes", urls=rows, splits=SPLITS, export_format="imagefolder", also=["webdataset"]),
            build(site, keywords=[KEYWORD], sources=["openverse"], license=["open"], max_images=12),
            build(site, name="moved away", urls=[f"http://{HOSTS[2]}/old/{number}.jpg" for number in range(5)]),
        )
        ids = await ids_of(site, job, other)
    async with open_site(workspace) as site:
        waiting = (await site.api.post("/v1/jobs", json={"name": "harbours at dusk", "urls": [f"http://{HOSTS[0]}/dusk.jpg"]})).json()
        await site.api.patch(waiting["links"]["self"], json={"desired_state": "paused"})
        return Seeded(workspace, ids | {"waiting_job_id": waiting["id"]})


async def ids_of(site: Site, job: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, str]:
    """Ids of a build's job, dataset, export, of one kept image and one duplicate, and of another build's dataset."""
    found = {"job_id": str(job["id"]), "dataset_id": str(job["dataset_id"]), "export_id": str(job["exports"][0]["id"])}
    found["other_id"] = str(other["dataset_id"])
    for name, state in (("image_id", "kept"), ("duplicate_id", "duplicate")):
        page = await site.api.get("/v1/images", params={"job_id": job["id"], "state": state, "limit": 1})
        found[name] = str(page.json()["items"][0]["id"])
    return found


def good(hosts: Hosts) -> Iterator[dict[str, Any]]:
    """Pictures with all that a list may say of them; one answers only when it is asked again."""
    for at, (number, label) in enumerate((number, label) for number in range(PER_LABEL) for label in SCENES):
        steps = [image(jpeg(draw(label, number)))]
        host = HOSTS[at % len(HOSTS)]
        url = hosts.serve(f"http://{host}/{label}/{number:03d}.jpg", *([reply(503), *steps] if at == 7 else steps))
        yield described(at, url, label) | {"title": f"{label.capitalize()} {number + 1}"}


def described(at: int, url: str, label: str) -> dict[str, Any]:
    """A row of a list with a licence, a creator and a caption; every fifth one has no licence."""
    licence, creator = LICENCES[at % len(LICENCES)], CREATORS[at % len(CREATORS)]
    said = {"license": licence, "attribution": f"{creator}, {licence}"} if licence else {}
    seen = {"page_url": url.removesuffix(".jpg") + ".html", "caption": f"A drawing of {label}, number {at}", "group_id": f"walk {at // 8}"}
    return {"url": url, "label": label, "creator": creator, **said, **seen}


def dropped(hosts: Hosts) -> Iterator[dict[str, Any]]:
    """Duplicates, pictures that fail a check, and URLs without a picture."""
    answers: dict[str, Step] = {}
    for number, label in enumerate(SCENES):
        picture = draw(label, number)
        answers[f"{label}/copy.jpg"] = image(jpeg(picture))
        answers[f"{label}/smaller.jpg"] = image(jpeg(picture.resize((picture.width * 3 // 4, picture.height * 3 // 4)), 70))
        answers[f"{label}/icon.jpg"] = image(jpeg(draw(label, 50).resize((40, 30))))
        answers[f"{label}/cut.jpg"] = image(jpeg(draw(label, 60 + number))[:9_000])
        answers[f"{label}/gone.jpg"] = reply(410)
    answers["dunes/grey.jpg"] = image(jpeg(Image.new("RGB", (400, 300), (221, 221, 221))))
    answers["dunes/members.jpg"] = reply(403)
    answers["dunes/page.jpg"] = reply(200, b"<!doctype html><title>Log in</title>", {"Content-Type": "text/html"})
    answers["dunes/opted-out.jpg"] = image(jpeg(draw("dunes", 70)), X_Robots_Tag="noai")
    for at, (path, step) in enumerate(answers.items()):
        yield described(at, hosts.serve(f"http://{HOSTS[at % len(HOSTS)]}/{path}", step), path.partition("/")[0])


def openverse(hosts: Hosts) -> Any:
    """An answer of Openverse to every search: boats of one collection."""
    results = []
    for number in range(16):
        code = ("by", "by-sa", "cc0", "by-nc")[number % 4]
        url = hosts.serve(f"http://live.example.org/boats/{number}.jpg", image(jpeg(draw("harbour", 100 + number))))
        results.append(
            {
                "id": f"00000000-0000-4000-8000-{number:012d}",
                "title": f"Sailing boat {number + 1}",
                "url": url,
                "foreign_landing_url": f"https://gallery.example.org/{number}",
                "creator": CREATORS[number % 3],
                "license": code,
                "license_version": "1.0" if code == "cc0" else "4.0",
                "provider": "flickr",
                "source": "flickr",
                "filetype": "jpg",
                "width": 640,
                "height": 480,
                "mature": False,
            }
        )
    return answer_of(results)


def answer_of(results: list[dict[str, Any]]) -> Any:
    """An answer with a page of the images that the query's licences allow."""

    def answer(query: Mapping[str, str]) -> dict[str, Any]:
        codes = query.get("license", "").split(",") if query.get("license") else None
        found = [item for item in results if codes is None or item["license"] in codes]
        size, number = int(query.get("page_size", 20)), int(query.get("page", 1))
        counts = {"result_count": len(found), "page_count": -(-len(found) // size), "page_size": size, "page": number}
        return counts | {"results": found[(number - 1) * size : number * size]}

    return answer


def copied(seeded: Seeded, place: Path) -> Path:
    """A workspace of its own with the same content, to be changed."""
    shutil.copytree(seeded.workspace, place)
    return place
