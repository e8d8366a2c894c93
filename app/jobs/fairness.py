"""Fair scheduling: users share the workers equally, and the jobs of a user share what the user gets. Pure.

Max-min fairness over active units, which are queued or running: the next unit goes to the user with the fewest, and among that user's jobs
to the one with the highest priority, then the fewest. A user with a million URLs and one with a hundred get equal shares while both wait.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from app.db.outbox import JobDemand, QueueShare

__all__ = ["Holding", "Turn", "allocate_turns", "should_preempt"]

PATIENCE_S = 1.0
"""Seconds that a user without a running unit waits for a slot before another user's unit is preempted."""

TURN_S = 30.0
"""Seconds that the only running unit of a user is safe from preemption."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Permission to send one unit of a job. ``rank`` is the number of active units that its user has already; lower ranks run first."""

    job_id: str
    rank: int


def allocate_turns(demands: Iterable[JobDemand], busy: Mapping[str, int], room: int, *, newcomers: int = 0) -> list[Turn]:
    """Allocate ``room`` units to the jobs, as if each had enough, in the order in which they should run.

    Args:
        busy: active units by user.
        room: units that fit into the window.
        newcomers: users without an active unit that get one unit each even if the window is full.
    """
    jobs: dict[str, list[tuple[int, int, float, str]]] = {}
    for demand in demands:
        jobs.setdefault(demand.user_id, []).append((-demand.priority, demand.under_way, demand.since, demand.job_id))
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
    """A running unit that can be preempted. ``ran_s`` is seconds since it started."""

    unit_id: str
    user_id: str
    ran_s: float


def should_preempt(shares: Sequence[QueueShare], holdings: Iterable[Holding]) -> str | None:
    """Return the unit to preempt for a user without a slot: the longest-running unit of the user with the most running units.

    ``None`` if no such user has waited for :data:`PATIENCE_S`, or if every running unit is the only one of its user and started less than
    :data:`TURN_S` ago.
    """
    if not any(share.running == 0 and share.waited_s >= PATIENCE_S for share in shares):
        return None
    running = {share.user_id: share.running for share in shares}
    able = [holding for holding in holdings if running.get(holding.user_id, 0) > 1 or holding.ran_s >= TURN_S]
    longest = max(able, key=lambda holding: (running.get(holding.user_id, 0), holding.ran_s), default=None)
    return None if longest is None else longest.unit_id
