"""Tests of app.explain.hosts_at_work: rows and heartbeats put together."""

from dataclasses import asdict

from app.db import Database, fleet
from app.db.open_hosts import OpenHost
from app.db.rows import WorkerRow
from app.explain.hosts_at_work import HostAtWork, combine, hosts_at_work
from downloader import HostSnapshot
from tests.db.builders import claimed_all
from tests.db.test_open_hosts import URLS, being_fetched


def told(host: str, in_flight: int = 1, **values: float) -> HostSnapshot:
    return HostSnapshot(host, in_flight, **({"waiting": 0, "not_before": 0.0, "failures": 0} | values))  # type: ignore[arg-type]


def test_what_several_workers_tell_is_put_together() -> None:
    """Requests are added up; of window, rate, block and failures the largest holds. A default port is not part of a name."""
    rows = [OpenHost("a.example", images=3), OpenHost("b.example:8443", deferred=2, until=50.0)]
    workers = [
        told("https://a.example:443", 2, waiting=1, slots=4, rate_per_s=0.5),
        told("http://a.example:80", 1, not_before=70.0, failures=2, slots=2),
        told("https://b.example:8443", 0, waiting=5),
    ]
    assert combine(rows, workers, with_unnamed=False) == [
        HostAtWork(rows[0], 2, in_flight=3, waiting=1, slots=4, rate_per_s=0.5, closed_until=70.0, failures=2),
        HostAtWork(rows[1], 1, waiting=5),
    ]


def test_a_host_without_a_worker_is_closed_until_its_images_are_due() -> None:
    """Unless some of its images are being fetched."""
    waiting, open_now = OpenHost("a.example", deferred=1, until=50.0), OpenHost("b.example", images=1, deferred=1, until=50.0)
    found = {host.counts.host: host.closed_until for host in combine([waiting, open_now], [], with_unnamed=False)}
    assert found == {"a.example": 50.0, "b.example": 0.0}


def test_hosts_that_no_url_names() -> None:
    """Of redirects, say; and a host whose requests are sent under the limits of another one has that one's pace."""
    thumb, elsewhere = told("https://upload.wikimedia.org:443", 2), told("https://cdn.example:443", 1)
    rows = [OpenHost("thumb.wikimedia.org", images=1)]
    assert [host.counts.host for host in combine(rows, [thumb, elsewhere], with_unnamed=True)] == ["thumb.wikimedia.org", "cdn.example"]
    (only,) = combine(rows, [thumb, elsewhere], with_unnamed=False)
    assert (only.counts.host, only.in_flight) == ("thumb.wikimedia.org", 2)


async def test_a_user_sees_hosts_of_others_in_the_pace_of_their_own_alone(any_database: Database) -> None:
    """A host that nobody's URL names is shown while one user alone is at work. Workers that are silent tell nothing."""
    ann, _ = await being_fetched(any_database, "ann", URLS[:1])
    await claimed_all(any_database, ann)
    hosts = [asdict(told("http://a.example:80", 3)), asdict(told("https://cdn.example:443", 1)) | {"of a newer version": 1}]
    await fleet.beat(any_database, WorkerRow("wrk_1", "builder", "box", 1, "1", 8, 0, 0.0, 0.0, 0.0, hosts))
    assert [host.counts.host for host in await hosts_at_work(any_database, user_id="ann")] == ["a.example", "cdn.example"]
    assert [host.counts.host for host in await hosts_at_work(any_database, job_id=ann)] == ["a.example"]
    bob, _ = await being_fetched(any_database, "bob", URLS[3:])
    await claimed_all(any_database, bob)
    assert [(host.counts.host, host.in_flight) for host in await hosts_at_work(any_database, user_id="ann")] == [("a.example", 3)]
    assert [host.counts.host for host in await hosts_at_work(any_database)] == ["a.example", "cdn.example", "c.example"]
