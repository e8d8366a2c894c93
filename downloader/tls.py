"""TLS of requests: whom we trust, and the resumption of earlier sessions. Knows nothing of HTTP."""

import ssl
from pathlib import Path
from typing import Any, ClassVar, Final

import httpx

import errors
from downloader.lru import LRUDict

__all__ = ["check_ca_file", "enable_session_resumption", "make_ssl_context"]

_MAX_SESSIONS: Final = 1000


def make_ssl_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """Return a client context that trusts the public authorities, and those of a file. Loading them takes 50 ms.

    Python 3.13 and newer refuse authorities that RFC 5280 would have made otherwise (VERIFY_X509_STRICT). Those of companies often are
    so, and no browser minds: with a file of the operator's the flag is off. Chains, dates and names are verified as ever.

    Raises:
        errors.ConfigurationError: see `check_ca_file`.
    """
    context = httpx.create_ssl_context()
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is not None:
        _load(context, ca_file)
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    enable_session_resumption(context)
    return context


def check_ca_file(ca_file: Path) -> int:
    """Return how many authorities a file holds.

    Raises:
        errors.ConfigurationError: it cannot be read, or holds none.
    """
    found = _load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ca_file)
    if not found:
        raise _refused(ca_file, "holds no authority, only certificates of hosts")
    return found


def _load(context: ssl.SSLContext, ca_file: Path) -> int:
    """Add the certificates of a file; return how many authorities that the context did not know."""
    known = context.cert_store_stats()["x509_ca"]
    try:
        context.load_verify_locations(ca_file)
    except ssl.SSLError as exc:
        raise _refused(ca_file, "holds no certificate in PEM, whose lines begin with -----BEGIN CERTIFICATE-----") from exc
    except OSError as exc:
        raise _refused(ca_file, f"cannot be read: {exc.strerror}") from exc
    return context.cert_store_stats()["x509_ca"] - known


def _refused(ca_file: Path, why: str) -> errors.ConfigurationError:
    return errors.ConfigurationError(f"fetch.ca_file = {str(ca_file)!r} {why}; name a file with the certificate of the authority in PEM")


def enable_session_resumption(context: ssl.SSLContext) -> None:
    """Make the client connections of a context resume earlier TLS sessions with the same host.

    A second connection then costs no certificate and no signature. The host was verified by name when the session was agreed upon; the
    session is kept under that name and for this context only, and a server that no longer knows it gets a full handshake (RFC 8446 2.2,
    4.6.1). RFC 8446 C.4 advises to use a session once, so that a client is not recognised; ours names itself in each request.
    """
    context.sslobject_class = type("_ResumingSSLObject", (_ResumingSSLObject,), {"sessions": LRUDict(_MAX_SESSIONS)})


class _ResumingSSLObject(ssl.SSLObject):
    sessions: ClassVar[LRUDict[str, ssl.SSLSession]]
    _has_begun = False
    _has_read = False

    def do_handshake(self) -> None:
        """Offer the last session; the event loop calls this again until the handshake is done."""
        if not self._has_begun:
            self._has_begun = True
            if self.server_hostname and (session := self.sessions.peek(self.server_hostname)) is not None:
                self.session = session
        super().do_handshake()

    def read(self, len: int = 1024, buffer: Any = None) -> Any:
        """Keep the session after the first read: a server sends its tickets after the handshake, before the reply."""
        read = super().read(len, buffer) if buffer is not None else super().read(len)
        if not self._has_read:
            self._has_read = True
            self._keep_session()
        return read

    def getpeercert(self, binary_form: bool = False) -> Any:
        """Skip the parsed form, which the event loop asks for and nobody reads: that takes longer than OpenSSL's check."""
        return super().getpeercert(binary_form=True) if binary_form else {}

    def _keep_session(self) -> None:
        """Keep a newly agreed session that can be resumed."""
        if self.server_hostname and not self.session_reused and (session := self.session) is not None and session.has_ticket:
            self.sessions.put(self.server_hostname, session)
