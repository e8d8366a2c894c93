"""Snapshots of a job as bars and as lines, and the forecast behind them."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from app.cli.follow import Snapshot
from app.cli.options import Cli
from app.cli.progress import LiveDisplay, LogStream, NoDisplay, PlainDisplay
from app.db.deferred import DeferredHost
from app.db.funnel import Funnel, SourceCount
from app.db.rows import Job
from app.domain import ImageState, Reason
from app.formatting import when
from app.job_states import JobKind, JobState
from downloader import HostSnapshot

NOW = 1_700_000_000.0


def a_job(state: JobState = JobState.RUNNING, target: int | None = 500, **more: object) -> Job:
    """A job that runs since a minute ago."""
    values = dict.fromkeys(("stage", "shortfall", "error", "waiting_for", "request_id", "started_at", "finished_at")) | {
        "id": "job_x", "user_id": "local", "dataset_id": "ds_x", "kind": JobKind.BUILD, "state": state, "desired_state": JobState.RUNNING,
        "spec": {}, "target": target, "min_images": 0, "priority": 0, "open_units": 1, "rounds": 0, "created_at": NOW - 60,
    }  # fmt: skip
    return Job(**(values | more))  # type: ignore[arg-type]


def a_snapshot(valid: int, job: Job | None = None, at: float = 0.0, hosts: tuple[HostSnapshot, ...] = ()) -> Snapshot:
    """So many valid images, a few failed, a few to come."""
    counts = (
        SourceCount("wikimedia", ImageState.VALID, None, valid),
        SourceCount("wikimedia", ImageState.FAILED, Reason.HTTP_404, 17),
        SourceCount("list", ImageState.REJECTED, Reason.TOO_SMALL, 41),
        SourceCount("list", ImageState.PENDING, None, 1204),
    )
    return Snapshot(job or a_job(), Funnel(counts), hosts, at=at, now=NOW)


def drawn(screen: LiveDisplay, snapshot: Snapshot) -> list[str]:
    """A display as lines of text."""
    console = Console(file=io.StringIO(), width=80, force_terminal=False)
    with console.capture() as capture:
        console.print(screen.render(snapshot))
    return capture.get().splitlines()


def test_a_build_that_stands_still_names_the_hosts_that_it_waits_for(capsys: pytest.CaptureFixture[str]) -> None:
    """Such as one that accepts connections and never replies: for whom, for how long, and how to end it. Not while outcomes come."""
    requests = {"silent.example": (1, 2), "slow.example": (1, 0), "done.example": (0, 0)}
    hosts = tuple(HostSnapshot(host, in_flight, waiting, 0.0, 1) for host, (in_flight, waiting) in requests.items())
    plain, live = PlainDisplay(Cli()), LiveDisplay("cat", 80)
    said = "silent.example, and for 1 host more, nothing came for 12s"
    for valid, at in ((50, 0.0), (51, 9.0), (51, 21.0)):
        assert said not in capsys.readouterr().err
        snapshot = a_snapshot(valid, at=at, hosts=hosts)
        plain.update(snapshot)
        lines = drawn(live, snapshot)
    assert f"only waits for {said}; `pictrawl finish job_x` ends it with what is there" in capsys.readouterr().err
    assert f"waits     {said}" in lines
    assert not any("waits" in line for line in drawn(live, a_snapshot(52, at=22.0, hosts=hosts)))


def test_screen_fits_80_columns_and_says_what_matters() -> None:
    """Kept of target, rate, forecast, sources, reasons, and who makes us wait; however long the names."""
    screen = LiveDisplay("red panda > datasets/red-panda  " + "x" * 100, 80)
    drawn(screen, a_snapshot(100, at=0))
    hosts = (
        HostSnapshot("http://calm.example", 2, 0, 0, 0),
        HostSnapshot("https://upload.example.org", 1, 3, NOW + 12, 2),
        HostSnapshot("http://paced.example", 1, 9, 0, 0, 1, 18.6),
    )
    lines = drawn(screen, a_snapshot(200, a_job(waiting_for="storage"), at=10, hosts=hosts))
    text = "\n".join(lines)
    assert all(len(line) <= 80 for line in lines)
    assert "200/500" in text
    assert "10.0/s" in text
    assert "eta 0:00:30" in text
    assert "too_small 41 · http_404 17" in text
    assert "throttled 12 s, 2 failed connections, 3 waiting: https://upload" in text
    assert "19 requests a second, 9 waiting: http://paced.example" in text
    assert "calm.example" not in text
    assert "storage" in text


def test_screen_of_a_list_counts_what_is_settled() -> None:
    """Without a target the forecast is about the candidates."""
    screen = LiveDisplay("list", 80)
    drawn(screen, a_snapshot(0, a_job(target=None), at=0))
    text = "\n".join(drawn(screen, a_snapshot(100, a_job(target=None), at=10)))
    assert "eta" in text
    shown: list[object] = []
    screen.update(a_snapshot(100))
    screen.show = shown.append
    screen.update(a_snapshot(100))
    assert len(shown) == 1


def test_log_lines_go_above_the_bars_with_their_colours() -> None:
    """A line is printed as text: no markup of a stranger's is obeyed."""
    console = Console(file=io.StringIO(), width=80)
    stream = LogStream(console)
    with console.capture() as capture:
        stream.write("\x1b[33mWARNING\x1b[0m [bold]not markup[/bold]\n")
        stream.flush()
    assert capture.get() == "WARNING [bold]not markup[/bold]\n"
    assert stream.isatty()
    assert isinstance(Text.from_ansi(""), Text)


