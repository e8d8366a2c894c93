"""Real processes with a broken standard error: they work to the end, and exit with their usual codes."""

import asyncio
import fcntl
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.images.samples import encode, photo
from tests.integration.test_job_processing import ROOT, follow
from tests.origin import Origin, image
from tests.services import free_port
from tests.workers.proof import eventually


@asynccontextmanager
async def embedded(folder: Path, stderr: int) -> AsyncIterator[tuple[httpx.AsyncClient, "asyncio.subprocess.Process"]]:
    """API and worker in one process on a workspace, with this descriptor as standard error."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PICTRAWL_")}
    env = clean | {"PICTRAWL_LOG__LEVEL": "DEBUG", "PICTRAWL_FETCH__ALLOW_NETWORKS": '["127.0.0.0/8"]', "PICTRAWL_FETCH__PORTS": "[]"}
    env |= {"PYTHONPATH": str(ROOT), "PICTRAWL_VALIDATE__CHILDREN": "1", "PICTRAWL_LOG__FILE": str(folder / "file.log")}
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.cli", "serve", "--port", str(port)), cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=stderr
    )
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        await eventually(lambda: is_ready(client), 300)
        try:
            yield client, process
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def is_ready(client: httpx.AsyncClient) -> bool:
    """Whether the API answers."""
    try:
        return (await client.get("/readyz")).status_code == 200
    except httpx.TransportError:
        return False


def stderr_of_kind(kind: str) -> tuple[int, list[int]]:
    """A descriptor for standard error, and all descriptors to close at the end."""
    if kind == "full disk":
        full = os.open("/dev/full", os.O_WRONLY)
        return full, [full]
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    if kind == "reader gone":
        os.close(read)
        return write, [write]
    return write, [read, write]


@pytest.mark.parametrize("kind", ["full disk", "reader gone", "nobody reads"])
async def test_a_broken_standard_error_costs_lines_and_no_work(tmp_path: Path, kind: str) -> None:
    """API, worker and decoder finish and exit as usual; the lost lines are counted, and the log file has them all."""
    stderr, opened = stderr_of_kind(kind)
    async with Origin() as origin:
        for number in range(5):
            origin.script(f"/{number}.jpg", image(encode(photo(seed=number + 1))))
        async with embedded(tmp_path, stderr) as (client, process):
            for _ in range(60):  # a line each: more than the pipe holds
                await client.get("/v1/queues")
            answer = await client.post("/v1/jobs", json={"urls": [origin.url(f"/{number}.jpg") for number in range(5)]})
            job = await follow(client, answer.headers["location"])
            metrics = (await client.get("/metrics")).text
            if kind == "nobody reads":
                os.read(opened[0], 1 << 20)  # the command writes its last line there, not through the log
    for descriptor in opened:
        os.close(descriptor)
    assert (job["status"], job["progress"]["kept"]) == ("succeeded", 5)
    assert process.returncode == 0
    dropped = re.search(r"^pictrawl_log_lines_dropped\S* (\S+)$", metrics, re.MULTILINE)
    assert dropped
    assert float(dropped[1]) > 10
    events = {json.loads(row)["event"] for row in (tmp_path / "file.log").read_text().splitlines()}
    assert {"worker.started", "chunk.fetched", "export.verified", "worker.stopped", "serve.stopped"} <= events


@pytest.mark.parametrize("kind", ["full disk", "reader gone"])
def test_a_command_with_a_broken_standard_error_keeps_its_exit_code(tmp_path: Path, kind: str) -> None:
    """The exit code is that of the command."""
    stderr, opened = stderr_of_kind(kind)
    env = {key: value for key, value in os.environ.items() if not key.startswith("PICTRAWL_")} | {"PYTHONPATH": str(ROOT)}
    (tmp_path / "list.txt").write_text("http://127.0.0.1:1/a.jpg\n")
    command = [sys.executable, "-m", "app.cli", "build", "-vv", "--urls", "list.txt", "--json"]
    expected = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, timeout=300, check=False)
    done = subprocess.run(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=stderr, timeout=300, check=False)
    for descriptor in opened:
        os.close(descriptor)
    assert done.returncode == expected.returncode, (expected.stderr, done.stdout)
    assert bool(done.stdout) == bool(expected.stdout)
