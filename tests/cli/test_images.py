"""``pictrawl images ls``."""

import asyncio
import sys

import pytest

from app.resources import open_resources
from app.settings import load_settings
from tests.cli.conftest import Invoke, Result
from tests.db import builders


@pytest.fixture
def images_410() -> int:
    """A workspace in the current folder with 410 images: more than two pages of a query."""

    async def fill() -> None:
        async with open_resources(load_settings()) as resources:
            job_id = await builders.add_job(resources.db)
            await builders.add_images(resources.db, job_id, 410)

    asyncio.run(fill())
    return 410


def test_images_are_listed_by_state_reason_and_as_a_list(mixed: Result, invoke: Invoke) -> None:
    """Filters take the words of the contract; urls can be the next build's list; pages go on with a cursor."""
    assert invoke("images", "ls", "--reason", "http_404", "-f", "urls").out.endswith("/gone.jpg\n")
    assert "too_small" in invoke("images", "ls", "--state", "rejected").out
    first = invoke("images", "ls", "-n", 2)
    assert "the first 2 are shown; more: add --limit N or --cursor" in first.err
    second = invoke("images", "ls", "-n", 2, "--cursor", first.err.split()[-1], "-q")
    assert len(second.out.split()) == 2
    assert "no images" in invoke("images", "ls", "--label", "none").err
    assert invoke("images", "ls", "--state", "lost").code == 2
    assert invoke("images", "ls", "--cursor", "???").code == 2


def test_a_redirected_list_is_whole(images_410: int, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every page is read: urls, rows, ids and the one document. A terminal gets the first page, and a line that says so."""
    assert len(invoke("images", "ls", "-f", "urls").out.split()) == images_410
    rows = invoke("images", "ls").out.splitlines()
    assert len(rows) == images_410 + 1
    assert [line for line in rows if line.split()[0] == "id"] == [rows[0]]
    assert len(invoke("images", "ls", "-q").out.split()) == images_410
    document = invoke("images", "ls", "--json").json
    assert (len(document["items"]), document["next_cursor"]) == (images_410, None)
    part = invoke("images", "ls", "-n", 250, "--json").json
    assert len(part["items"]) == 250
    rest = invoke("images", "ls", "--cursor", part["next_cursor"], "--json").json
    assert [item["id"] for item in part["items"] + rest["items"]] == [item["id"] for item in document["items"]]
    assert invoke("images", "ls", "--state", "kept", "--json").out == '{"items": [], "next_cursor": null}\n'
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda stream: True, raising=False)
    shown = invoke("images", "ls", "-f", "urls")
    assert len(shown.out.split()) == 50
    assert "the first 50 are shown" in shown.err
