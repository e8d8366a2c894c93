"""Exports of the API that go elsewhere: only where the operator allows it."""

from pathlib import Path

import httpx
import pytest

from app.db import datasets
from app.resources import Resources
from app.settings import Settings, load_settings
from tests.web import seeds


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of an operator who allows a prefix and an organisation."""
    return load_settings({"workspace.path": tmp_path, "export.destinations": ("s3://bucket/public", "hf://org")})


@pytest.fixture
async def path(resources: Resources) -> str:
    """Where exports of a dataset are asked for."""
    job = await seeds.build(resources)
    await seeds.image(resources, job, "a.jpg", b"aa")
    return f"/v1/datasets/{job.dataset_id}/exports"


async def test_a_destination_that_is_allowed_is_in_the_row(client: httpx.AsyncClient, resources: Resources, path: str) -> None:
    """In its one spelling, with what was asked for; how far it is comes with the sending."""
    body = {"export_format": "files", "destination": "hf://datasets/org/name", "overwrite": True, "private": False}
    made = (await client.post(path, json=body)).json()
    assert (made["destination"], made["delivery"], made["delivered_at"]) == ("hf://org/name", None, None)
    row = await datasets.get_export(resources.db, made["id"])
    assert row.delivery == {"overwrite": True, "private": False}
    figures = {"files": 1, "size_bytes": 2, "all_files": 3, "all_bytes": 4}
    async with resources.db.write() as connection:
        await datasets.mark_delivered(connection, made["id"], {"overwrite": True, **figures})
    shown = (await client.get(f"/v1/exports/{made['id']}")).json()
    assert shown["delivery"] == figures | {"url": None}
    assert shown["delivered_at"] is not None


@pytest.mark.parametrize(
    ("destination", "said"),
    [
        (
            "s3://bucket/publicity",
            "destination s3://bucket/publicity is not allowed here; export.destinations allows s3://bucket/public, hf://org",
        ),
        ("gs://bucket/public", "is not allowed here"),
        ("out", "destination out is of no known kind"),
        ("/etc", "destination /etc is of no known kind"),
        ("s3://key:secret@bucket/public", "has credentials in it"),
    ],
)
async def test_any_other_is_refused(client: httpx.AsyncClient, path: str, destination: str, said: str) -> None:
    """A folder of the server too. Nothing is written, and no secret repeated."""
    answer = await client.post(path, json={"export_format": "files", "destination": destination})
    assert answer.status_code == 422
    assert said in answer.json()["detail"]
    assert "secret" not in answer.text
    assert (await client.get(path)).json()["items"] == []
