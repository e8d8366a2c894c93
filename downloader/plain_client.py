"""An httpx client that only sends. What httpx does around that has no switch, and costs each request more than the sending."""

from typing import Any

import httpx

__all__ = ["PlainClient"]


class PlainClient(httpx.AsyncClient):
    """`httpx.AsyncClient` that hands a request to the transport and the reply back.

    It follows no redirect, not even to look where it would lead; it keeps no cookie of a reply, and so has none to send; it knows no
    authentication, no hook and no line in the log. Requests are built as httpx builds them.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport, **options: Any) -> None:
        super().__init__(transport=transport, **options)
        self._way = transport

    async def send(self, request: httpx.Request, *, stream: bool = False, **_: Any) -> httpx.Response:
        """Send a request; with ``stream`` the caller reads and closes the reply's stream.

        Raises:
            Exception: what the transport raises.
        """
        response = await self._way.handle_async_request(request)
        response.request = request
        if not stream:
            try:
                await response.aread()
            finally:
                await response.aclose()
        return response
