"""Whose turn it is: users share the fleet equally, a user's jobs share what the user gets. Pure; no database, no queue.

Max-min fairness by counting what is under way: the next unit goes to the user with the fewest, and of that user's jobs to the one of the
highest priority with the fewest. A user with a million URLs and one with a hundred get the same share for as long as both want it.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from app.db.outbox import JobDemand, QueueShare

__all__ = ["Holding", "Turn", "should_preempt", "turns"]

PATIENCE_S = 1.0
"""Seconds that a user with nothing running waits for a slot before somebody gives way."""

TURN_S = 30.0
"""Seconds that a user's only running unit may go on while another user waits."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One unit of a job may go. ``rank`` is how many its user had under way before it: a unit of a lower rank overtakes in the queue."""

    job_id: str
    rank: int


def turns(claimants: Iterable[JobDemand], busy: Mapping[str, int], room: int, *, newcomers: int = 0) -> list[Turn]:
    """QueueShare ``room`` units out, as if every job had enough; in the order in which they should run.

    Args:
        busy: units under way by user.
        room: units that fit into the window.
        newcomers: users with nothing under way that get one unit each even where the window is full.
    """
    jobs: dict[str, list[tuple[int, int, float, str]]] = {}
    for claimant in claimants:
        jobs.setdefault(claimant.user_id, []).append((-claimant.priority, claimant.under_way, claimant.since, claimant.job_id))
    users = [(busy.get(user, 0), min(entry[2] for entry in waiting), user) for user, waiting in jobs.items()]
    heapq.heapify(users)
    for waiting in jobs.values():
        heapq.heapify(waiting)
    taken: list[Turn] = []
    while users and (room > 0 or (users[0][0] == 0 and newcomers > 0)):
        rank, since, user = users[0]
        priority, under_way, made, job_id = jobs[user][0]
        taken.append(Turn(job_id, rank))
        room, newcomers = room - 1, newcomers - (room <= 0)
        heapq.heapreplace(jobs[user], (priority, under_way + 1, made, job_id))
        heapq.heapreplace(users, (rank + 1, since, user))
    return taken


@dataclass(frozen=True, slots=True)
class Holding:
    """A unit that a worker runs and that can give way."""

    unit_id: str
    user_id: str
    ran_s: float


def should_preempt(shares: Sequence[QueueShare], holdings: Iterable[Holding]) -> str | None:
    """Which unit should give its slot to a user who has none: of the user who holds the most, the one that has run the longest.

    ``None`` while nobody has waited for long, or where whoever holds a slot holds only one and has not had it for long.
    """
    if not any(share.running == 0 and share.waited_s >= PATIENCE_S for share in shares):
        return None
    running = {share.user_id: share.running for share in shares}
    able = [holding for holding in holdings if running.get(holding.user_id, 0) > 1 or holding.ran_s >= TURN_S]
    longest = max(able, key=lambda holding: (running.get(holding.user_id, 0), holding.ran_s), default=None)
    return None if longest is None else longest.unit_id
