"""TLS sessions taken up again: a second connection to a host costs no certificate and no signature. Knows the ssl module, no HTTP.

Whom a session was agreed upon with was verified then, by name; it is kept under that name and for its own context only, and a server
that does not know it any more gets a whole handshake (RFC 8446 2.2, 4.6.1).
"""

import ssl
from collections import OrderedDict
from typing import Any, ClassVar, Final

__all__ = ["take_up_sessions"]

_HOSTS_KEPT: Final = 1000


def take_up_sessions(context: ssl.SSLContext) -> None:
    """Make the client connections of a context take up the sessions of earlier ones to the same host."""
    context.sslobject_class = type("_Resuming", (_Resuming,), {"sessions": _Sessions()})


class _Sessions:
    """The sessions of one context, one for a host; those agreed upon longest ago go first.

    A session is used for as long as the server takes it. RFC 8446 C.4 advises against that where a client would not be recognised; ours
    says who it is with each request, and to get a new one each time would cost as much as is saved: Python copies it with its certificate.
    """

    def __init__(self) -> None:
        self._held: OrderedDict[str, ssl.SSLSession] = OrderedDict()

    def of(self, host: str | None) -> ssl.SSLSession | None:
        return self._held.get(host) if host else None

    def keep(self, host: str, session: ssl.SSLSession) -> None:
        self._held[host] = session
        self._held.move_to_end(host)
        if len(self._held) > _HOSTS_KEPT:
            self._held.popitem(last=False)


class _Resuming(ssl.SSLObject):
    sessions: ClassVar[_Sessions]
    _is_begun = False
    _is_read = False

    def do_handshake(self) -> None:
        """Called again and again until it is done."""
        if not self._is_begun:
            self._is_begun = True
            if (session := self.sessions.of(self.server_hostname)) is not None:
                self.session = session
        super().do_handshake()

    def read(self, len: int = 1024, buffer: Any = None) -> Any:
        """Behind the handshake's end a server sends its tickets first, so they are here with the first bytes of the reply."""
        read = super().read(len, buffer) if buffer is not None else super().read(len)
        if not self._is_read:
            self._is_read = True
            self._remember()
        return read

    def getpeercert(self, binary_form: bool = False) -> Any:
        """OpenSSL has checked it; the event loop asks for it in words, which takes longer than the check, and nobody reads them."""
        return super().getpeercert(binary_form=True) if binary_form else {}

    def _remember(self) -> None:
        """Keep what was agreed upon anew, if it can be taken up."""
        if self.server_hostname and not self.session_reused and (session := self.session) is not None and session.has_ticket:
            self.sessions.keep(self.server_hostname, session)
