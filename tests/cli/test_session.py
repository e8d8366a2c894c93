"""What a command runs in: no workspace where it only reads, one process in a workspace, signals."""

import json
import signal
from pathlib import Path

import pytest

from app.cli.demo.origin import drip, reply
from tests.cli.conftest import LOOPBACK, OPEN, SLOWLY, Invoke, Site, Spawn, wait_for_hits


def test_reading_makes_no_workspace(invoke: Invoke) -> None:
    """Commands that only look refuse where there is nothing, and leave nothing behind."""
    looks = ["jobs ls", "images ls", "datasets ls", "explain job_x", "db current", "keys ls"]
    for command in [*looks, "datasets verify ds_x", "datasets export ds_x -o x"]:
        result = invoke(*command.split())
        assert result.code == 2, command
        assert "no workspace" in result.err
    assert list(Path.cwd().iterdir()) == []


def test_second_signal_ends_at_once(slow_gallery: Site, spawn: Spawn) -> None:
    """The second Ctrl-C does not wait for downloads, and names the command that continues."""
    slow_gallery.add("/slow.jpg", drip(b"\xff\xd8\xff" + b"x" * 100, seconds=30))
    Path("slow.txt").write_text(slow_gallery.urls[-1] + "\n")
    process = spawn("build", "--urls", "slow.txt", *SLOWLY)
    wait_for_hits(slow_gallery, 1)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while "stopping" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=15)  # the drain alone would take 20 s
    assert process.returncode == 130
    assert "to continue                   pictrawl resume job_" in err
    assert "pictrawl finish job_" in err


def test_of_two_builds_in_one_workspace_the_second_follows_and_finishes_alone(
    site: Site, bodies: list[bytes], spawn: Spawn, invoke: Invoke
) -> None:
    """The first one's process works on both jobs; when it is stopped, the second continues with its own job and leaves the other alone."""
    Path("endless.txt").write_text(site.origin.script("/endless.jpg", drip(bodies[0], seconds=300)))
    site.add("/late.jpg", drip(bodies[1], seconds=300), reply(body=bodies[1]))  # slow for the first process, quick for the second
    first = spawn("build", "--urls", "endless.txt", "--set", "jobs.drain_s=0.5", *SLOWLY)
    wait_for_hits(site, 1, "/endless.jpg")
    second = spawn("build", "--urls", site.write_list(Path("list.txt")), "--json", "--set", "fetch.per_host=16", *OPEN)
    wait_for_hits(site, 1, "/late.jpg")
    shown = {job["dataset_id"]: job["waiting_for"] for job in invoke("jobs", "ls", "--json").json["items"]}
    assert list(shown.values()) == [None, None]
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=60)
    out, err = second.communicate(timeout=120)
    assert (first.returncode, second.returncode) == (130, 0), err
    assert f"`pictrawl build` (process {first.pid})" in err
    assert "fetch.per_host is 4 there, not 16" in err
    assert "this command continues the job" in err
    assert json.loads(out)["funnel"]["kept"] == 1
    listed = invoke("jobs", "ls", "--json").json["items"]
    assert [(job["status"] == "succeeded", job["waiting_for"]) for job in listed] == [(True, None), (False, "a worker")]
    assert "waits for a worker" in invoke("jobs", "ls").out


@pytest.mark.parametrize(
    ("options", "has_text", "has_ids", "has_json"),
    [
        ((), True, False, False),
        (("-v",), True, True, False),
        (("-q",), False, False, False),
        (("--set", "log.format=json"), False, False, True),
    ],
)
def test_a_pipe_gets_either_text_or_json(
    site: Site, bodies: list[bytes], spawn: Spawn, options: tuple[str, ...], has_text: bool, has_ids: bool, has_json: bool
) -> None:
    """A retry is one short line beside the progress; -v adds the ids, -q hides both, and lines of JSON have no text between them."""
    site.add("/a.jpg", reply(503), reply(body=bodies[0]))
    process = spawn(*options, "build", "--urls", site.write_list(Path("list.txt")), *LOOPBACK, "--set", "retry.backoff_base_s=0.1")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    lines = err.splitlines()
    assert [line.startswith("{") for line in lines] == [has_json] * len(lines)
    assert any("download.retry" in line for line in lines) is (has_text or has_json)
    assert any("1 valid" in line for line in lines) is has_text
    if has_text:
        assert any("job_id=" in line for line in lines) is has_ids
    assert ("1 URL retried" in out) is (options != ("-q",))
