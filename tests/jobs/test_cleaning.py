"""Thumbnails take no more bytes than they may: the oldest go first."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.jobs import cleaning
from app.resources import Resources, open_resources
from app.settings import load_settings
from app.storage import paths
from tests.templates import sqlite_like_new


@pytest.fixture
async def resources(tmp_path: Path) -> AsyncIterator[Resources]:
    sqlite_like_new(tmp_path / "pictrawl.db")
    async with open_resources(load_settings({"workspace.path": tmp_path})) as opened:
        yield opened


async def thumbnail(resources: Resources, digit: str, size_bytes: int, made_at: float) -> None:
    """A thumbnail of this size and age."""
    key = paths.thumb(digit * 64)
    await resources.store.put(key, bytes(size_bytes))
    os.utime(str(resources.store.local_path(key)), (made_at, made_at))


async def left(resources: Resources) -> str:
    """The first digits of the thumbnails that are left."""
    return "".join(sorted([item.key.rpartition("/")[2][0] async for item in resources.store.list("thumbs/")]))


@pytest.mark.parametrize(
    ("max_bytes", "expected"), [(None, "abcd"), (1000, "abcd"), (999, "bcd"), (700, "bcd"), (699, "d"), (400, "d"), (399, ""), (0, "")]
)
async def test_the_oldest_thumbnails_go_until_the_rest_fits(resources: Resources, max_bytes: int | None, expected: str) -> None:
    """Those of one second go together; what is shown beforehand is what goes."""
    for digit, size_bytes, made_at in (("a", 300, 1000.5), ("b", 200, 2000.1), ("c", 100, 2000.9), ("d", 400, 3000.0)):
        await thumbnail(resources, digit, size_bytes, made_at)
    plan = await cleaning.plan(resources.db, resources.store, cleaning.Choice(thumbnail_bytes=max_bytes))
    cleaned = await cleaning.clean(resources.db, resources.store, thumbnail_bytes=max_bytes)
    assert await left(resources) == expected
    assert (plan.thumbnails, plan.thumbnail_bytes) == (cleaned.thumbnails, cleaned.size_bytes)
    assert cleaned.thumbnails == 4 - len(expected)
