"""Hosts that images wait for stand first, each host once."""

from app.db.attempts import HostTime
from app.db.deferred import DeferredHost
from app.explain.hosts import HostUse, merge


def test_waits_and_times_of_a_host_are_one_row() -> None:
    """In whatever case a URL names it; one that has only waits has no times."""
    slow, busy = HostTime("slow.example:8080", 3, 2, 9.0), HostTime("busy.example", 40, 0, 20.0)
    waits = [DeferredHost("new.example", 1, 300.0), DeferredHost("Slow.example:8080", 5, 200.0)]
    assert merge([busy, slow], waits) == [
        HostUse(HostTime("new.example"), 1, 300.0),
        HostUse(slow, 5, 200.0),
        HostUse(busy),
    ]
