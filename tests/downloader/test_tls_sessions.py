"""TLS sessions: taken up by the same host's next connection, and by nobody else's."""

import asyncio
import ssl

import pytest
import trustme

from downloader.tls_sessions import _HOSTS_KEPT, _Sessions, take_up_sessions

AUTHORITY = trustme.CA()


def contexts(*names, version=ssl.TLSVersion.TLSv1_3):
    serving, asking = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    AUTHORITY.issue_cert(*names).configure_cert(serving)
    AUTHORITY.configure_trust(asking)
    asking.maximum_version = version
    return serving, asking


class Server:
    """Greets each connection and hangs up."""

    def __init__(self, context):
        self._context = context

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._greet, "127.0.0.1", 0, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        await self._server.wait_closed()

    async def _greet(self, reader, writer):
        writer.write(b"hello")
        await writer.drain()
        await reader.read()
        writer.close()

    async def asked(self, context, host):
        """Connect, read, leave; True where the session was taken up."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=context, server_hostname=host)
        assert await reader.readexactly(5) == b"hello"
        reused = writer.get_extra_info("ssl_object").session_reused
        writer.close()
        await writer.wait_closed()
        return reused


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_next_connection_to_a_host_takes_the_session_up(version):
    """The first one shakes hands in full."""
    serving, asking = contexts("a.test", version=version)
    take_up_sessions(asking)
    async with Server(serving) as server:
        assert [await server.asked(asking, "a.test") for _ in range(4)] == [False, True, True, True]


async def test_session_is_of_one_host_and_of_one_context():
    """Another name is verified for itself, though it is the same server; so is the same name with other authorities."""
    serving, asking = contexts("a.test", "b.test")
    take_up_sessions(asking)
    async with Server(serving) as server:
        assert not await server.asked(asking, "a.test")
        assert not await server.asked(asking, "b.test")
        with pytest.raises(ssl.SSLCertVerificationError):
            await server.asked(asking, "c.test")
        strangers = ssl.create_default_context()
        take_up_sessions(strangers)
        with pytest.raises(ssl.SSLCertVerificationError):
            await server.asked(strangers, "a.test")


async def test_server_that_has_forgotten_shakes_hands_in_full():
    """As after its restart."""
    (first, asking), (second, _) = contexts("a.test"), contexts("a.test")
    take_up_sessions(asking)
    async with Server(first) as server:
        await server.asked(asking, "a.test")
    async with Server(second) as server:
        assert [await server.asked(asking, "a.test") for _ in range(2)] == [False, True]


async def test_server_that_gives_no_ticket_is_not_remembered():
    """Nothing is kept that could not be taken up."""
    serving, asking = contexts("a.test")
    serving.num_tickets = 0
    take_up_sessions(asking)
    async with Server(serving) as server:
        assert [await server.asked(asking, "a.test") for _ in range(2)] == [False, False]


async def test_certificate_is_there_in_bytes_only():
    """Putting it into words is what costs."""
    serving, asking = contexts("a.test")
    take_up_sessions(asking)
    async with Server(serving) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=asking, server_hostname="a.test")
        connection = writer.get_extra_info("ssl_object")
        assert connection.getpeercert() == {}
        assert connection.getpeercert(True).startswith(b"\x30")
        writer.close()
        await writer.wait_closed()


def test_newest_session_of_a_host_counts_and_the_oldest_go():
    """One for a host; without a name there is none."""
    sessions = _Sessions()
    sessions.keep("a", "1")
    sessions.keep("a", "2")
    assert [sessions.of("a"), sessions.of("a"), sessions.of("b"), sessions.of(None)] == ["2", "2", None, None]
    for number in range(_HOSTS_KEPT):
        sessions.keep(f"host {number}", "s")
    assert [sessions.of("a"), sessions.of("host 0")] == [None, "s"]
