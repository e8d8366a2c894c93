"""Canaries: secrets in every input, many failures on a real fleet, then a search for them in everything that the fleet wrote.

A URL is its owner's data: its row has it unchanged, and its owner may see it. Everywhere else it has neither user nor query.
"""

import asyncio
import json
import re
import sys
import traceback
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.cli import entry
from app.db import Database
from logging_setup.config import configure
from tests.images.samples import encode, photo
from tests.integration.test_job_processing import deployment, environment, follow
from tests.origin import Origin, hang_up, image, redirect, reply
from tests.services import PostgresServer, RedisServer, free_port
from tests.workers.proof import eventually

CANARY = re.compile(r"CANARY[A-Za-z]+")
"""Each canary is unique, so that a match tells where it came from."""

ROWS_WITH_URLS = {
    ("images", "url"),  # the submitted URL: it is fetched with its query
    ("images", "final_url"),  # the provenance of the image, part of its export
}

ANSWERS_WITH_URLS = {"url", "final_url"}
"""Keys of an image in an API reply, which only the dataset's owner gets."""

REDIS_PASSWORD, DATABASE_PASSWORD = "CANARYredis", "CANARYdatabase"
HEADERS = {
    "Cookie": "session=CANARYcookie",
    "X-Api-Key": "CANARYapikeyheader",
    "X-Webhook-Secret": "whsec_CANARYwebhook",
    "X-Anything": "CANARYheader",
    "Referer": "http://user:CANARYreferer@h.test/?q=CANARYrefererquery",
    "traceparent": "CANARYtraceparent",
}


class GuardedRedis(RedisServer):
    """redis-server with a password."""

    @property
    def url(self) -> str:
        return f"redis://:{REDIS_PASSWORD}@127.0.0.1:{self.port}/0"

    def _command(self) -> list[str]:
        return [*super()._command(), "--requirepass", REDIS_PASSWORD]

    def _answers(self) -> bool:
        try:
            return self._say(b"PING\r\n").startswith(b"-NOAUTH")
        except OSError:
            return False


@dataclass
class Left:
    """Everything the fleet wrote: lines by process, rows by table, API replies, keys and values of Redis."""

    lines: dict[str, list[str]] = field(default_factory=dict)
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    replies: list[httpx.Response] = field(default_factory=list)
    redis: list[str] = field(default_factory=list)

    async def note(self, response: httpx.Response) -> None:
        """Record a reply."""
        await response.aread()
        self.replies.append(response)


def bad_urls(origin: Origin) -> list[str]:
    """One URL for each kind of failure, with secrets in its user and its query, under known and unknown names."""
    secret = "sig=CANARYsig&token=CANARYtoken&X-Amz-Signature=CANARYamz&what=CANARYunknown#CANARYfragment"
    at = origin.url("").removeprefix("http://").rstrip("/")
    user = "user:CANARYuserinfo"
    origin.script("/404.jpg", reply(404, b"CANARYbody", {"Set-Cookie": "a=CANARYsetcookie"}))
    origin.script("/503.jpg", reply(503))
    origin.script("/redirect.jpg", redirect(f"http://{user}redirect@{at}/404.jpg?next=CANARYredirect"))
    origin.script("/elsewhere.jpg", redirect("ftp://user:CANARYftp@h.test/x?y=CANARYftpquery"))
    origin.script("/loop.jpg", redirect(f"http://{at}/loop.jpg?again=CANARYloop"))
    origin.script("/hangup.jpg", hang_up())
    origin.script("/html.jpg", reply(200, b"<html>CANARYhtml</html>", {"Content-Type": "text/html; q=CANARYtype"}))
    origin.script("/broken.jpg", image(encode(photo(seed=3))[:200]))
    origin.script("/good.jpg", image(encode(photo(seed=1))))
    names = ("404", "503", "redirect", "elsewhere", "loop", "hangup", "html", "broken", "good")
    hosts = [f"http://{at}/{name}.jpg" for name in names]
    hosts += [f"http://127.0.0.1:{free_port()}/refused.jpg", "http://no-such-host.invalid/dns.jpg", f"https://{at}/tls.jpg"]
    hosts += ["http://10.1.2.3/blocked.jpg", f"http://{at}/{'x' * 3000}.jpg", f"http://{at}99999/port.jpg", f"gopher://{at}/scheme.jpg"]
    broken = [f"http:/{user}@{at}/slash.jpg", f"{user}@{at}/no-scheme.jpg", f"//{user}@{at}/relative.jpg", f"http://{user}@{at}:x/port.jpg"]
    return [f"{url}?{secret}" for url in (*hosts, *broken, *(url.replace("://", f"://{user}@") for url in hosts))]


