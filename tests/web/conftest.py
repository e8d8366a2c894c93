"""An API over an empty workspace, with nobody working."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from app.resources import Resources, open_resources
from app.settings import Settings, load_settings
from app.web import create_app
from tests.templates import sqlite_like_new

Connect = Callable[..., httpx.AsyncClient]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"workspace.path": tmp_path, "fetch.contact": "ops@example.org", "serve.max_body_bytes": 100_000})


@pytest.fixture
async def resources(settings: Settings) -> AsyncIterator[Resources]:
    sqlite_like_new(settings.workspace.path / "pictrawl.db")
    async with open_resources(settings) as opened:
        yield opened


@pytest.fixture
def app(resources: Resources) -> FastAPI:
    return create_app(resources)


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Clients of any application; no test of ours goes through a socket without saying so."""
    opened: list[httpx.AsyncClient] = []

    def make(app: FastAPI, key: str | None = None, base_url: str = "http://127.0.0.1:8080") -> httpx.AsyncClient:
        headers = {"Authorization": key} if key else {}
        opened.append(httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base_url, headers=headers))
        return opened[-1]

    yield make
    for client in opened:
        await client.aclose()


@pytest.fixture
def client(app: FastAPI, connect: Connect) -> httpx.AsyncClient:
    return connect(app)
