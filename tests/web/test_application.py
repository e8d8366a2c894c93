from fastapi import FastAPI

from app.db import events
from app.resources import Resources
from app.web import create_app, openapi_document
from app.web.application import TAGS
from tests.web import seeds
from tests.web.conftest import Connect


def test_every_tag_is_described_and_used() -> None:
    """The document's chapters."""
    document = openapi_document()
    used = {tag for item in document["paths"].values() for operation in item.values() for tag in operation["tags"]}
    assert used == {tag["name"] for tag in TAGS}


async def test_two_applications_share_nothing(connect: Connect, resources: Resources) -> None:
    """Stopping one does not stop the other."""
    one, other = create_app(resources), create_app(resources)
    one.state.stopping.set()
    assert not other.state.stopping.is_set()
    assert one.state.readiness is not other.state.readiness


async def test_the_lifespan_records_what_is_logged_in_a_jobs_context(app: FastAPI, resources: Resources) -> None:
    """Under any server, not only ours."""
    async with app.router.lifespan_context(app):
        job = await seeds.build(resources)
    assert [line.event for line in await events.after(resources.db, job.id)] == ["job.accepted"]
