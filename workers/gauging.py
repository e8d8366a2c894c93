"""What a crew stands at when it is scraped: slots, requests in flight, decoders. Read where they are kept; nothing is kept here."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from app.observability import Reading, families
from app.resources import Workshop

if TYPE_CHECKING:
    from workers.worker_pool import Crew

__all__ = ["read"]


def read(crew: "Crew") -> Iterator[Reading]:
    """Everything, on the event loop that the crew lives on."""
    for kind in crew.kinds:
        yield families.SLOTS, (kind,), crew.slots(kind)
        yield families.RUNNING, (kind,), crew.running(kind)
    yield from _hosts(crew.context.workshop)
    yield from _decoders(crew.context.workshop)


def _hosts(workshop: Workshop) -> Iterator[Reading]:
    hosts, now = workshop.downloader.hosts(), time.time()
    yield families.IN_FLIGHT, (), sum(host.in_flight for host in hosts)
    yield families.WAITING, (), sum(host.waiting for host in hosts)
    yield families.HOSTS_AWAY, (), sum(host.not_before > now for host in hosts)


def _decoders(workshop: Workshop) -> Iterator[Reading]:
    stats = workshop.decoders.stats()
    yield families.DECODERS, (), stats.size
    yield families.DECODERS_ALIVE, (), stats.alive
    yield families.DECODERS_BUSY, (), stats.busy
    yield families.DECODER_RESTARTS, (), stats.restarts
    yield families.DECODER_CRASHES, (), stats.crashes
    yield families.DECODER_TIMEOUTS, (), stats.timeouts
