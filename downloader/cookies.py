"""An httpx client without cookies. httpx has no switch for them, and reads every reply for some: 20 us each, whatever the jar's policy."""

from typing import Any

import httpx

__all__ = ["CookielessClient"]


class _NoCookies(httpx.Cookies):
    """A jar that stays empty."""

    def extract_cookies(self, response: httpx.Response) -> None:
        """Keep nothing of a reply."""

    def set_cookie_header(self, request: httpx.Request) -> None:
        """Add nothing to a request."""


class CookielessClient(httpx.AsyncClient):
    """`httpx.AsyncClient` that neither keeps cookies nor sends any."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._cookies = _NoCookies()
