"""The hosts that are asked now: what the rows say of their images and requests, and what the workers tell of their pace.

Workers tell with each heartbeat, so figures of several processes and machines are added up without asking them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.db import Database, fleet, open_hosts
from app.db.open_hosts import OpenHost
from downloader import HostSnapshot
from downloader.limiter.site_profiles import limited_as

__all__ = ["HostAtWork", "hosts_at_work"]

_DEFAULT_PORTS = {"http": "80", "https": "443"}


@dataclass(frozen=True, slots=True)
class HostAtWork:
    """A host with what all workers do there together.

    Attributes:
        counts: of the rows.
        workers: worker processes that have a queue for it; the figures below are theirs, and 0 without one.
        in_flight: requests that are sent, and not answered yet; ``waiting`` URLs wait for their turn.
        slots: requests that may be in flight at once.
        rate_per_s: requests per second that are let through, 0 for no limit.
        closed_until: Unix time before which nothing is sent, 0 for none.
        failures: connections that failed in a row.
    """

    counts: OpenHost
    workers: int = 0
    in_flight: int = 0
    waiting: int = 0
    slots: int = 0
    rate_per_s: float = 0.0
    closed_until: float = 0.0
    failures: int = 0


async def hosts_at_work(db: Database, *, user_id: str | None = None, job_id: str | None = None) -> list[HostAtWork]:
    """Return the hosts of a user's jobs, or of one of them, those with most to do first.

    A host that no URL names, such as the target of a redirect, is shown to a user only while nobody else has a job at work, since it is
    not known then whose it is.
    """
    rows = await open_hosts.open_hosts(db, user_id=user_id, job_id=job_id)
    is_alone = job_id is None and (user_id is None or not await open_hosts.has_other_users(db, user_id))
    told = [
        HostSnapshot(**{name: host[name] for name in HostSnapshot.__slots__ if name in host})
        for worker in await fleet.workers(db, fresh_s=fleet.BEAT_FRESH_S)
        for host in worker.hosts or ()
    ]
    return combine(rows, told, with_unnamed=is_alone)


def combine(rows: Sequence[OpenHost], told: Iterable[HostSnapshot], *, with_unnamed: bool) -> list[HostAtWork]:
    """Put together what the rows and the workers say.

    Args:
        with_unnamed: also hosts that only workers know.
    """
    groups: dict[str, list[HostSnapshot]] = {}
    for snapshot in told:
        groups.setdefault(_bare(snapshot.host), []).append(snapshot)
    counted = {row.host: row for row in rows}
    unnamed = groups.keys() - {_queue_of(name) for name in counted} if with_unnamed else ()
    found = [_host(row, groups.get(_queue_of(name), ())) for name, row in counted.items()]
    found += [_host(OpenHost(name), groups[name]) for name in unnamed]
    return sorted(found, key=_busy)


def _busy(host: HostAtWork) -> tuple[object, ...]:
    counts = host.counts
    return (-host.in_flight, -host.waiting, -counts.images, -counts.deferred, counts.host)


def _host(counts: OpenHost, told: Sequence[HostSnapshot]) -> HostAtWork:
    """Window, rate, block and failures are those of a state that workers share, or each has alone; the largest one holds."""
    if not told:
        return HostAtWork(counts, closed_until=counts.until if not counts.images else 0.0)
    return HostAtWork(
        counts,
        workers=len(told),
        in_flight=sum(one.in_flight for one in told),
        waiting=sum(one.waiting for one in told),
        slots=max(one.slots for one in told),
        rate_per_s=max(one.rate_per_s for one in told),
        closed_until=max(one.not_before for one in told),
        failures=max(one.failures for one in told),
    )


def _bare(origin: str) -> str:
    """``https://a.example:443`` as URLs write it: ``a.example``."""
    scheme, _, place = origin.partition("://")
    host, _, port = place.rpartition(":")
    return host if port == _DEFAULT_PORTS.get(scheme) else place


def _queue_of(host: str) -> str:
    """The host under whose limits a host's requests are sent."""
    return _bare(limited_as(f"https://{host}:443")) if ":" not in host else host
