"""``pictrawl worker``."""

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import (
    Invoke,
    Spawn,
)


def test_worker_check_asks_for_a_sign_of_life(invoke: Invoke, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """0 where the heartbeat is fresh, 5 where it is not."""
    monkeypatch.setattr("workers.health.FOLDER", tmp_path)
    assert invoke("worker", "--check").code == 5
    (tmp_path / str(os.getpid())).touch()
    assert invoke("worker", "all", "--check").code == 0


def test_worker_of_one_kind_alone_is_refused_when_embedded(invoke: Invoke) -> None:
    """It would never see a job."""
    assert "would never see" in invoke("worker", "builder").err


def end(process: "subprocess.Popen[str]") -> int:
    """Ask it to go; return its exit code."""
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    return process.returncode


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
