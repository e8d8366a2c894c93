import asyncio
import socket
from collections.abc import AsyncIterator

import httpx
import pytest

import errors
from app.db import api_keys, events
from app.jobs import submit
from app.jobs.event_log import recording
from app.resources import Resources
from app.spec import JobSpec
from app.web import serve
from tests.web import seeds
from tests.web.sockets import served


async def test_serve_answers_until_it_is_stopped(resources: Resources) -> None:
    """A free port, no Server header, exit code 0."""
    async with served(resources) as client:
        answer = await client.get("/healthz")
        assert answer.json()["status"] == "ok"
        assert "server" not in answer.headers
        base_url = client.base_url
    async with httpx.AsyncClient(base_url=base_url) as late:
        with pytest.raises(httpx.ConnectError):
            await late.get("/healthz")


async def test_serve_writes_what_a_request_does_into_the_jobs_life(resources: Resources) -> None:
    """`job.accepted` is the first line of a job, with the request that made it."""
    async with served(resources) as client:
        made = await client.post("/v1/jobs", json={"urls": ["http://origin.example/a.jpg"]}, headers={"X-Request-ID": "trace-9"})
        await client.get(made.headers["location"])
    lines = await events.after(resources.db, made.json()["id"])
    assert [(line.event, line.data["request_id"]) for line in lines] == [("job.accepted", "trace-9")]


async def test_serve_leaves_when_its_caller_is_cancelled(resources: Resources) -> None:
    """No task and no port stays behind."""
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(resources, "127.0.0.1", 0, started=port.set_result))
    await port
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection("127.0.0.1", port.result())


async def test_serve_refuses_to_be_reached_without_a_key(resources: Resources) -> None:
    """The message names the way out; with a key in force it serves, and asks for it."""
    with pytest.raises(errors.ConfigurationError, match="pictrawl keys create"):
        await serve(resources, "0.0.0.0", 0)
    key = await seeds.key_of(resources, "ann")
    stop = asyncio.Event()
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(resources, "0.0.0.0", 0, stop=stop, started=port.set_result))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{await port}") as client:
        assert (await client.get("/v1/jobs", headers={"Authorization": key})).status_code == 200
        await api_keys.revoke_key(resources.db, (await api_keys.list_keys(resources.db))[0].id)
        assert (await client.get("/v1/jobs")).status_code == 401
    stop.set()
    assert await serving == 0


async def test_serve_raises_where_the_port_is_taken(resources: Resources) -> None:
    """uvicorn alone would end the process."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(OSError, match="in use"):
            await serve(resources, "127.0.0.1", taken.getsockname()[1])


async def test_serve_refuses_a_host_that_is_no_address(resources: Resources) -> None:
    """A configuration error, in words."""
    await seeds.key_of(resources, "ann")
    with pytest.raises(errors.ConfigurationError, match="no address"):
        await serve(resources, "no such host", 0)


async def test_serve_closes_the_connection_after_an_answer_that_broke(resources: Resources) -> None:
    """A download that cannot go on must not look whole."""
    job = await seeds.build(resources)
    export_id = await seeds.export(resources, job, {"big.tar": b"x" * 9_000_000})
    path = resources.store.local_path(f"exports/{export_id}/big.tar")
    assert path is not None
    async with served(resources) as client:
        async with client.stream("GET", f"/v1/exports/{export_id}/files/big.tar") as response:
            assert response.headers["content-length"] == "9000000"
            parts = response.aiter_bytes()
            await anext(parts)
            path.unlink()
            with pytest.raises(httpx.RemoteProtocolError):
                await drain(parts)


async def drain(parts: AsyncIterator[bytes]) -> None:
    async for _ in parts:
        pass


async def test_submissions_of_this_process_and_of_the_api_share_one_journal(resources: Resources) -> None:
    """Beside workers in one process nothing is written twice."""
    async with recording(resources.db), served(resources):
        made = await submit.submit_build(resources, JobSpec(url_list=seeds.LIST), name="x")
    assert [line.event for line in await events.after(resources.db, made.job_id)] == ["job.accepted"]
