"""Progress of a running job: a live display on a terminal, a line every ten seconds elsewhere, or nothing."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from app.cli.follow import Snapshot
from app.cli.options import Cli
from app.cli.output import MAX_WIDTH
from app.cli.session import configure_logging
from app.formatting import clipped, clock, count, duration, listing, number, when
from app.job_states import JobKind, JobState
from app.jobs.attendance import is_unattended
from app.jobs.pace import PaceMeter, RateEstimate, eta_s
from app.settings import Settings

__all__ = ["Display", "LiveDisplay", "NoDisplay", "PlainDisplay", "open_display"]

STANDS_STILL_S = 10.0
"""Seconds without a new outcome after which the hosts are named that are waited for."""

LINE_EVERY_S = 10.0
REDRAWS_PER_S = 4
READS_BACK = frozenset({JobKind.INTEGRITY, JobKind.VERIFY})
"""Kinds of jobs that succeed whatever they find: what they found is the command's result."""

MOST_SOURCES = 6
MOST_HOSTS = 3
MOST_REASONS = 5


class Display(Protocol):
    """Shows a job."""

    def update(self, snapshot: Snapshot) -> None:
        """Show a snapshot; called a few times a second."""
        ...


def open_display(cli: Cli, settings: Settings, title: str) -> AbstractContextManager[Display]:
    """The display that the options and the terminal ask for."""
    kind = cli.progress
    if kind == "auto":
        is_silent = cli.quiet or settings.log.format == "json"  # text between lines of JSON would spoil them
        kind = "none" if is_silent else "rich" if cli.is_terminal else "plain"
    if kind == "rich":
        return _live_display(cli, settings, title)
    return nullcontext(PlainDisplay(cli) if kind == "plain" else NoDisplay())


class NoDisplay:
    """Shows nothing."""

    def update(self, snapshot: Snapshot) -> None:
        """Do nothing."""


# lines


class PlainDisplay:
    """Writes a line to stderr every ten seconds and at each change of stage."""

    def __init__(self, cli: Cli) -> None:
        self._cli = cli
        self._settled = RateEstimate()
        self._written_at = float("-inf")
        self._stage = ""

    def update(self, snapshot: Snapshot) -> None:
        """Write a line if it is time for one."""
        rate = self._settled.update(snapshot.at, snapshot.settled)
        if snapshot.job.kind in READS_BACK and snapshot.job.state is JobState.SUCCEEDED:
            return
        if snapshot.stage == self._stage and snapshot.at - self._written_at < LINE_EVERY_S:
            return
        self._stage, self._written_at = snapshot.stage, snapshot.at
        self._cli.note(_line(snapshot, rate))
        if waits := _waits(snapshot, self._settled.idle_s):
            self._cli.note(f"only waits for {waits}; {_finish(snapshot, self._cli)}")


def _finish(snapshot: Snapshot, cli: Cli) -> str:
    return f"`pictrawl finish {snapshot.job.id}{cli.workspace_options}` ends it with what is there"


def _line(snapshot: Snapshot, rate: float) -> str:
    """``[0:00:10] running: 312 of 500 valid, 688 of 1 204 fetched, 14 failed, 6.1/s, eta 0:00:31``."""
    if snapshot.doing or not snapshot.is_build:
        return f"[{clock(snapshot.elapsed_s)}] {_doing(snapshot)}"
    funnel, target = snapshot.funnel, snapshot.job.target
    parts = [_valid(snapshot.good, target), f"{number(funnel.fetched)} of {number(funnel.requested)} fetched"]
    failed = sum(source.get("failed", 0) for source in funnel.by_source().values())
    if failed:
        parts.append(f"{number(failed)} failed")
    if rate and not snapshot.job.is_final:
        parts.append(f"{rate:.1f}/s")
    left = eta_s(good=snapshot.settled, goal=target or funnel.requested, rate=rate)
    if left is not None and not snapshot.job.is_final:
        parts.append(f"eta {clock(left)}")
    throttled = [host for host in snapshot.hosts if host.not_before > snapshot.now]
    if throttled:
        parts.append(f"{count(len(throttled), 'host')} throttled")
    if snapshot.job.waiting_for and not is_unattended(snapshot.job):  # the stage says it then
        parts.append(f"waiting: {snapshot.job.waiting_for}")
    return f"[{clock(snapshot.elapsed_s)}] {snapshot.stage}: {', '.join(parts)}"


