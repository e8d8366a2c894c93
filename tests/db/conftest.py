"""Fixtures of the database tests."""

from collections.abc import AsyncIterator

import pytest

from app.db import Database
from tests.conftest import opened


@pytest.fixture
async def postgres_database(postgres_url: str) -> AsyncIterator[Database]:
    """PostgreSQL with the newest schema, for what only concurrent writers show."""
    async for db in opened(postgres_url):
        yield db