@pytest.fixture(scope="module")
def services() -> Iterator[tuple[GuardedRedis, PostgresServer]]:
    """Servers of this module, which it kills."""
    with GuardedRedis() as queue, PostgresServer() as database:
        yield queue, database


@pytest.fixture
async def left(tmp_path: Path, services: tuple[GuardedRedis, PostgresServer]) -> AsyncIterator[Left]:
    """Run a fleet whose parts fail one after the other."""
    queue, database = services
    name = "hygiene"
    address = database.create_database(name).replace("postgres@", f"postgres:{DATABASE_PASSWORD}@")
    more = {
        "PICTRAWL_LOG__LEVEL": "DEBUG",
        "PICTRAWL_LOG__FILE": str(tmp_path / "file.log"),
        "PICTRAWL_FETCH__CONNECT_TIMEOUT_S": "1",
        "PICTRAWL_RETRY__ATTEMPTS": "2",
        "PICTRAWL_RETRY__BACKOFF_BASE_S": "0.1",
        "PICTRAWL_RETRY__DEFER_MAX_S": "1",
        "PICTRAWL_JOBS__SWEEP_INTERVAL_S": "1",
        "PICTRAWL_JOBS__RETRIES": "1",
        "PICTRAWL_JOBS__RETRY_DELAY_S": "1",
        "AWS_SECRET_ACCESS_KEY": "CANARYaws",
    }
    env = environment(tmp_path, queue.url, address, **more)
    found = Left()
    async with Origin() as origin, deployment(tmp_path, env, workers=1) as client:
        client.headers.update(HEADERS)
        client.event_hooks = {"response": [found.note]}
        await with_failing_urls(client, origin, queue, found)
        await with_bad_requests(client)
        await with_a_key(client, env, tmp_path)
        await without_redis(client, queue, found, origin)
        await without_database(client, database)
        await with_a_bug(client, database, name, origin)
    found.rows = rows_of(database, name)
    for path in ("api.log", "worker.log", "file.log"):
        found.lines[path] = (tmp_path / path).read_text().splitlines()
    yield found
    database.drop_database(name)


async def with_failing_urls(client: httpx.AsyncClient, origin: Origin, queue: GuardedRedis, found: Left) -> None:
    """Run a job whose URLs fail, all but one; then read everything that the API has about it."""
    urls = bad_urls(origin)
    answer = await client.post("/v1/jobs", json={"urls": urls, "name": "canaries"}, headers={"Idempotency-Key": "day-1"})
    assert answer.status_code == 202, answer.text
    found.redis += dumped(queue)
    job = await follow(client, answer.headers["location"])
    dataset = job["dataset_id"]
    for path in ("/v1/jobs", f"/v1/jobs/{job['id']}/events?limit=500", f"/v1/datasets/{dataset}", "/v1/workers", "/v1/queues", "/metrics"):
        await client.get(path, headers={"Accept": "application/json"})
    listed = (await client.get(f"/v1/images?job_id={job['id']}&limit=100")).json()["items"]
    assert len({item["reason"] for item in listed}) > 5, "the ways to fail are many"
    for item in listed:
        await client.get(f"/v1/images/{item['id']}")
        await client.get(f"/v1/images/{item['id']}/attempts")
    found.redis += dumped(queue)


async def with_bad_requests(client: httpx.AsyncClient) -> None:
    """Send invalid requests: the answers must not repeat their values."""
    address = "http://user:CANARYbadrequest@h.test/x?sig=CANARYbadquery"
    for body in ({"urls": [address], "target": "CANARYnumber"}, {"urls": 7, "urls_": address}, {"keywords": []}):
        assert (await client.post("/v1/jobs", json=body)).status_code in (400, 422)
    assert (await client.post("/v1/jobs", content=b'{"urls": ["' + address.encode())).status_code in (400, 415, 422)
    assert (await client.get("/v1/jobs/job_1?token=CANARYquery")).status_code == 404
    assert (await client.get("/v1/jobs?cursor=CANARYcursor")).status_code in (400, 422)


