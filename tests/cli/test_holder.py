"""The process that works on a workspace, as a command sees it."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from app.cli.failures import UsageError
from app.cli.holder import ASK_AGAIN_S, SILENT_S, HolderWatch, is_silent, open_workspace, overruled, process_settings, say_who_works
from app.cli.options import Cli
from app.db import fleet, tables
from app.db.rows import WorkerRow
from app.resources import Resources, open_resources
from app.settings import Settings, load_settings
from app.workspace import Holder, Workspace
from tests.clocks import FakeTime

JOB = "job_" + "1" * 32


def workspace(settings: Settings, command: str = "serve", **more: Any) -> Workspace:
    """A workspace as a process of this command has it."""
    opened = open_workspace(settings, command, **more)
    assert opened is not None
    return opened


def test_settings_of_a_process_are_those_that_are_not_the_default() -> None:
    """What is in a job, what says where the data are, and what is a secret, is not among them."""
    flags = {
        "fetch.per_host": 16,
        "validate.children": 2,
        "validate.min_width": 99,
        "export.format": "webdataset",
        "storage.url": "memory://",
    }
    assert process_settings(load_settings({})) == {}
    assert process_settings(load_settings(flags)) == {"fetch.per_host": 16, "validate.children": 2}


@pytest.mark.parametrize(
    ("asked", "holder", "expected"),
    [
        ({}, {"fetch.per_host": 4}, []),
        ({"fetch.per_host": 4}, {"fetch.per_host": 4}, []),
        ({"fetch.per_host": 16}, {}, ["fetch.per_host is 2 there, not 16"]),
        ({"fetch.per_host": 2}, {"fetch.per_host": 16}, ["fetch.per_host is 16 there, not 2"]),
        ({"fetch.ports": [], "log.level": "DEBUG"}, {"log.level": "DEBUG"}, ["fetch.ports is [80, 443, 8080, 8443, 8000] there, not []"]),
    ],
)
def test_a_setting_that_the_holder_decides_otherwise_is_named(asked: dict[str, Any], holder: dict[str, Any], expected: list[str]) -> None:
    """With both values; one that nobody chose is the default."""
    assert overruled(asked, holder) == expected


def test_what_a_command_asks_for_and_does_not_get_is_said(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the settings that belong to the process, also where the default was asked for; not of those that are in the job."""
    mine = workspace(load_settings({"workspace.path": settings.workspace.path, "fetch.rate_per_host": 3.0}), "build")
    chosen = load_settings({"workspace.path": settings.workspace.path, "fetch.rate_per_host": 3.0, "validate.min_width": 99})
    holder = Holder(7, "serve", database=mine.me.database, settings={"fetch.per_host": 16})
    say_who_works(Cli(), chosen, mine, holder, ["fetch.per_host", "validate.min_width"])
    said = capsys.readouterr().err
    assert "`pictrawl serve` (process 7) works on this workspace" in said
    assert "fetch.per_host is 16 there, not 2; fetch.rate_per_host is 0.0 there, not 3.0" in said
    assert "min_width" not in said


def test_a_holder_with_other_data_is_refused(settings: Settings) -> None:
    """Its database would never see the job: exit code 5, with both ways out."""
    elsewhere = load_settings({"workspace.path": settings.workspace.path, "storage.url": "memory://"})
    theirs = workspace(elsewhere)
    with pytest.raises(UsageError, match="another database or store") as caught:
        say_who_works(Cli(), settings, workspace(settings, "build"), theirs.me, [])
    assert caught.value.code == 5
    assert "--workspace" in caught.value.hint


@pytest.mark.parametrize(
    ("ages_s", "watched_s", "expected"),
    [
        ([], SILENT_S, False),
        ([], SILENT_S + 1, True),
        ([SILENT_S + 1, 2.0], 100.0, False),
        ([SILENT_S + 1], 0.0, True),
    ],
)
def test_a_holder_is_silent_without_a_recent_heartbeat(ages_s: list[float], watched_s: float, expected: bool) -> None:
    """The newest counts; before the first, the time for which it was watched."""
    assert is_silent(ages_s, watched_s=watched_s) is expected


@pytest.fixture
async def resources(settings: Settings) -> AsyncIterator[Resources]:
    """Of a build that another process is to do."""
    async with open_resources(settings, workspace=workspace(settings, "build")) as opened:
        yield opened
        assert opened.workspace is not None
        opened.workspace.release()


async def beat(resources: Resources, pid: int, *, age_s: float) -> None:
    """A worker's last heartbeat."""
    await fleet.beat(resources.db, WorkerRow(f"wrk_{pid}", "builder", "box", pid, "1", 8, 0, 0.0, 0.0, 0.0))
    async with resources.db.write() as connection:
        await connection.execute(update(tables.workers).values(beat_at=time.time() - age_s))


async def test_a_follower_takes_over_when_the_holder_has_gone(resources: Resources) -> None:
    """Not before; then it holds the workspace itself, and watches nobody."""
    holder = workspace(resources.settings)
    assert holder.take()
    watch = HolderWatch(Cli(), resources, JOB)
    assert not await watch.has_gone()
    holder.release()
    assert await watch.has_gone()
    assert resources.workspace is not None
    assert resources.workspace.is_held
    assert not await watch.has_gone()


async def test_a_follower_reminds_the_holder_of_its_job(resources: Resources, tmp_path: Path) -> None:
    """Every two seconds: the holder may listen only now."""
    clock, heard = FakeTime(), list[str]()
    holder = workspace(resources.settings)
    assert holder.take()
    watch = HolderWatch(Cli(), resources, JOB, clock=clock.clock)
    with holder.listen(heard.append):
        await watch.has_gone()
        clock.now += ASK_AGAIN_S
        await watch.has_gone()
        await watch.has_gone()
        await resources.db.now()  # a turn of the event loop, in which the pipe is read
    assert heard == [JOB]
    holder.release()


async def test_a_silent_holder_is_named_once(resources: Resources, capsys: pytest.CaptureFixture[str]) -> None:
    """A stopped process keeps the lock: the follower says what to do, and waits."""
    clock = FakeTime()
    holder = workspace(resources.settings)
    assert holder.take()
    pid = holder.me.pid
    watch = HolderWatch(Cli(), resources, JOB, clock=clock.clock)
    await beat(resources, pid, age_s=1.0)
    clock.now += ASK_AGAIN_S
    assert not await watch.has_gone()
    assert "no sign of life" not in capsys.readouterr().err
    await beat(resources, pid, age_s=SILENT_S + 5)
    for _ in range(3):
        clock.now += ASK_AGAIN_S
        assert not await watch.has_gone()
    said = capsys.readouterr().err
    assert said.count("gives no sign of life") == 1
    assert f"kill -CONT {pid}" in said
    holder.release()


async def test_a_fleet_has_no_holder(resources: Resources) -> None:
    """There is no lock to take."""
    of_fleet = Resources(resources.settings, resources.db, resources.store, resources.queue)
    assert not await HolderWatch(Cli(), of_fleet, JOB).has_gone()
    assert open_workspace(load_settings({"queue.backend": "redis"}), "build") is None
