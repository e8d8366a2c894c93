from dataclasses import asdict, replace

from app.db import fleet
from app.db.rows import WorkerRow
from app.resources import Resources
from app.web.api.fleet import Worker
from app.web.ui.routes.fleet import MOST_ROWS, by_kind, worst_first
from downloader import HostSnapshot
from tests.db.builders import claimed_all
from tests.db.test_fleet import silent_for
from tests.db.test_open_hosts import being_fetched
from tests.web import seeds
from tests.web.api.test_dead import died, status_of
from tests.web.ui.conftest import Browser

WORKER = WorkerRow("wrk_1-builder", "builder", "box", 7, "0.1.0", 8, 2, 0.0, 0.0, 0.0)


def worker(name: str, *, alive: bool = True, lag_s: float = 0.0, kind: str = "builder", version: str = "1") -> Worker:
    times = {"started_at": "2026-01-01T00:00:00Z", "beat_at": "2026-01-01T00:00:00Z"}
    return Worker(
        id=name, kind=kind, host=name, pid=1, version=version, slots=8, running=2, loop_lag_s=lag_s, is_alive=alive, **times  # type: ignore[arg-type]
    )  # fmt: skip


def test_workers_are_added_up_by_kind() -> None:
    """Silent ones are counted, and do nothing."""
    found = by_kind([worker("a"), worker("b", lag_s=0.7, version="2"), worker("c", alive=False, lag_s=9.0), worker("d", kind="validator")])
    assert found[0] == ("builder", 2, 1, 4, 16, 0.7, ["1", "2"])
    assert [kind.kind for kind in found] == ["builder", "validator"]
    assert by_kind([]) == []


def test_workers_in_trouble_come_first() -> None:
    """Small lags move no row."""
    rows = [worker("a", lag_s=0.1), worker("b", lag_s=0.6), worker("c", lag_s=0.2), worker("d", alive=False), worker("e", lag_s=2.0)]
    assert [one.id for one in worst_first(rows)] == ["d", "e", "b", "a", "c"]


async def test_a_fleet_without_anybody_says_what_to_do(browser: Browser) -> None:
    page = (await browser.get("/fleet")).text
    assert "No worker is there." in page
    assert "pictrawl serve" in page
    assert "Your jobs ask no host at the moment." in page
    assert "No unit of your jobs is dead." in page
    assert "free of" in page
    assert "/v1/hosts" in page


async def test_a_script_gets_the_live_part_alone(browser: Browser, resources: Resources) -> None:
    """Without dead units, so that a selection stays."""
    await fleet.beat(resources.db, WORKER)
    part = (await browser.get("/fleet", **{"HX-Request": "true"})).text
    assert "<html" not in part
    assert "alive" in part
    assert "2 of 8" in part
    assert "Dead units" not in part


async def test_of_many_workers_the_first_are_listed(browser: Browser, resources: Resources) -> None:
    """And all where they are asked for; the live part keeps to that."""
    for at in range(MOST_ROWS + 1):
        await fleet.beat(resources.db, replace(WORKER, id=f"wrk_{at}-builder", pid=1000 + at))
    page = (await browser.get("/fleet")).text
    assert page.count('data-tone="kept">alive') == MOST_ROWS
    assert f"All {MOST_ROWS + 1} workers" in page
    page = (await browser.get("/fleet?show=all")).text
    assert page.count('data-tone="kept">alive') == MOST_ROWS + 1
    assert 'hx-get="/fleet?show=all"' in page


async def test_hosts_show_their_pace(browser: Browser, resources: Resources) -> None:
    job_id, _ = await being_fetched(resources.db, urls=("http://a.example/1", "http://b.example/1"))
    await claimed_all(resources.db, job_id)
    hosts = [HostSnapshot("http://a.example:80", 2, 3, 0.0, 0, 4, 0.5), HostSnapshot("http://b.example:80", 0, 1, 4e9, 0)]
    await fleet.beat(resources.db, replace(WORKER, hosts=[asdict(host) for host in hosts]))
    page = (await browser.get("/fleet")).text
    assert "0.5/s" in page
    assert "closed for" in page


