"""``serve`` and ``worker``: processes that stay until told to go, and a fleet on a real Redis."""

import json
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path

from app.cli.demo.origin import reply
from tests.cli.conftest import LOOPBACK, OPEN, PICTURES, Invoke, Site
from tests.figures import parsed

Spawn = Callable[..., "subprocess.Popen[str]"]


def end(process: "subprocess.Popen[str]") -> int:
    """Ask it to go; return its exit code."""
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    return process.returncode


def test_serve_answers_works_and_goes_on_sigterm(site: Site, bodies: list[bytes], spawn: Spawn, invoke: Invoke) -> None:
    """One JSON document when it listens; a detached build is carried out by it; a second worker in the workspace is refused."""
    site.add("/a.jpg", reply(body=bodies[0]))
    process = spawn("serve", "--port", "0", "--json", *OPEN)
    assert process.stdout is not None
    url = json.loads(process.stdout.readline())["url"]
    with urllib.request.urlopen(f"{url}/v1/jobs", timeout=10) as answer:
        assert answer.status == 200
    made = invoke("build", "--urls", site.write_list(Path("list.txt")), "--detach", "-q", *LOOPBACK)
    assert made.err == ""
    refused = invoke("worker", "all")
    assert refused.code == 5
    assert "--detach" in refused.err
    watched = invoke("jobs", "watch", made.out.strip(), "--json")
    assert watched.json["funnel"]["kept"] == 1
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        samples = parsed(answer.read().decode())
    assert samples["pictrawl_downloads_total", ("ok", "none")] == samples["pictrawl_images_validated_total", ("valid",)] == 1
    assert samples["pictrawl_worker_slots", ("validator",)] == samples["pictrawl_queue_slots", ("validator",)] == 4
    assert end(process) == 0


def test_serve_on_a_port_in_use_is_6(invoke: Invoke) -> None:
    """And says which."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = invoke("serve", "--port", port, "--no-worker")
    assert result.code == 6
    assert str(port) in result.err


def test_worker_runs_until_sigterm(spawn: Spawn) -> None:
    """On the embedded default ``worker all`` is a process that works at what is handed in."""
    process = spawn("worker", "all", "--set", "log.format=json")
    assert process.stderr is not None
    assert json.loads(next(process.stderr))["event"] == "worker.started"
    assert end(process) == 0


def test_a_worker_whose_port_for_scrapes_is_taken_works_all_the_same(spawn: Spawn) -> None:
    """It says so, and what to do; then it waits for work as ever."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = spawn("worker", "all", "--set", f"metrics.port={taken.getsockname()[1]}", "--set", "log.format=json")
        assert process.stderr is not None
        lines = [json.loads(next(process.stderr)) for _ in range(2)]
        assert {line["event"] for line in lines} == {"worker.started", "metrics.not_listening"}
        assert end(process) == 0


def test_build_on_redis_is_done_by_workers_elsewhere(gallery: Site, spawn: Spawn, invoke: Invoke, redis_url: str) -> None:
    """The command only submits, watches and delivers; without a worker it warns and can be left with Ctrl-C."""
    redis = ["--set", "queue.backend=redis", "--set", f"queue.url={redis_url}"]
    path = gallery.write_list(Path("list.txt"))
    waiting = spawn("build", "--urls", path, "-o", "left", *redis, *LOOPBACK)
    assert waiting.stderr is not None
    while "no worker is alive" not in (line := waiting.stderr.readline()):
        assert line, "the build ended before it warned"
    waiting.send_signal(signal.SIGINT)
    waiting.communicate(timeout=30)
    assert waiting.returncode == 130
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    workers = [spawn("worker", kind, *redis, *OPEN, **quiet) for kind in ("builder", "validator")]
    try:
        done = invoke("build", "--urls", path, "--json", *redis, *LOOPBACK)
        assert done.code == 0, done.err
        assert done.json["funnel"]["kept"] == PICTURES
        assert Path("datasets/list/manifest.json").is_file()
        assert invoke("resume", *redis, *OPEN).code == 0
        assert Path("left/manifest.json").is_file()
        doctor = invoke("doctor", "--only", "database", *redis)
        assert "2 workers alive" in doctor.out
    finally:
        codes = [end(worker) for worker in workers]
    assert codes == [0, 0]


def test_build_without_redis_leaves_nothing_behind(invoke: Invoke) -> None:
    """Redis is asked before a folder is made: exit code 5."""
    Path("list.txt").write_text("http://127.0.0.1:1/a.jpg\n")
    result = invoke("build", "--urls", "list.txt", "--set", "queue.backend=redis", "--set", "queue.url=redis://127.0.0.1:1/0")
    assert result.code == 5
    assert "doctor --only queue" in result.err
    assert [path.name for path in Path.cwd().iterdir()] == ["list.txt"]
