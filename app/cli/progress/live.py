"""Progress on a terminal: bars, counts of each source, reasons and throttled hosts, redrawn in place on stderr."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from app.cli.progress.pace import Pace, eta_s
from app.cli.progress.snapshot import Snapshot
from app.cli.state import Cli
from app.cli.words import MAX_WIDTH, clipped, clock, listing, number

if TYPE_CHECKING:
    from app.settings import Settings

__all__ = ["Screen", "live"]

REDRAWS_PER_S = 4
MOST_SOURCES = 6
MOST_HOSTS = 3
MOST_REASONS = 5


@contextmanager
def live(cli: Cli, settings: "Settings", title: str) -> Iterator["Screen"]:
    """Show a live display for the body's time; log lines go above it."""
    from app.cli.session import log_to

    console = Console(stderr=True, no_color=not cli.has_colour, highlight=False, force_terminal=True)
    screen = Screen(title, min(console.width, MAX_WIDTH))
    with Live(console=console, refresh_per_second=REDRAWS_PER_S, redirect_stdout=False, transient=True) as running:
        screen.show = lambda drawing: running.update(drawing)
        log_to(cli, settings, default="WARNING", stream=AboveTheBars(console))
        try:
            yield screen
        finally:
            log_to(cli, settings, default="WARNING")


class AboveTheBars:
    """Where log lines go meanwhile: rich moves the display down for each."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def write(self, text: str) -> None:
        """Print one line."""
        self._console.print(Text.from_ansi(text.rstrip("\n")), soft_wrap=True)

    def flush(self) -> None:
        """Nothing waits here."""

    def isatty(self) -> bool:
        """It ends on a terminal."""
        return True


class Screen:
    """A job as a few lines of at most the terminal's width."""

    def __init__(self, title: str, columns: int) -> None:
        self.title = title
        self.columns = columns
        self._good, self._fetched, self._settled = Pace(), Pace(), Pace()
        self.show: Callable[[RenderableType], None] = _show_nowhere

    def update(self, snapshot: Snapshot) -> None:
        """Draw a snapshot."""
        self.show(self.render(snapshot))

    def render(self, snapshot: Snapshot) -> RenderableType:
        """The whole display."""
        parts: list[RenderableType] = [self._line(self.title, "bold"), self._bars(snapshot), self._sources(snapshot)]
        reasons = listing(snapshot.funnel.reasons, most=MOST_REASONS)
        if reasons:
            parts.append(self._line(f"not kept  {reasons}"))
        parts += [self._line(f"host      {line}", "yellow") for line in _hosts(snapshot)]
        if snapshot.job.waiting_for:
            parts.append(self._line(f"waits     {snapshot.job.waiting_for}", "yellow"))
        return Group(*parts)

    def _line(self, text: str, style: str = "") -> Text:
        return Text(clipped(text, self.columns), style=style, no_wrap=True, overflow="ellipsis")

    def _bars(self, snapshot: Snapshot) -> Table:
        funnel, target = snapshot.funnel, snapshot.job.target
        good = self._good.note(snapshot.at, snapshot.good)
        fetched = self._fetched.note(snapshot.at, funnel.fetched)
        settled = self._settled.note(snapshot.at, snapshot.settled)
        if target:
            left = eta_s(good=snapshot.good, goal=target, rate=good)
        else:
            left = eta_s(good=snapshot.settled, goal=funnel.candidates, rate=settled)
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=9)
        grid.add_column(width=max(10, self.columns - 57))
        grid.add_column(width=15, justify="right", no_wrap=True)
        grid.add_column(width=8, justify="right", no_wrap=True)
        grid.add_column(no_wrap=True)
        times = clock(snapshot.elapsed_s) + (f" eta {clock(left)}" if left is not None else "")
        grid.add_row("valid", _bar(snapshot.good, target or funnel.candidates), _of(snapshot.good, target), f"{good:.1f}/s", times)
        came = _of(funnel.fetched, funnel.candidates)
        grid.add_row("fetched", _bar(funnel.fetched, funnel.candidates), came, f"{fetched:.1f}/s", snapshot.stage)
        return grid

    def _sources(self, snapshot: Snapshot) -> Table:
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


def _show_nowhere(_: RenderableType) -> None:
    """Before the display runs."""


def _bar(done: int, total: int) -> ProgressBar:
    return ProgressBar(total=max(total, 1), completed=min(done, max(total, 1)))


def _of(done: int, total: int | None) -> str:
    return f"{number(done)}/{number(total)}" if total else number(done)


def _hosts(snapshot: Snapshot) -> list[str]:
    """Hosts that keep requests waiting, the longest first."""
    troubled = [host for host in snapshot.hosts if host.not_before > snapshot.now or host.failures or host.rate_per_s]
    troubled.sort(key=lambda host: -host.not_before)
    lines = []
    for host in troubled[:MOST_HOSTS]:
        wait_s = host.not_before - snapshot.now
        parts = [f"throttled {wait_s:.0f} s"] if wait_s > 0 else []
        parts += [f"{host.failures} failed connections"] if host.failures else []
        parts += [f"asked {host.rate_per_s:.2g} times a second"] if host.rate_per_s else []
        lines.append(f"{', '.join(parts)}, {host.waiting} waiting: {host.host}")
    return lines
