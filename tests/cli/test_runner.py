"""What a command opens to work on a job; builds that a fleet on a real Redis carries out."""

import signal
import subprocess
from pathlib import Path

import pytest

from app.cli.options import Cli
from app.cli.runner import JobRunner, open_runner
from app.cli.session import Interrupts
from app.job_states import NO_WORKER
from app.resources import open_resources
from app.settings import Settings, load_settings
from app.workspace import Holder, Workspace
from tests.cli.conftest import (
    OPEN,
    PICTURES,
    Invoke,
    Site,
    Spawn,
)
from tests.cli.test_progress import a_job, a_snapshot


def end(process: "subprocess.Popen[str]") -> int:
    """Ask it to go; return its exit code."""
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    return process.returncode


def test_build_on_redis_is_done_by_workers_elsewhere(gallery: Site, spawn: Spawn, invoke: Invoke, redis_url: str) -> None:
    """The command only submits, watches and delivers; without a worker it warns and can be left with Ctrl-C."""
    redis = ["--set", "queue.backend=redis", "--set", f"queue.url={redis_url}"]
    path = gallery.write_list(Path("list.txt"))
    waiting = spawn("build", "--urls", path, "-o", "left", *redis)
    assert waiting.stderr is not None
    while "no worker is alive" not in (line := waiting.stderr.readline()):
        assert line, "the build ended before it warned"
    waiting.send_signal(signal.SIGINT)
    waiting.communicate(timeout=30)
    assert waiting.returncode == 130
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    workers = [spawn("worker", kind, *redis, *OPEN, **quiet) for kind in ("builder", "validator")]
    try:
        done = invoke("build", "--urls", path, "--json", *redis)
        assert done.code == 0, done.err
        assert done.json["funnel"]["kept"] == PICTURES
        assert Path("datasets/list/manifest.json").is_file()
        assert invoke("resume", *redis).code == 0
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


@pytest.mark.parametrize(
    ("proxy", "said"), [("http://127.0.0.1:1", True), ("socks5h://127.0.0.1:1", True), ("socks5://127.0.0.1:1", False)]
)
async def test_a_run_says_at_its_start_what_the_address_guard_does_not_see(
    proxy: str, said: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where a proxy resolves the names."""
    async with open_runner(Cli(), load_settings({"fetch.proxy": proxy}), "build"):
        pass
    assert ("the proxy resolves the names" in capsys.readouterr().err) == said


async def test_leaving_a_job_says_who_goes_on_with_it(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    """A server until it is stopped, a command until its own job has ended; and how to end the job instead."""
    mine = Workspace(settings.workspace.path, Holder(1, "build", job_ids=frozenset()))
    async with open_resources(settings, workspace=mine) as resources:
        runner = JobRunner(Cli(), settings, resources, Interrupts(), job_id="job_1")
        for job_ids, words in ((None, "`pictrawl x` (process 7) continues it\n"), (frozenset[str](), "until its own job has ended\n")):
            other = Workspace(settings.workspace.path, Holder(7, "x", job_ids=job_ids))
            assert other.take()
            runner.say_stopping()
            other.release()
            said = capsys.readouterr().err
            assert words in said
            assert "pictrawl finish job_1" in said
            assert "pictrawl jobs cancel job_1" in said


@pytest.mark.parametrize(
    ("waiting_for", "words"), [(None, "the fleet's workers continue it\n"), (NO_WORKER, "it continues when a worker starts\n")]
)
async def test_leaving_a_job_of_a_fleet_says_whether_a_worker_is_there(
    waiting_for: str | None, words: str, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the last snapshot of the job had it."""
    async with open_resources(settings) as resources:
        runner = JobRunner(Cli(), settings, resources, Interrupts(), last=a_snapshot(0, a_job(waiting_for=waiting_for)))
        runner.say_stopping()
    assert f"stopping to follow the job; {words.strip()}" in capsys.readouterr().err
