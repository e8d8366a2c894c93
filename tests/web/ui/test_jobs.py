"""The pages of jobs as the server renders them: every state says what to do next, and forms change what the API changes."""

from datetime import UTC, datetime

import httpx
import pytest
from fastapi import FastAPI

from app.db import events
from app.domain import ImageState, Reason
from app.job_states import JobState
from app.resources import Resources
from app.web.api.explain import Stage
from app.web.ui.routes.jobs import MIN_BAR, SVG_WIDTH, timeline
from tests.web import seeds
from tests.web.conftest import Connect

HTML = {"Accept": "text/html"}


def at(second: float) -> datetime:
    return datetime.fromtimestamp(second, UTC)


def test_stages_are_drawn_to_scale() -> None:
    """From the first beginning to the last end; one that runs ends now, and the shortest can be seen."""
    stages = [
        Stage(kind="fetch", units=2, open=0, began_at=at(100), ended_at=at(150)),
        Stage(kind="plan", units=1, open=0, began_at=at(100), ended_at=at(100)),
        Stage(kind="validate", units=1, open=1, began_at=at(150), ended_at=None),
    ]
    bars = timeline(stages, at(200))
    assert [(bar.x, bar.width, bar.took_s) for bar in bars] == [(0, 500, 50), (0, MIN_BAR, 0), (500, 500, 50)]
    assert all(bar.x + bar.width <= SVG_WIDTH for bar in bars)
    last = Stage(kind="verify", units=1, open=0, began_at=at(200), ended_at=at(200))
    assert timeline([*stages, last], at(200))[-1][1:3] == (SVG_WIDTH - MIN_BAR, MIN_BAR)
    assert timeline([], at(200)) == []


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (JobState.SUCCEEDED, "Look at the pictures"),
        (JobState.PARTIAL, "Why there are fewer images than wanted"),
        (JobState.FAILED, "no image was kept"),
        (JobState.CANCELLED, "It was cancelled"),
    ],
)
async def test_a_job_that_ended_says_what_comes_next(client: httpx.AsyncClient, resources: Resources, state: JobState, words: str) -> None:
    """And follows no stream."""
    shortfall = {"missing": 3, "causes": ["the whole list was read <b>"]} if state is JobState.PARTIAL else None
    job = await seeds.build(resources)
    await seeds.image(resources, job, "a.jpg", b"a")
    await seeds.end(resources, job.id, state, shortfall=shortfall, error="no image was kept" if state is JobState.FAILED else None)
    page = (await client.get(f"/jobs/{job.id}", headers=HTML)).text
    assert words in page
    assert ("the whole list was read &lt;b&gt;" in page) == (state is JobState.PARTIAL)
    assert "data-stream" not in page
    assert 'id="pause"' not in page


async def test_what_may_have_passed_can_be_retried_by_reason(client: httpx.AsyncClient, resources: Resources, app: FastAPI) -> None:
    """A 404 has no button; while the job runs nothing has."""
    job = await seeds.build(resources)
    await seeds.image(resources, job, "a.jpg", state=ImageState.FAILED, reason=Reason.TIMEOUT)
    await seeds.image(resources, job, "b.jpg", state=ImageState.FAILED, reason=Reason.HTTP_404)
    assert 'id="retry' not in (await client.get(f"/jobs/{job.id}", headers=HTML)).text
    await seeds.end(resources, job.id, JobState.FAILED)
    page = (await client.get(f"/jobs/{job.id}", headers=HTML)).text
    assert ('id="retry-timeout"' in page, 'id="retry-http_404"' in page, "http_404" in page) == (True, False, True)


async def test_a_log_filter_that_cannot_be_is_said(client: httpx.AsyncClient, resources: Resources) -> None:
    """With the lines as they are; markup in lines is text."""
    job = await seeds.build(resources)
    line = {"job_id": job.id, "at": 1.0, "level": "INFO", "event": "chunk.fetched", "data": {"url": "http://x.example/<script>"}}
    await events.add(resources.db, [line])
    page = (await client.get(f"/jobs/{job.id}/log", params={"host": "a b"}, headers=HTML)).text
    assert "host: " in page
    assert "http://x.example/&lt;script&gt;" in page


async def test_parts_of_the_page_come_alone_to_its_script(client: httpx.AsyncClient, resources: Resources) -> None:
    """The figures without the frame, the times, the lines."""
    job = await seeds.build(resources)
    for path, words in (
        (f"/jobs/{job.id}", 'id="part-state"'),
        (f"/jobs/{job.id}?part=time", "Where the time goes"),
        (f"/jobs/{job.id}/log", "No line"),
    ):
        part = (await client.get(path, headers=HTML | {"HX-Request": "true"})).text
        assert words in part
        assert "<html" not in part


async def test_jobs_of_others_are_not_there(app: FastAPI, connect: Connect, resources: Resources) -> None:
    """Neither in the list nor by their address, nor for a change."""
    job = await seeds.build(resources, "bob")
    client = connect(app, await seeds.key_of(resources, "ann"))
    assert job.id not in (await client.get("/jobs", headers=HTML)).text
    for path in (f"/jobs/{job.id}", f"/jobs/{job.id}/log", f"/jobs/{job.id}?part=time"):
        assert (await client.get(path, headers=HTML)).status_code == 404
