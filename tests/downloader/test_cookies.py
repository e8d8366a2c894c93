"""A client without cookies, whatever the origin sets."""

import httpx

from downloader.cookies import CookielessClient


async def test_cookie_of_a_reply_is_neither_kept_nor_sent_back():
    """The second request is the first one again."""
    sent = []

    def answer(request):
        sent.append(request.headers.raw)
        return httpx.Response(200, headers={"Set-Cookie": "a=b; Path=/"})

    async with CookielessClient(transport=httpx.MockTransport(answer)) as client:
        await client.get("http://h.test/")
        await client.get("http://h.test/")
        assert not client.cookies
    assert sent[0] == sent[1]
