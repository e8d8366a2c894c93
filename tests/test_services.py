"""The real servers that tests run against start, die and come back as promised, and their absence is never silent."""

import os
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.conftest import children
from tests.services import PostgresServer, RedisServer

ROOT = Path(__file__).parent.parent


@pytest.mark.services("redis")
async def test_redis_forgets_everything_when_it_is_killed() -> None:
    """The worst that can happen to the queue."""
    with RedisServer() as server:
        assert await _set_and_kill(server) is None


@pytest.mark.services("redis")
async def test_redis_keeps_everything_where_it_is_told_to() -> None:
    """As in docker-compose.yml."""
    with RedisServer(keep=True) as server:
        assert await _set_and_kill(server) == b"1"


async def _set_and_kill(server: RedisServer) -> bytes | None:
    async with Redis.from_url(server.url) as client:
        await client.set("key", "1")
        server.kill()
        with pytest.raises(RedisConnectionError):
            await client.get("key")
        server.start()
        return await client.get("key")


async def test_redis_is_empty_for_each_test(redis_url: str) -> None:
    """One server serves the session."""
    async with Redis.from_url(redis_url) as client:
        assert await client.dbsize() == 0


@pytest.mark.services("postgresql")
async def test_postgres_keeps_what_was_committed_when_it_is_killed() -> None:
    """On the same port, with the same rows."""
    with PostgresServer() as server:
        server.run_sql("CREATE TABLE t AS SELECT 7 AS n")
        server.kill()
        assert server.pid is None
        server.start()
        connection = await asyncpg.connect(server.url().replace("+asyncpg", ""))
        try:
            assert await connection.fetchval("SELECT n FROM t") == 7
        finally:
            await connection.close()


async def test_postgres_databases_are_each_tests_own(postgres_url: str) -> None:
    """Nothing is in it yet."""
    connection = await asyncpg.connect(postgres_url.replace("+asyncpg", ""))
    try:
        assert await connection.fetchval("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == 0
    finally:
        await connection.close()


@pytest.mark.parametrize(("required", "outcome"), [("", "1 skipped"), ("1", "1 error")])
def test_a_missing_package_is_named(required: str, outcome: str) -> None:
    """Skipped with what to install; where services are required, not even that."""
    environment = os.environ | {"PATH": "/nowhere", "PICTRAWL_TEST_REQUIRE_SERVICES": required}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"{__file__}::test_redis_is_empty_for_each_test"]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert outcome in result.stdout
    assert "needs redis-server: apt-get install redis-server" in result.stdout
    assert (result.returncode == 0) == (not required)


def test_children_are_seen_while_they_live() -> None:
    """The guard of every test looks here."""
    before = children()
    with subprocess.Popen(["sleep", "30"]) as process:
        assert children() - before == {process.pid}
        process.kill()
    assert children() == before
