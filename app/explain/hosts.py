"""The hosts of a job: what was asked of each, how long it took, and which of them is not asked again yet."""

from dataclasses import dataclass

from app.db import Database, attempts, deferred
from app.db.attempts import HostTime
from app.db.deferred import DeferredHost

__all__ = ["HostUse", "load_hosts"]


@dataclass(frozen=True, slots=True)
class HostUse:
    """What a job had of a host.

    Attributes:
        waiting: images that are deferred because of it, of the thousand that wait longest.
        closed_until: when the last of them is due, Unix seconds; ``None`` where none waits.
    """

    times: HostTime
    waiting: int = 0
    closed_until: float | None = None


async def load_hosts(db: Database, job_id: str) -> list[HostUse]:
    """Return the hosts of a job: those that images wait for first, the longest wait in front, then those that took the most time."""
    return merge(await attempts.host_times(db, job_id), await deferred.deferred_hosts(db, job_id))


def merge(times: list[HostTime], waits: list[DeferredHost]) -> list[HostUse]:
    """Put together what is known of each host; a host may have waits and no request that was answered."""
    by_name = {item.host: item for item in times}
    closed = [HostUse(by_name.pop(wait.host.lower(), HostTime(wait.host)), wait.images, wait.until) for wait in waits]
    return closed + [HostUse(item) for item in by_name.values()]
