"""Asks a provider without a socket between, for searches of many thousand results."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

import errors
from app.discovery.sources.source import Params
from tests.origin import Hit
from tests.providers.answers import Request
from tests.providers.server import Provider

__all__ = ["InProcessClient"]

ROOT = "https://provider.test"
"""Stands in answers for the address of the provider, which listens nowhere."""


class InProcessClient:
    """A `app.discovery.sources.source.JsonClient`; what it sends is in ``provider.requests``."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    async def fetch_json(self, url: str, *, params: Params | None = None, headers: Mapping[str, str] | None = None) -> Any:
        parts = urlsplit(f"{url}?{urlencode(params or {}, doseq=True)}")
        target = f"{parts.path}?{parts.query}"
        request = Request.parse(Hit("GET", target, {name.lower(): value for name, value in (headers or {}).items()}), 0.0)
        self._provider.requests.append(request)
        response = self._provider.answer(request)
        if response.status != 200:
            raise errors.from_status(response.status, url)
        return json.loads(response.encoded.replace(self._provider.base_url.encode(), ROOT.encode()))