async def with_a_key(client: httpx.AsyncClient, env: dict[str, str], folder: Path) -> None:
    """Create an API key, use it rightly and wrongly, and revoke it, so that later requests need none."""
    made = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.cli", "keys", "create", "canary", "--json"), env=env, cwd=folder, stdout=-1, stderr=-2
    )
    printed = (await made.communicate())[0].decode()
    token, key_id = re.search(r'"token": ?"([^"]+)"', printed), re.search(r'"id": ?"([^"]+)"', printed)
    assert token, printed
    assert key_id, printed
    TOKENS.append(token[1].split("_", 2)[2])  # ptk_<id>_<secret>; the secret may have underscores
    assert (await client.get("/v1/jobs", headers={"Authorization": f"Bearer {token[1]}"})).status_code == 200
    for wrong in (f"Bearer {token[1]}x", "Bearer ptk_CANARYwrongkey", "Basic CANARYbasic", "CANARYscheme"):
        assert (await client.get("/v1/jobs", headers={"Authorization": wrong})).status_code == 401
    gone = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.cli", "keys", "revoke", key_id[1]), env=env, cwd=folder, stdout=-3, stderr=-3
    )
    assert await gone.wait() == 0


TOKENS: list[str] = []
"""Secrets of real API keys, which cannot be chosen."""


async def without_redis(client: httpx.AsyncClient, queue: GuardedRedis, found: Left, origin: Origin) -> None:
    """Kill Redis during a submission and start it again."""
    queue.kill()
    answer = await client.post("/v1/jobs", json={"urls": [f"{origin.url('/404.jpg')}?sig=CANARYoutbox"]})
    assert answer.status_code == 202
    await client.get("/readyz")
    await client.get("/v1/queues")
    queue.start()
    await follow(client, answer.headers["location"])
    found.redis += dumped(queue)


async def without_database(client: httpx.AsyncClient, database: PostgresServer) -> None:
    """Kill PostgreSQL and start it again; meanwhile every answer is a problem document."""
    database.kill()
    refused = await client.post("/v1/jobs", json={"urls": ["http://user:CANARYaway@h.test/a.jpg?sig=CANARYawayquery"]})
    assert refused.status_code in (500, 503)
    for path in ("/readyz", "/v1/jobs", "/v1/images"):
        assert (await client.get(path)).status_code == 503
    database.start()

    async def is_back() -> bool:
        return (await client.get("/readyz")).status_code == 200

    await eventually(is_back)


async def with_a_bug(client: httpx.AsyncClient, database: PostgresServer, name: str, origin: Origin) -> None:
    """Rename a table, which no code expects: 500 in the API and a dead unit in the worker, each for a statement full of URLs."""
    database.run_sql("ALTER TABLE images RENAME COLUMN url_key TO gone", name)
    answer = await client.post("/v1/jobs", json={"urls": [f"{origin.url('/bug.jpg')}?sig=CANARYbug"], "keywords": []})
    if answer.status_code == 202:
        job = await follow(client, answer.headers["location"])
        assert job["status"] == "failed"
        await client.get("/v1/dead")
        await client.get(f"/v1/jobs/{job['id']}/events", headers={"Accept": "application/json"})
    database.run_sql("ALTER TABLE images RENAME TO images_gone", name)
    assert (await client.get("/v1/images")).status_code == 500
    database.run_sql("ALTER TABLE images_gone RENAME TO images", name)


def dumped(queue: GuardedRedis) -> list[str]:
    """All keys and values of Redis."""
    with redis.Redis.from_url(queue.url) as client:
        read = {b"string": client.get, b"hash": client.hgetall, b"zset": lambda key: client.zrange(key, 0, -1, withscores=True)}
        read |= {b"set": client.smembers, b"list": lambda key: client.lrange(key, 0, -1)}
        return [f"{key!r} = {read[client.type(key)](key)!r}" for key in client.scan_iter()]