def test_plain_lines_come_every_ten_seconds_and_at_a_change(capsys: pytest.CaptureFixture[str]) -> None:
    """Quiet in between."""
    plain = PlainDisplay(Cli())
    host = HostSnapshot("http://busy.example", 0, 1, NOW + 5, 0)
    plain.update(a_snapshot(0, at=0))
    plain.update(a_snapshot(50, at=5))
    plain.update(a_snapshot(100, a_job(waiting_for="storage"), at=10, hosts=(host,)))
    plain.update(a_snapshot(100, a_job(JobState.FINALIZING, stage="export"), at=11))
    plain.update(a_snapshot(100, a_job(JobState.SUCCEEDED, finished_at=NOW), at=12))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert lines[0] == "[0:01:00] running: 0 of 500 valid, 41 of 1 262 fetched, 17 failed"
    assert "1 host throttled, waiting: storage" in lines[1]
    assert lines[2] == "[0:01:00] finalizing (export): exporting 100 images"
    assert "/s" not in lines[3]
    NoDisplay().update(a_snapshot(0))


def test_what_is_waited_for_is_named_when_nothing_else_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    """For whom, until when, and how to end without it."""
    waits = (DeferredHost("slow.example", 12, NOW + 90), DeferredHost("other.example", 1, NOW + 30))
    snapshot = replace(a_snapshot(50), waits=waits)
    until = when(NOW + 90).split()[1]
    PlainDisplay(Cli(workspace=Path("w"))).update(snapshot)
    command = f"`pictrawl finish job_x{Cli(workspace=Path('w')).workspace_options}` ends it with what is there"
    line = f"only waits for slow.example (12 images) until {until}, and for 1 host more; {command}"
    assert capsys.readouterr().err.splitlines()[1] == line
    lines = drawn(LiveDisplay("cats", 80), snapshot)
    assert f"waits     slow.example (12 images) until {until}, and for 1 host more" in lines
    assert "          `pictrawl finish job_x` ends it with what is there" in lines


def test_a_line_says_when_there_are_more_valid_images_than_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    """Not "50 of 3"."""
    PlainDisplay(Cli()).update(a_snapshot(50, a_job(target=3)))
    assert "running: 50 valid, 3 wanted, 91 of 1 312 fetched" in capsys.readouterr().err


def test_jobs_that_gather_nothing_show_what_they_do(capsys: pytest.CaptureFixture[str]) -> None:
    """An export has no images to fetch; a line says how many it writes, or what blocks it."""
    export = {"kind": JobKind.EXPORT, "target": None}
    PlainDisplay(Cli()).update(a_snapshot(200, a_job(**export)))
    PlainDisplay(Cli()).update(a_snapshot(200, a_job(waiting_for="storage failed; retried in 60 s", **export)))
    PlainDisplay(Cli()).update(a_snapshot(200, a_job(JobState.SUCCEEDED, finished_at=NOW, **export)))
    assert capsys.readouterr().err.splitlines() == [
        "[0:01:00] running: exporting 200 images",
        "[0:01:00] running: exporting 200 images, waiting: storage failed; retried in 60 s",
        "[0:01:00] succeeded",
    ]
    assert drawn(LiveDisplay("list", 80), a_snapshot(200, a_job(**export))) == ["list", "running: exporting 200 images, 0:01:00"]


@pytest.mark.parametrize("kind", [JobKind.INTEGRITY, JobKind.VERIFY])
def test_a_check_that_has_ended_does_not_say_succeeded(kind: JobKind, capsys: pytest.CaptureFixture[str]) -> None:
    """It may have found problems, which the result names; one that failed says so."""
    plain = PlainDisplay(Cli())
    for state in (JobState.SUCCEEDED, JobState.FAILED):
        plain.update(a_snapshot(200, a_job(state, kind=kind, target=None, finished_at=NOW)))
    assert capsys.readouterr().err == "[0:01:00] failed\n"


def test_a_warning_takes_one_line_of_the_terminal() -> None:
    """The bars stay in sight; with -v the whole line is wanted, and of a traceback every line is."""
    console = Console(file=io.StringIO(), width=40)
    for is_whole, text in ((False, f"{'w' * 39}…\n"), (True, f"{'w' * 60}\n")):
        with console.capture() as capture:
            LogStream(console, is_whole=is_whole).write("w" * 60)
        assert capture.get() == text
    with console.capture() as capture:
        LogStream(console).write("w" * 60 + "\n    | raise")
    assert "w" * 60 in capture.get().replace("\n", "", 1)
