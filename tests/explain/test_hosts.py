"""Hosts that are asked or waited for now stand first, each host once."""

from app.db.attempts import HostTime
from app.db.open_hosts import OpenHost
from app.explain.hosts import HostUse, merge
from app.explain.hosts_at_work import HostAtWork


def test_now_and_before_are_one_row_a_host() -> None:
    """One that is only waited for has no times, one that is done has no work."""
    slow, busy = HostTime("slow.example:8080", 3, 2, 9.0), HostTime("busy.example", 40, 0, 20.0)
    new = HostAtWork(OpenHost("new.example", deferred=1), closed_until=300.0)
    asked = HostAtWork(OpenHost("slow.example:8080", images=5), workers=1, slots=2, rate_per_s=1.5)
    assert merge([busy, slow], [new, asked]) == [
        HostUse(HostTime("new.example"), new),
        HostUse(slow, asked),
        HostUse(busy, HostAtWork(OpenHost("busy.example"))),
    ]
