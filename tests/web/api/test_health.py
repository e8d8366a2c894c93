from dataclasses import replace

import httpx

import errors
from app.resources import Resources, product_version
from app.web import create_app
from app.web.api.health import Readiness
from tests.web import seeds
from tests.web.conftest import Connect


async def test_healthz_asks_nobody(connect: Connect, resources: Resources) -> None:
    """A database that is away is no reason to restart the API."""
    away = seeds.without_database(resources)
    answer = await connect(create_app(away)).get("/healthz")
    await away.db.close()
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "version": product_version()})


async def test_readyz_is_ok_where_every_part_answers(client: httpx.AsyncClient) -> None:
    """Database, queue, storage."""
    answer = await client.get("/readyz")
    assert answer.json() == {"status": "ok", "checks": {"database": "ok", "queue": "ok", "storage": "ok"}}


async def test_readyz_is_degraded_without_the_queue(connect: Connect, resources: Resources) -> None:
    """Jobs are taken without it, so traffic may come."""
    answer = await connect(create_app(seeds.without_queue(resources))).get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "degraded", "checks": {"database": "ok", "queue": "away", "storage": "ok"}}


async def test_readyz_is_503_without_the_database_and_names_it(connect: Connect, resources: Resources) -> None:
    """A problem that says what is away, and nothing of where it is."""
    away = seeds.without_queue(seeds.without_database(resources))
    answer = await connect(create_app(away)).get("/readyz")
    await away.db.close()
    assert (answer.status_code, answer.json()["code"]) == (503, "not-ready")
    assert answer.json()["detail"] == "Away: database, queue."
    assert answer.headers["retry-after"] == "5"


class _FullStore:
    def __init__(self) -> None:
        self.asked = 0

    async def check(self) -> None:
        self.asked += 1
        raise errors.StorageError("put check/x: No space left on device")


async def test_readyz_is_503_without_the_store(connect: Connect, resources: Resources) -> None:
    """A full disk takes no job's bytes."""
    store = _FullStore()
    client = connect(create_app(replace(resources, store=store)))  # type: ignore[arg-type]
    for _ in range(3):
        assert (await client.get("/readyz")).json()["detail"] == "Away: storage."
    assert store.asked == 1, "the check writes, and anyone may ask"


async def test_a_part_that_does_not_answer_is_away(resources: Resources) -> None:
    """A Redis that hangs hangs no probe."""
    silent = seeds.without_queue(resources, seeds.SilentQueue())
    assert (await Readiness(check_s=0.05).look(silent))["queue"] == "away"