def rows_of(database: PostgresServer, name: str) -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables."""
    tables = database.run_sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", name).split()
    return {
        table: [json.loads(row) for row in database.run_sql(f'SELECT to_jsonb(t) FROM "{table}" t', name).splitlines()] for table in tables
    }


def found_in(shown: str) -> set[str]:
    """All canaries in a text."""
    return set(CANARY.findall(shown)) | {token for token in TOKENS if token in shown}


def without(value: Any, keys: set[str]) -> Any:
    """A document without these keys."""
    if isinstance(value, dict):
        return {key: without(item, keys) for key, item in value.items() if key not in keys}
    return [without(item, keys) for item in value] if isinstance(value, list) else value


def leaks_in_lines(left: Left) -> dict[str, str]:
    return {canary: f"{path}: {line[:600]}" for path, lines in left.lines.items() for line in lines for canary in found_in(line)}


async def test_no_secret_is_left_anywhere(left: Left) -> None:
    """No secret is in a log line, an error column, an API reply, a key or value of Redis, or a metric label."""
    assert len(left.lines["api.log"]) > 50
    assert len(left.lines["worker.log"]) > 50
    leaks: dict[str, str] = leaks_in_lines(left)
    for table, rows in left.rows.items():
        for row in rows:
            for column, value in row.items():
                if (table, column) not in ROWS_WITH_URLS:
                    leaks |= {canary: f"{table}.{column} = {str(value)[:600]}" for canary in found_in(json.dumps(value))}
    assert any(found_in(str(row["url"])) for row in left.rows["images"]), "the canaries did come in"
    for response in left.replies:
        is_json = response.headers.get("content-type", "").endswith("json") and response.is_success
        shown = json.dumps(without(response.json(), ANSWERS_WITH_URLS)) if is_json else response.text
        where = f"{response.request.method} {response.request.url.path} {response.status_code}"
        leaks |= dict.fromkeys(found_in(f"{response.headers!r} {shown}"), f"{where}: {shown[:600]}")
    assert left.redis
    leaks |= {canary: entry[:600] for entry in left.redis for canary in found_in(entry)}
    assert leaks == {}


DATABASES = [
    "postgresql+asyncpg://user:CANARYrefused@127.0.0.1:{closed}/db",
    "postgresql+asyncpg://user:CANARYrefused@127.0.0.1:{closed}/db?ssl=CANARYquery",
    "postgresql+asyncpg://user:CANARYport@127.0.0.1:port/db",
    "postgresql+asyncpg://user:a/CANARYslash@no-such-host.invalid/db",
    "nosuchdriver://user:CANARYdriver@h.test/db",
    "CANARYnothing",
]
QUEUES = [
    "redis://user:CANARYrefused@127.0.0.1:{closed}/0",
    "rediss://:CANARYtls@127.0.0.1:{closed}/0?a=CANARYparameter",
    "redis://:CANARYport@127.0.0.1:port/0",
    "http://:CANARYscheme@127.0.0.1/0",
]
WRONG = [
    *(("jobs ls", {"PICTRAWL_DB__URL": address}) for address in DATABASES),
    *(("doctor", {"PICTRAWL_QUEUE__BACKEND": "redis", "PICTRAWL_QUEUE__URL": address}) for address in QUEUES),
]


@pytest.mark.parametrize(("command", "wrong"), WRONG)
def test_an_address_that_does_not_work_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, wrong: dict[str, str]
) -> None:
    """Neither message, log nor the traceback of -vv has it."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setenv("PICTRAWL_CONFIG", "")
    for name, value in wrong.items():
        monkeypatch.setenv(name, value.replace("{closed}", str(free_port())))
    try:
        entry.run([*command.split(), "-vv"])
        raised = ""
    except Exception:
        raised = traceback.format_exc()
    configure()
    shown = "".join(capsys.readouterr()) + raised
    assert shown
    assert found_in(shown) == set(), shown


async def test_an_error_of_the_database_hides_its_parameters(any_database: Database) -> None:
    """The parameters are keywords and URLs, and the error's text goes to logs and rows."""
    with pytest.raises(DBAPIError) as caught:
        async with any_database.write() as connection:
            await connection.execute(text("INSERT INTO nowhere VALUES (:value)"), {"value": "CANARYparameter"})
    assert found_in(str(caught.value)) == set()
    assert "nowhere" in str(caught.value)
