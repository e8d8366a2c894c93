"""Fixtures of the worker tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.origin import Origin
from tests.workers.bench import Bench, open_bench


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A bench on SQLite."""
    async with open_bench(tmp_path / "workspace") as bench:
        yield bench


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    """A scripted origin on a real socket."""
    async with Origin() as origin:
        yield origin
