"""Progress where nobody watches a terminal: a line every ten seconds, and one at each change of stage."""

from app.cli.progress.pace import Pace, eta_s
from app.cli.progress.snapshot import Snapshot
from app.cli.state import Cli
from app.cli.words import clock, count, number

__all__ = ["Plain", "line"]

EVERY_S = 10.0


class Plain:
    """Writes lines to stderr."""

    def __init__(self, cli: Cli) -> None:
        self._cli = cli
        self._pace = Pace()
        self._said_at = float("-inf")
        self._stage = ""

    def update(self, snapshot: Snapshot) -> None:
        """Write a line if it is time for one."""
        rate = self._pace.note(snapshot.at, snapshot.settled)
        if snapshot.stage == self._stage and snapshot.at - self._said_at < EVERY_S:
            return
        self._stage, self._said_at = snapshot.stage, snapshot.at
        self._cli.note(line(snapshot, rate))


def line(snapshot: Snapshot, rate: float) -> str:
    """``[0:00:10] running: 312 of 500 valid, 688 of 1 204 fetched, 14 failed, 6.1/s, eta 0:00:31``."""
    funnel, goal = snapshot.funnel, snapshot.job.target
    of_goal = f" of {number(goal)}" if goal else ""
    parts = [f"{number(snapshot.good)}{of_goal} valid", f"{number(funnel.fetched)} of {number(funnel.candidates)} fetched"]
    failed = sum(source.get("failed", 0) for source in funnel.by_source().values())
    if failed:
        parts.append(f"{number(failed)} failed")
    if rate and not snapshot.job.is_final:
        parts.append(f"{rate:.1f}/s")
    left = eta_s(good=snapshot.settled, goal=goal or funnel.candidates, rate=rate)
    if left is not None and not snapshot.job.is_final:
        parts.append(f"eta {clock(left)}")
    waits = [host for host in snapshot.hosts if host.not_before > snapshot.now]
    if waits:
        parts.append(f"{count(len(waits), 'host')} throttled")
    if snapshot.job.waiting_for:
        parts.append(f"waits for {snapshot.job.waiting_for}")
    return f"[{clock(snapshot.elapsed_s)}] {snapshot.stage}: {', '.join(parts)}"
