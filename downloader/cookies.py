"""An httpx client without cookies. httpx has no switch for them and searches every reply for some, whatever its jar may keep."""

from typing import Any

import httpx

__all__ = ["CookielessClient"]


class _NoCookies(httpx.Cookies):
    """Cookies that no reply adds to."""

    def extract_cookies(self, response: httpx.Response) -> None:
        """Keep nothing."""


class CookielessClient(httpx.AsyncClient):
    """`httpx.AsyncClient` that keeps no cookie of a reply, and so has none to send."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._cookies = _NoCookies()
