"""Tests of app.workspace: one process holds a folder, the others know which, and tell it of their jobs."""

import asyncio
import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import errors
from app.workspace import Holder, Workspace, parse_holder

JOB, OTHER = "job_" + "1" * 32, "job_" + "2" * 32


def build(folder: Path, pid: int = 11) -> Workspace:
    """A workspace as a build sees it, that works on the jobs that are asked for."""
    return Workspace(folder, Holder(pid, "build", "1.0", frozenset(), "abc", {"fetch.per_host": 4}))


def serve(folder: Path) -> Workspace:
    """A workspace as a server sees it, that works on every job."""
    return Workspace(folder, Holder(22, "serve"))


def test_one_process_holds_a_workspace_until_it_releases_it(tmp_path: Path) -> None:
    """The second is refused; taking twice changes nothing; the folder is made."""
    first, second = build(tmp_path / "new"), serve(tmp_path / "new")
    assert first.find_holder() is None
    assert (first.take(), first.take(), second.take()) == (True, True, False)
    assert (first.is_held, second.is_held) == (True, False)
    first.release()
    first.release()
    assert first.find_holder() is None
    assert second.take()
    second.release()


def test_the_holder_is_found_as_it_described_itself(tmp_path: Path) -> None:
    """By itself and by others; itself is no other process."""
    first, second = build(tmp_path), serve(tmp_path)
    assert first.take()
    first.request(JOB)
    wanted = Holder(11, "build", "1.0", frozenset({JOB}), "abc", {"fetch.per_host": 4})
    assert first.find_holder() == second.find_holder() == second.find_other() == wanted
    assert first.find_other() is None
    first.release()


def test_a_folder_that_cannot_be_made_is_a_wrong_setting(tmp_path: Path) -> None:
    """With the reason; looking there finds nobody."""
    (tmp_path / "file").touch()
    workspace = build(tmp_path / "file" / "ws")
    with pytest.raises(errors.ConfigurationError, match="ws cannot be made: Not a directory"):
        workspace.take()
    assert workspace.find_holder() is None


def test_a_shorter_description_leaves_nothing_of_the_longer_one(tmp_path: Path) -> None:
    """The file is cut to the line; what a killed process left is overwritten."""
    (tmp_path / "lock").write_text("7 " + "x" * 5000)
    first = serve(tmp_path)
    assert first.find_holder() is None
    assert first.take()
    assert first.find_holder() == Holder(22, "serve")
    first.release()


def test_a_look_does_not_keep_others_from_taking(tmp_path: Path) -> None:
    """Who only looks holds the lock shared for a moment; the taker waits that moment out."""
    taker = build(tmp_path)
    (tmp_path / "lock").touch()
    looking = os.open(tmp_path / "lock", os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    thread = threading.Thread(target=taker.take)
    thread.start()
    os.close(looking)
    thread.join(10)
    assert taker.is_held
    taker.release()


@pytest.mark.parametrize("text", ["", "not json", "{}", '{"pid": 1}', "[1]", "null", "-1 build", "\x00\xff"])
def test_a_description_that_cannot_be_read_is_another_process(text: str) -> None:
    """Nothing is known of it; it is taken for one that works on everything."""
    holder = parse_holder(text)
    assert (str(holder), holder.is_service, holder.works_on(JOB)) == ("another process", True, True)


def test_the_description_of_an_older_version_is_read() -> None:
    """Process and command; those versions worked on every job."""
    holder = parse_holder("123 datasets export\n")
    assert (holder.pid, str(holder), holder.works_on(JOB)) == (123, "`pictrawl datasets export` (process 123)", True)


def test_the_description_of_a_newer_version_is_read() -> None:
    """Keys that this version does not know are left out."""
    text = '{"pid": 5, "command": "serve", "version": "9", "database": "", "settings": {}, "job_ids": null, "colour": "red"}\nrest'
    assert parse_holder(text) == Holder(5, "serve", "9")


def test_jobs_to_dispatch_are_the_holders_alone(tmp_path: Path) -> None:
    """None before it holds the workspace; a build's are those that were asked for, a server's are all."""
    mine, service = build(tmp_path), serve(tmp_path)
    mine.request(JOB)
    assert (mine.job_ids, service.job_ids) == (frozenset(), frozenset())
    assert mine.take()
    mine.request(JOB)
    assert mine.job_ids == {JOB}
    mine.release()
    assert service.take()
    service.request(JOB)
    assert service.job_ids is None
    service.release()


async def test_the_holder_hears_of_jobs_that_others_ask_for(tmp_path: Path) -> None:
    """Each once for each time, whatever else is written into the pipe."""
    holder, other = build(tmp_path), serve(tmp_path)
    assert holder.take()
    heard: asyncio.Queue[str] = asyncio.Queue()
    with holder.listen(heard.put_nowait):
        other.request(JOB, OTHER)
        assert [await asyncio.wait_for(heard.get(), 10) for _ in range(2)] == [JOB, OTHER]
        with (tmp_path / "wake").open("wb", buffering=0) as pipe:
            pipe.write(b"job_x\n\xff\n" + JOB.encode() + b"\n")
        assert await asyncio.wait_for(heard.get(), 10) == JOB
        assert (tmp_path / "wake").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "wake").exists()
    holder.release()


