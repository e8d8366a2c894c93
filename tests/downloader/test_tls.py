"""TLS: whom we trust, and the resumption of earlier sessions."""

import asyncio
import ssl

import pytest
import trustme

import errors
from downloader.tls import check_ca_file, enable_session_resumption, make_ssl_context

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
    enable_session_resumption(asking)
    async with Server(serving) as server:
        assert [await server.asked(asking, "a.test") for _ in range(4)] == [False, True, True, True]


async def test_session_is_of_one_host_and_of_one_context():
    """Another name is verified for itself, though it is the same server; so is the same name with other authorities."""
    serving, asking = contexts("a.test", "b.test")
    enable_session_resumption(asking)
    async with Server(serving) as server:
        assert not await server.asked(asking, "a.test")
        assert not await server.asked(asking, "b.test")
        with pytest.raises(ssl.SSLCertVerificationError):
            await server.asked(asking, "c.test")
        strangers = ssl.create_default_context()
        enable_session_resumption(strangers)
        with pytest.raises(ssl.SSLCertVerificationError):
            await server.asked(strangers, "a.test")


async def test_server_that_has_forgotten_shakes_hands_in_full():
    """As after its restart."""
    (first, asking), (second, _) = contexts("a.test"), contexts("a.test")
    enable_session_resumption(asking)
    async with Server(first) as server:
        await server.asked(asking, "a.test")
    async with Server(second) as server:
        assert [await server.asked(asking, "a.test") for _ in range(2)] == [False, True]


async def test_server_that_gives_no_ticket_is_not_remembered():
    """Nothing is kept that could not be taken up."""
    serving, asking = contexts("a.test")
    serving.num_tickets = 0
    enable_session_resumption(asking)
    async with Server(serving) as server:
        assert [await server.asked(asking, "a.test") for _ in range(2)] == [False, False]


async def test_certificate_is_there_in_bytes_only():
    """Putting it into words is what costs."""
    serving, asking = contexts("a.test")
    enable_session_resumption(asking)
    async with Server(serving) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=asking, server_hostname="a.test")
        connection = writer.get_extra_info("ssl_object")
        assert connection.getpeercert() == {}
        assert connection.getpeercert(True).startswith(b"\x30")
        writer.close()
        await writer.wait_closed()


def bundle(tmp_path, *authorities):
    """A file with the certificates of some authorities."""
    path = tmp_path / "ca.pem"
    path.write_bytes(b"".join(authority.cert_pem.bytes() for authority in authorities))
    return path


async def test_authorities_of_a_file_are_trusted_besides_the_public_ones(tmp_path):
    """As in a network that inspects TLS: its authority signs most hosts, and not all of them."""
    public = make_ssl_context().cert_store_stats()["x509_ca"]
    context = make_ssl_context(bundle(tmp_path, AUTHORITY))
    assert context.cert_store_stats()["x509_ca"] == public + 1
    serving, _ = contexts("a.test")
    async with Server(serving) as server:
        assert [await server.asked(context, "a.test") for _ in range(2)] == [False, True]
        with pytest.raises(ssl.SSLCertVerificationError):
            await server.asked(context, "b.test")


def test_authority_that_is_not_strictly_made_will_do(tmp_path):
    """Python 3.13 refuses authorities that lack what RFC 5280 asks for, and those of companies often do."""
    assert not make_ssl_context(bundle(tmp_path, AUTHORITY)).verify_flags & ssl.VERIFY_X509_STRICT


def test_file_of_authorities_is_counted(tmp_path):
    """What `doctor` shows."""
    assert check_ca_file(bundle(tmp_path, AUTHORITY, trustme.CA())) == 2


@pytest.mark.parametrize("content", [None, b"", b"nothing", b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"])
def test_file_without_an_authority_is_refused(tmp_path, content):
    """The message names the setting, the file and the remedy."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(errors.ConfigurationError, match=r"fetch\.ca_file = '.*ca\.pem'.*PEM"):
        check_ca_file(path)


def test_certificate_of_a_host_is_no_authority(tmp_path):
    """A common mistake: the certificate of the site instead of its issuer's."""
    path = tmp_path / "ca.pem"
    path.write_bytes(AUTHORITY.issue_cert("a.test").cert_chain_pems[0].bytes())
    with pytest.raises(errors.ConfigurationError, match="no authority"):
        check_ca_file(path)
