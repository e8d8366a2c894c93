"""A browser without scripts: it asks for pages, and sends their forms back with their token and its cookie."""

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from tests.web.conftest import Connect

PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
_TOKEN = re.compile(r'name="csrf_token" value="([0-9a-f]{64})"')
_META = re.compile(r'name="csrf-token" content="([0-9a-f]{64})"')


class Browser:
    """Asks for pages of one application."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.token = ""

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """A page; the token of its forms is remembered."""
        answer = await self.client.get(path, headers=PAGE | headers)
        found = _META.search(answer.text)
        self.token = found[1] if found else self.token
        return answer

    async def post(self, path: str, **fields: Any) -> httpx.Response:
        """Send a form with the token of the page that was loaded last."""
        return await self.client.post(path, data={"csrf_token": self.token} | fields, headers=PAGE)


@pytest.fixture
def browse(connect: Connect) -> Callable[..., Browser]:
    def make(app: FastAPI, **options: Any) -> Browser:
        return Browser(connect(app, **options))

    return make


@pytest.fixture
def browser(app: FastAPI, browse: Callable[..., Browser]) -> Browser:
    return browse(app)