def _doing(snapshot: Snapshot) -> str:
    """``finalizing (export): exporting 200 images``."""
    is_blocked = snapshot.job.waiting_for and not is_unattended(snapshot.job)
    waiting = f", waiting: {snapshot.job.waiting_for}" if is_blocked else ""
    return snapshot.stage + (f": {snapshot.doing}" if snapshot.doing else "") + waiting


def _waits(snapshot: Snapshot, idle_s: float) -> str:
    """``127.0.0.1:1 (12 images) until 07:31:05, and for 2 hosts more``; empty where something else is left to do."""
    if snapshot.waits:
        longest = snapshot.waits[0]
        until = f"({count(longest.images, 'image')}) until {when(longest.until)[-8:]}"
        return f"{longest.host} {until}{_more(snapshot.waits)}"
    asked = [host for host in snapshot.hosts if host.in_flight or host.waiting]
    if idle_s < STANDS_STILL_S or not asked or snapshot.doing or snapshot.job.is_final:
        return ""
    return f"{asked[0].host}{_more(asked)}, nothing came for {duration(idle_s)}"


def _more(hosts: Sequence[object]) -> str:
    return f", and for {count(len(hosts) - 1, 'host')} more" if len(hosts) > 1 else ""


def _valid(good: int, target: int | None) -> str:
    if not target:
        return f"{number(good)} valid"
    return f"{number(good)} of {number(target)} valid" if good <= target else f"{number(good)} valid, {number(target)} wanted"


# a terminal


@contextmanager
def _live_display(cli: Cli, settings: Settings, title: str) -> Iterator["LiveDisplay"]:
    """Show a live display during the body; log lines are printed above it."""
    console = Console(stderr=True, no_color=not cli.has_color, highlight=False, force_terminal=True)
    display = LiveDisplay(title, min(console.width, MAX_WIDTH), cli)
    with Live(console=console, refresh_per_second=REDRAWS_PER_S, redirect_stdout=False, transient=True) as live:
        display.show = lambda drawing: live.update(drawing)
        configure_logging(cli, settings, default="WARNING", stream=LogStream(console, is_whole=cli.verbose > 0))
        try:
            yield display
        finally:
            configure_logging(cli, settings, default="WARNING")


class LogStream:
    """The stream of the log during a live display: rich moves the display down for each line."""

    def __init__(self, console: Console, *, is_whole: bool = False) -> None:
        self._console = console
        self._is_whole = is_whole

    def write(self, text: str) -> None:
        """Print one line, cut to the terminal's width unless all of it is wanted: the job's log has the rest."""
        line = Text.from_ansi(text.rstrip("\n"))
        if self._is_whole or "\n" in line.plain:
            self._console.print(line, soft_wrap=True)
        else:
            self._console.print(line, no_wrap=True, overflow="ellipsis")

    def flush(self) -> None:
        """Do nothing: nothing is buffered."""

    def isatty(self) -> bool:
        """It ends on a terminal."""
        return True


