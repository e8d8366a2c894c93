"""The hosts of a job: how it stands with each now, what was asked of it, and how long that took."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.db import Database, attempts
from app.db.attempts import HostTime
from app.db.open_hosts import OpenHost
from app.explain.hosts_at_work import HostAtWork, hosts_at_work

__all__ = ["HostUse", "load_hosts"]


@dataclass(frozen=True, slots=True)
class HostUse:
    """A host with all requests of a job and what workers do there now."""

    times: HostTime
    now: HostAtWork


async def load_hosts(db: Database, job_id: str) -> list[HostUse]:
    """Return the hosts of a job: those that are asked or waited for now, then those that took the most time."""
    return merge(await attempts.host_times(db, job_id), await hosts_at_work(db, job_id=job_id))


def merge(times: Sequence[HostTime], at_work: Sequence[HostAtWork]) -> list[HostUse]:
    """Put together what is known of each host; one may be waited for before a request to it was answered."""
    by_name = {item.host: item for item in times}
    now = [HostUse(by_name.pop(one.counts.host, HostTime(one.counts.host)), one) for one in at_work]
    return now + [HostUse(item, HostAtWork(OpenHost(item.host))) for item in by_name.values()]
