"""Figures of real jobs on a real fleet: the same numbers as the origin saw and as the rows say; and Prometheus gets them."""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from sqlalchemy import func, select

from app.db import Database, images, tables
from app.db.funnel import Funnel
from tests.figures import Samples, parsed, total
from tests.images.samples import encode, photo
from tests.integration.test_job_processing import _ready, deployment, environment, follow, start
from tests.monitoring.promql import FOLDER
from tests.origin import Origin, hang_up, image, reply
from tests.services import PrometheusServer, free_port
from tests.workers.proof import eventually

PORTS = 20
"""Ports that the processes choose from."""

START_S = 60.0
"""Seconds that a process has to start on a busy machine."""

SLOW = reply(503, headers={"Retry-After": "1"})


def script(origin: Origin) -> list[str]:
    """Every way for a URL to end, and images that are judged both ways; return the URLs."""
    picture = [image(encode(photo(96, 96, seed=number + 1))) for number in range(8)]
    steps = {
        **{f"/plain-{number}.jpg": [picture[number]] for number in range(4)},
        "/one-retry.jpg": [reply(503), picture[4]],
        "/two-retries.jpg": [hang_up(), reply(504), picture[5]],
        "/patience.jpg": [SLOW, picture[6]],
        "/never.jpg": [reply(503)],
        "/gone-after-all.jpg": [reply(503), reply(404)],
        "/absent.jpg": [reply(404)],
        "/forbidden.jpg": [reply(403)],
        "/no-image.jpg": [reply(200, b"<html>")],
        "/small.jpg": [image(encode(photo(16, 16, seed=99)))],
    }
    for path, answers in steps.items():
        origin.script(path, *answers)
    return [origin.url(path) for path in steps]


@asynccontextmanager
async def fleet(tmp_path: Path, redis_url: str, postgres_url: str) -> AsyncIterator[tuple[httpx.AsyncClient, int, Database]]:
    """An API and two workers as processes of their own; a client of the API, the first port for scrapes, and the database."""
    port = _range()
    more = {"PICTRAWL_METRICS__PORT": str(port), "PICTRAWL_METRICS__PORTS": str(PORTS), "PICTRAWL_RETRY__BACKOFF_BASE_S": "0.2"}
    db = Database(postgres_url)
    try:
        async with deployment(tmp_path, environment(tmp_path, redis_url, postgres_url, **more), workers=2) as client:
            yield client, port, db
    finally:
        await db.close()


def _range() -> int:
    """The first of some ports below those that the system gives away, so that no server of the test has one of them."""
    return random.randrange(10_000, 30_000, PORTS)


async def scrape(client: httpx.AsyncClient, port: int) -> list[Samples]:
    """What each process tells that answers in the range: the API, and two workers."""
    found = []
    for number in range(port, port + PORTS):
        try:
            answer = await client.get(f"http://127.0.0.1:{number}/metrics")
        except httpx.TransportError:
            continue
        if answer.status_code == 200 and "pictrawl_job_runs_total" in answer.text:
            found.append(parsed(answer.text))
    return found


async def summed(client: httpx.AsyncClient, port: int, name: str) -> dict[tuple[str, ...], float]:
    """A counter over all processes."""
    table: Counter[tuple[str, ...]] = Counter()
    for samples in await scrape(client, port):
        table.update(total(samples, name))  # type: ignore[arg-type]
    return dict(table)


async def rows(db: Database, *columns: Any) -> dict[tuple[str, ...], float]:
    """How many rows there are of each combination."""
    async with db.read() as connection:
        found = (await connection.execute(select(*columns, func.count()).group_by(*columns))).all()
    return {tuple(str(part) for part in row[:-1]): float(row[-1]) for row in found}