class LiveDisplay:
    """Bars, counts of each source, reasons and throttled hosts, redrawn in place on stderr."""

    def __init__(self, title: str, columns: int, cli: Cli = Cli()) -> None:
        self.title = title
        self.cli = cli
        self.columns = columns
        self._meter = PaceMeter()
        self.show: Callable[[RenderableType], None] = lambda _: None

    def update(self, snapshot: Snapshot) -> None:
        """Draw a snapshot."""
        self.show(self.render(snapshot))

    def render(self, snapshot: Snapshot) -> RenderableType:
        """The whole display, as a few lines of at most the terminal's width."""
        if not snapshot.is_build:
            return Group(self._text(self.title, "bold"), self._text(f"{_doing(snapshot)}, {clock(snapshot.elapsed_s)}"))
        parts: list[RenderableType] = [self._text(self.title, "bold"), self._bars(snapshot), _sources(snapshot)]
        reasons = listing(snapshot.funnel.reasons, most=MOST_REASONS)
        if reasons:
            parts.append(self._text(f"not kept  {reasons}"))
        parts += [self._text(f"host      {line}", "yellow") for line in _hosts(snapshot)]
        if snapshot.job.waiting_for:
            parts.append(self._text(f"waits     {snapshot.job.waiting_for}", "yellow"))
        if waits := _waits(snapshot, self._meter.idle_s):
            parts += [self._text(f"waits     {waits}", "yellow"), self._text(f"          {_finish(snapshot, self.cli)}", "yellow")]
        return Group(*parts)

    def _text(self, text: str, style: str = "") -> Text:
        return Text(clipped(text, self.columns), style=style, no_wrap=True, overflow="ellipsis")

    def _bars(self, snapshot: Snapshot) -> Table:
        funnel, target = snapshot.funnel, snapshot.job.target
        pace = self._meter.update(snapshot.at, funnel, target)
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=9)
        grid.add_column(width=max(10, self.columns - 57))
        grid.add_column(width=15, justify="right", no_wrap=True)
        grid.add_column(width=8, justify="right", no_wrap=True)
        grid.add_column(no_wrap=True)
        times = clock(snapshot.elapsed_s) + (f" eta {clock(pace.left_s)}" if pace.left_s is not None else "")
        grid.add_row("valid", _bar(snapshot.good, target or funnel.requested), _of(snapshot.good, target), _rate(pace.valid_per_s), times)
        came = _of(funnel.fetched, funnel.requested)
        grid.add_row("fetched", _bar(funnel.fetched, funnel.requested), came, _rate(pace.fetched_per_s), snapshot.doing or snapshot.stage)
        return grid


def _sources(snapshot: Snapshot) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, max_width=24)
    for _ in range(6):
        grid.add_column(justify="right", no_wrap=True)
    grid.add_row("source", "found", "valid", "dup", "rejected", "failed", "deferred", style="dim")
    for name, states in list(snapshot.funnel.by_source().items())[:MOST_SOURCES]:
        valid = states.get("valid", 0) + states.get("kept", 0)
        counts = (sum(states.values()), valid, *(states.get(state, 0) for state in ("duplicate", "rejected", "failed", "deferred")))
        grid.add_row(clipped(name, 24), *(number(value) for value in counts))
    return grid


def _bar(done: int, total: int) -> ProgressBar:
    return ProgressBar(total=max(total, 1), completed=min(done, max(total, 1)))


def _rate(per_s: float) -> str:
    return f"{per_s:.1f}/s"


def _of(done: int, total: int | None) -> str:
    return f"{number(done)}/{number(total)}" if total else number(done)


def _hosts(snapshot: Snapshot) -> list[str]:
    """Hosts that requests wait for, the longest wait first."""
    slow = [host for host in snapshot.hosts if host.not_before > snapshot.now or host.failures or host.rate_per_s]
    slow.sort(key=lambda host: -host.not_before)
    lines = []
    for host in slow[:MOST_HOSTS]:
        wait_s = host.not_before - snapshot.now
        parts = [f"throttled {wait_s:.0f} s"] if wait_s > 0 else []
        parts += [f"{host.failures} failed connections"] if host.failures else []
        parts += [f"{host.rate_per_s:.2g} requests a second"] if host.rate_per_s else []
        lines.append(f"{', '.join(parts)}, {host.waiting} waiting: {host.host}")
    return lines
