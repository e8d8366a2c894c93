"""A client that only sends, whatever the origin sets or says."""

import httpx
import pytest

from downloader.plain_client import PlainClient


async def test_cookie_of_a_reply_is_neither_kept_nor_sent_back():
    """The second request is the first one again."""
    sent = []

    def answer(request):
        sent.append(request.headers.raw)
        return httpx.Response(200, headers={"Set-Cookie": "a=b; Path=/"})

    async with PlainClient(transport=httpx.MockTransport(answer)) as client:
        await client.get("http://h.test/")
        await client.get("http://h.test/")
        assert not client.cookies
    assert sent[0] == sent[1]


async def test_redirect_is_a_reply_wherever_it_leads():
    """httpx raises for a Location that it cannot read, though it was told not to follow."""
    transport = httpx.MockTransport(lambda _: httpx.Response(302, headers={"Location": "http://[/"}, content=b"moved"))
    async with PlainClient(transport=transport, follow_redirects=True) as client:
        response = await client.get("http://h.test/")
    assert (response.status_code, response.content, response.headers["location"]) == (302, b"moved", "http://[/")
    assert response.request.url == "http://h.test/"


class _Breaking(httpx.AsyncByteStream):
    is_closed = False

    async def __aiter__(self):
        yield b"a"
        raise httpx.ReadError("broken")

    async def aclose(self):
        self.is_closed = True


async def test_reply_that_breaks_off_is_closed_and_one_that_is_streamed_is_left_to_the_caller():
    """Whoever reads the stream closes it."""
    streams = [_Breaking(), _Breaking()]
    left = iter(streams)
    async with PlainClient(transport=httpx.MockTransport(lambda _: httpx.Response(200, stream=next(left)))) as client:
        with pytest.raises(httpx.ReadError):
            await client.get("http://h.test/")
        await client.send(client.build_request("GET", "http://h.test/"), stream=True)
    assert [stream.is_closed for stream in streams] == [True, False]