async def test_figures_are_those_of_the_origin_and_of_the_rows(tmp_path: Path, redis_url: str, postgres_url: str) -> None:
    """After a job with every kind of failure: requests, outcomes, retries, waits, bytes and verdicts, over two workers."""
    async with Origin() as origin, fleet(tmp_path, redis_url, postgres_url) as (client, port, db):
        await eventually(lambda: _all_answer(client, port, 3))
        urls = script(origin)
        answer = await client.post("/v1/jobs", json={"urls": urls, "dedupe": "exact"})
        body = await follow(client, answer.headers["location"])
        assert body["status"] == "succeeded", body

        async def of(name: str) -> dict[tuple[str, ...], float]:
            return await summed(client, port, name)

        hits = sum(len(origin.hits(url.removeprefix(origin.url("")))) for url in urls)
        attempts = await of("pictrawl_download_attempts_total")
        assert sum(attempts.values()) == hits == sum((await of("pictrawl_download_responses_total")).values())
        outcome = func.coalesce(tables.attempts.c.reason, "ok")
        number = tables.attempts.c.number
        assert attempts == await rows(db, number, outcome)

        downloads = await of("pictrawl_downloads_total")
        reason = tables.images.c.reason
        by_reason = {(("failed", key[0])): count for key, count in (await rows(db, reason)).items() if key[0] not in ("None", "too_small")}
        assert {key: count for key, count in downloads.items() if key[0] == "failed"} == by_reason
        assert downloads["ok", "none"] == 8
        funnel = Funnel(await images.counts(db, dataset_id=body["dataset_id"]))
        assert await of("pictrawl_images_validated_total") == {("valid",): 7, ("too_small",): 1}
        assert funnel.kept == 7

        assert await of("pictrawl_download_retried_urls_total") == {("recovered",): 3, ("exhausted",): 1, ("refused",): 1}
        assert body["retries"]["recovered"] == 3
        waits = await of("pictrawl_download_wait_seconds_total")
        async with db.read() as connection:
            cause, waited = tables.attempts.c.wait_cause, func.sum(tables.attempts.c.wait_s)
            told = {row[0]: row[1] for row in (await connection.execute(select(cause, waited).where(cause != "").group_by(cause))).all()}
            size = (await connection.execute(select(func.sum(tables.images.c.size_bytes)))).scalar_one()
        assert {key[0]: pytest.approx(value) for key, value in waits.items() if key[0] != "host_gate"} == told
        assert set(told) == {"backoff", "retry_after"}
        assert await of("pictrawl_download_bytes_total") == {(): size}
        assert await of("pictrawl_jobs_ended_total") == {("succeeded",): 1}

        runs = await of("pictrawl_job_runs_total")
        assert {key: runs.get((key, "done")) for key in ("create_crawl_job", "export_dataset", "verify_export")} == dict.fromkeys(
            ("create_crawl_job", "export_dataset", "verify_export"), 1.0
        )
        assert {key[1] for key in runs} <= {"done", "not_claimed", "stopped"}


async def _all_answer(client: httpx.AsyncClient, port: int, number: int) -> bool:
    return len(await scrape(client, port)) == number


@asynccontextmanager
async def embedded(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """``pictrawl serve`` with workers in its process: all there is on one machine."""
    port = free_port()
    env = {"PICTRAWL_FETCH__ALLOW_NETWORKS": '["127.0.0.0/8"]', "PICTRAWL_FETCH__PORTS": "[]", "PICTRAWL_VALIDATE__CHILDREN": "1"}
    process = start(["serve", "--port", str(port)], os.environ | env, tmp_path / "serve.log")
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            await eventually(lambda: _ready(client), START_S)
            yield client
    finally:
        process.terminate()
        code = await asyncio.to_thread(process.wait, 40)
    assert code == 0, (tmp_path / "serve.log").read_text()[-2000:]


@pytest.mark.services("prometheus")
async def test_prometheus_scrapes_and_evaluates_the_rules(tmp_path: Path) -> None:
    """Our rules in a real Prometheus, on a real process: it is up, nothing fires while all is well, and figures can be asked for."""
    async with Origin() as origin, embedded(tmp_path) as client:
        answer = await client.post("/v1/jobs", json={"urls": script(origin)[:4], "dedupe": "exact"})
        await follow(client, answer.headers["location"])
        api = client.base_url.netloc.decode()
        with PrometheusServer(configuration(api), {"alerts.yml": (FOLDER / "alerts.yml").read_text()}) as prometheus:

            async def collected() -> bool:
                fetched = [one["value"][1] for one in _asked(prometheus, 'sum(pictrawl_downloads_total{outcome="ok"})')]
                return [one["value"][1] for one in _asked(prometheus, "up")] == ["1"] and fetched == ["4"]

            await eventually(collected, START_S)
            rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
            assert len(rules) >= 15
            assert {rule["name"]: rule.get("lastError") for rule in rules if rule["health"] == "err"} == {}
            assert [alert["labels"]["alertname"] for alert in prometheus.get("alerts")["alerts"] if alert["state"] == "firing"] == []


def _asked(prometheus: PrometheusServer, query: str) -> list[dict[str, Any]]:
    return list(prometheus.get("query", query=query)["result"])


def configuration(api: str) -> str:
    """Ours, with addresses in place of Compose's names, and no patience."""
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    for job, targets in zip(config["scrape_configs"], ([api], []), strict=True):
        del job["dns_sd_configs"]
        job["static_configs"] = [{"targets": targets}]
    return str(yaml.safe_dump(config))
