"""``pictrawl images ls``."""

import asyncio
import sys
from pathlib import Path

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


def test_images_of_a_dataset_are_searched_and_sorted(mixed: Result, invoke: Invoke) -> None:
    """By what only all rows together answer; every page of a redirected list, and what it cannot do by name."""
    largest = invoke("images", "ls", "--dataset", "list", "--state", "kept", "--sort", "-bytes", "--json").json["items"]
    sizes = [item["size_bytes"] for item in largest]
    assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) == mixed.json["funnel"]["kept"]
    assert invoke("images", "ls", "--dataset", "list", "--text", "GONE", "-f", "urls").out.endswith("/gone.jpg\n")
    assert invoke("images", "ls", "--dataset", "list", "--where", "width is unknown", "--host", "127.0.0.1", "-q").out.split()
    assert invoke("images", "ls", "--dataset", "list", "--license", "none", "-q").out == ""
    alone = invoke("images", "ls", "--text", "gone")
    assert (alone.code, "name it with --dataset, without --job" in alone.err) == (2, True)
    unknown = invoke("images", "ls", "--dataset", "list", "--sort", "beauty")
    assert (unknown.code, "sort 'beauty' does not exist" in unknown.err) == (2, True)
    assert invoke("images", "ls", "--dataset", "list", "--where", "title ~ x").code == 2
    assert "columns, which are made again" in invoke("workspace", "prune").out
    assert invoke("workspace", "du", "--json").json["size_bytes"]["columns"] > 0
    assert invoke("workspace", "prune", "--yes").code == 0
    assert invoke("workspace", "du", "--json").json["size_bytes"]["columns"] == 0
    assert invoke("images", "ls", "--dataset", "list", "--text", "gone", "-q").out
    columns = list(Path(".pictrawl/cache/columns").iterdir())
    assert len(columns) == 1
    assert invoke("forget", "0" * 64).code in (0, 4)
    assert invoke("datasets", "rm", "list", "--yes").code == 0
    assert list(Path(".pictrawl/cache/columns").iterdir()) == []
