"""Fixtures of the database tests."""

import time
from collections.abc import AsyncIterator

import pytest

from app.db import Database
from tests.conftest import opened
from tests.services import PostgresServer
from tests.templates import postgres_like_new


@pytest.fixture
async def postgres_database(postgres_server: PostgresServer) -> AsyncIterator[Database]:
    """PostgreSQL with the newest schema, for what SQLite cannot show: several writers at a time."""
    name = f"writers_{time.time_ns():x}"
    async for db in opened(postgres_like_new(postgres_server, name)):
        yield db
    postgres_server.drop_database(name)