async def test_a_request_that_nobody_hears_is_no_error(tmp_path: Path) -> None:
    """No pipe, a pipe without a reader, a full pipe, a file in its place, which stays as it is."""
    other = serve(tmp_path / "none")
    other.request(JOB)
    other = serve(tmp_path)
    os.mkfifo(tmp_path / "wake")
    other.request(JOB)
    (tmp_path / "wake").unlink()
    (tmp_path / "wake").write_text("mine")
    other.request(JOB)
    assert (tmp_path / "wake").read_text() == "mine"
    (tmp_path / "wake").unlink()
    holder = build(tmp_path)
    assert holder.take()
    with holder.listen(lambda _: None):
        other.request(*[JOB] * 5000)  # more than the pipe holds
    holder.release()


def test_the_workspace_of_a_killed_process_is_free(tmp_path: Path) -> None:
    """The kernel releases the lock; what the file still says is of no account."""
    code = (
        "import sys, time; from pathlib import Path; from app.workspace import *\n"
        f"assert Workspace(Path({str(tmp_path)!r}), Holder(1, 'build')).take(); print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    mine = build(tmp_path)
    assert (mine.take(), mine.find_holder()) == (False, Holder(1, "build"))
    process.kill()
    process.communicate()
    assert "build" in (tmp_path / "lock").read_text()
    assert mine.find_holder() is None
    assert mine.take()
    mine.release()


URL = "http://127.0.0.1:8080"


def test_the_server_of_a_workspace_is_found_while_it_serves(tmp_path: Path) -> None:
    """By every process, whoever works; of two servers the first; afterwards there is none."""
    other = build(tmp_path)
    assert other.find_url() is None
    with serve(tmp_path).serving(URL):
        assert other.find_url() == URL
        with other.serving("http://127.0.0.1:9999"):
            assert other.find_url() == URL
        assert other.find_url() == URL
    assert other.find_url() is None
    with other.serving("http://[::1]:80"):
        assert serve(tmp_path).find_url() == "http://[::1]:80"


def test_the_record_of_a_dead_server_is_passed_over(tmp_path: Path) -> None:
    """The kernel released its lock; what the file still says is of no account, and the next server takes its place."""
    (tmp_path / "server").write_text("http://127.0.0.1:65000")
    assert build(tmp_path).find_url() is None
    with serve(tmp_path).serving(URL):
        assert build(tmp_path).find_url() == URL


@pytest.mark.parametrize(
    "text", ["", "javascript:alert(1)", "http://a\x1b[2J", "http://user@host", "http://127.0.0.1:8080/\nhttp://evil", "é"]
)
def test_a_record_that_is_no_address_is_passed_over(tmp_path: Path, text: str) -> None:
    """It ends on a terminal."""
    with serve(tmp_path).serving(URL):
        (tmp_path / "server").write_text(text)
        assert build(tmp_path).find_url() is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to another user")
def test_what_another_user_recorded_is_passed_over(tmp_path: Path) -> None:
    """The folder may be shared; the address would be theirs."""
    with serve(tmp_path).serving(URL):
        os.chown(tmp_path / "server", 12345, 12345)
        assert build(tmp_path).find_url() is None


def test_a_folder_that_cannot_be_written_records_no_server(tmp_path: Path) -> None:
    """The server runs all the same: another user's folder, none at all, or a link or a pipe in its place."""
    with serve(tmp_path / "nowhere").serving(URL):
        assert build(tmp_path / "nowhere").find_url() is None
    (tmp_path / "server").symlink_to(tmp_path / "elsewhere")
    with serve(tmp_path).serving(URL):
        assert build(tmp_path).find_url() is None
    assert not (tmp_path / "elsewhere").exists()
    (tmp_path / "server").unlink()
    os.mkfifo(tmp_path / "server")
    assert build(tmp_path).find_url() is None