async def test_dead_units_are_retried_one_by_one_or_as_selected(browser: Browser, resources: Resources) -> None:
    """At once; the page says how many."""
    job, ids = await died(resources, number=3)
    page = (await browser.get("/fleet")).text
    assert page.count('name="unit"') == 3
    assert "MemoryError: too much" in page
    assert f'href="/jobs/{job.id}"' in page
    answer = await browser.post("/fleet/dead/retry", only=ids[0], unit=ids[1])
    assert (answer.status_code, answer.headers["location"]) == (303, "/fleet?retried=1#dead")
    answer = await browser.post("/fleet/dead/retry", unit=ids[1:])
    assert answer.headers["location"] == "/fleet?retried=2#dead"
    assert "2 units will run again." in (await browser.get("/fleet?retried=2")).text
    assert (await status_of(resources, job.id))[1] == 3


async def test_discarding_asks_first(browser: Browser, resources: Resources) -> None:
    """On a page of its own, which carries the selection on; a script gets the question alone."""
    job, ids = await died(resources, number=2)
    await browser.get("/fleet")
    asked = await browser.post("/fleet/dead/discard", unit=ids)
    assert asked.status_code == 200
    assert "2 dead units will never run again." in asked.text
    assert all(f'name="unit" value="{unit_id}"' in asked.text for unit_id in ids)
    assert (await status_of(resources, job.id))[0] == "failed"
    part = await browser.client.post(
        "/fleet/dead/discard", data={"unit": ids}, headers={"HX-Request": "true", "X-CSRF-Token": browser.token}
    )
    assert "<html" not in part.text
    answer = await browser.post("/fleet/dead/discard", unit=ids, sure="yes", resume="yes")
    assert answer.headers["location"] == "/fleet?discarded=2#dead"
    assert "No unit of your jobs is dead." in (await browser.get("/fleet")).text
    assert (await status_of(resources, job.id))[0] != "failed"  # it was to go on


async def test_all_that_match_the_filter_are_changed_once_it_is_sure(browser: Browser, resources: Resources) -> None:
    """The filter goes along; what does not match stays dead."""
    await died(resources, number=2)
    await died(resources, error="OSError: no space")
    page = (await browser.get("/fleet?error=Memory&kind=&job_id=")).text
    assert page.count('name="unit"') == 2
    asked = await browser.post("/fleet/dead/retry", every="yes", error="Memory", kind="fetch")
    assert "2 dead units become pending again" in asked.text
    assert 'name="error" value="Memory"' in asked.text
    answer = await browser.post("/fleet/dead/retry", every="yes", error="Memory", kind="fetch", sure="yes")
    assert answer.headers["location"] == "/fleet?kind=fetch&error=Memory&retried=2#dead"
    assert "No dead unit matches." in (await browser.get("/fleet?error=Memory")).text
    assert "OSError: no space" in (await browser.get("/fleet")).text


async def test_what_cannot_be_done_is_said(browser: Browser, resources: Resources) -> None:
    """Nothing selected, nothing left, a filter of another version."""
    await browser.get("/fleet")
    for fields, words in (
        ({}, "Select the units first"),
        ({"every": "yes"}, "No dead unit matches any more"),
        ({"kind": "x"}, "load the page again"),
        ({"only": "17"}, "is no unit"),
        ({"unit": ["unit_" + "0" * 32, "x"]}, "is no unit"),
        ({"unit": "unit_" + "0" * 32 + "\n", "sure": "yes"}, "is no unit"),
    ):
        for verb in ("retry", "discard"):
            answer = await browser.post(f"/fleet/dead/{verb}", **fields)
            assert (answer.status_code, words in answer.text) == (422, True)
    assert (await browser.get("/fleet?kind=nothing")).status_code == 422


async def test_dead_units_of_others_are_nobody_elses(browser: Browser, resources: Resources) -> None:
    """Neither listed nor changed."""
    job, ids = await died(resources, "bob")
    key = (await seeds.key_of(resources, "ann")).removeprefix("Bearer ")
    await browser.get("/signin")
    await browser.post("/signin", key=key)
    assert ids[0] not in (await browser.get("/fleet")).text
    assert (await browser.post("/fleet/dead/retry", only=ids[0])).status_code == 404
    assert (await browser.post("/fleet/dead/discard", only=ids[0], sure="yes")).status_code == 404
    assert (await status_of(resources, job.id))[0] == "failed"


async def test_a_silent_worker_runs_nothing(browser: Browser, resources: Resources) -> None:
    """Whatever its last heartbeat said."""
    await fleet.beat(resources.db, WORKER)
    await silent_for(resources.db, WORKER.id, 60)
    page = (await browser.get("/fleet")).text
    assert 'data-tone="dropped">silent' in page
    assert "0 of 8" in page
    assert "2 of 8" not in page
