"""The head of a reply (RFC 9112 4, 5): repairs the faults that leave its meaning clear, and names those that do not.

`ReplyHead` stands before the HTTP parser's protocol on a connection until the head is complete. Knows bytes, no URL and no request.
"""

import asyncio
import re
from collections.abc import Iterator
from typing import Final

__all__ = ["ReplyHead", "fault_of", "mend"]

_MAX_BYTES: Final = 65_536
"""A longer head is passed on as it comes; the HTTP parser refuses it."""

_START: Final = b"HTTP/"
_END: Final = re.compile(rb"\n\r?\n")
_INTERIM: Final = re.compile(rb"HTTP/1\.[01] (?:100|10[2-9]|1[1-9]\d)\b")
"""A head that another one follows; 101 is none."""

_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CLEAN: Final = re.compile(rb"HTTP/\d\.\d \d{3}(?: [^ \t\r\n][^\r\n]*| ?)\r\n(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\r\n\0]*\r\n)*\r\n")
_LENGTHS: Final = re.compile(rb"\ncontent-length:([^\r\n]*)", re.IGNORECASE)
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] \d{3}(?: .*)?", re.DOTALL)
_LOOSE_STATUS_LINE: Final = re.compile(rb"HTTP/(1\.[01])[ \t]+(\d{3})(?:[ \t]+(.*))?", re.DOTALL | re.IGNORECASE)
_MAX_LENGTH_DIGITS: Final = 18


class ReplyHead(asyncio.Protocol):
    """Reads the head of one reply, repairs it, passes it on, and puts the parser's protocol back.

    Args:
        transport: the connection, idle before the request.
        parser: the protocol that reads it.

    Attributes:
        is_empty: not one byte of the reply has come.
    """

    def __init__(self, transport: asyncio.Transport, parser: asyncio.Protocol) -> None:
        self.is_empty = True
        self._transport = transport
        self._parser = parser
        self._held = b""
        self._last = b""
        transport.set_protocol(self)

    @property
    def fault(self) -> str | None:
        """What is wrong with the head, in words."""
        return fault_of(self._last or self._held)

    def data_received(self, data: bytes) -> None:
        """Hold the bytes until the head is complete."""
        self.is_empty = False
        held = self._held + data if self._held else data
        begin = 0
        while (end := _END.search(held, begin)) is not None:
            head = self._last = held[begin : end.end()]
            mended = mend(head)
            if _INTERIM.match(mended) is None:
                is_same = mended is head and not begin
                self._pass_on(held if is_same else mended + held[end.end() :])  # a body is not copied
                return
            self._parser.data_received(mended)
            begin = end.end()
        self._held = held[begin:]
        if len(self._held) > _MAX_BYTES or not _begins_like_http(self._held):
            self._last = self._held
            self._pass_on(self._held)

    def eof_received(self) -> bool | None:
        """The connection ends within the head."""
        if self._held:
            self._pass_on(self._held)
        return self._parser.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._parser.connection_lost(exc)

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._parser.pause_writing()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._parser.resume_writing()

    def _pass_on(self, data: bytes) -> None:
        self._held = b""
        self._transport.set_protocol(self._parser)
        self._parser.data_received(data)


def _begins_like_http(held: bytes) -> bool:
    begin = held.lstrip(b"\r\n")[: len(_START)].upper()
    return _START.startswith(begin)


def mend(head: bytes) -> bytes:
    """Return a head without the faults that leave its meaning clear; nearly every head has none and is returned itself.

    Dropped are lines that are no header field: without a colon, or with a name that is no token. Equal values of Content-Length become
    one (RFC 9112 6.3). White space before a colon goes; NUL and a lone CR in a value become spaces (RFC 9110 5.5). A status line in lower
    case, or with other white space than single spaces, becomes a usual one (RFC 9112 4).

    Args:
        head: status line and header lines with the empty line that ends them.
    """
    lengths = _LENGTHS.findall(head)
    if len(lengths) < 2 and not (lengths and b"," in lengths[0]) and _CLEAN.fullmatch(head):
        return head
    status, fields = _split(head)
    distinct = _lengths(fields)
    if len(distinct) == 1:
        fields = [(name, value) for name, value in fields if name.lower() != b"content-length"] + [(b"Content-Length", distinct[0])]
    return b"\r\n".join([status, *(name + b":" + value for name, value in fields), b"", b""])


def _split(head: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """Return the status line and the header fields, (name, value); a folded value is unfolded (RFC 9112 5.2)."""
    status, *lines = head.lstrip(b"\r\n").replace(b"\r\n", b"\n").rstrip(b"\n").split(b"\n")
    if loose := _LOOSE_STATUS_LINE.fullmatch(status):
        status = b"HTTP/%b %b %b" % (loose[1], loose[2], loose[3] or b"")
    return status, list(_fields(lines))


def _fields(lines: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    unfolded: list[bytes] = []
    for line in lines:
        if line[:1] in (b" ", b"\t") and unfolded:
            unfolded[-1] += b" " + line.strip()
        else:
            unfolded.append(line)
    for line in unfolded:
        name, colon, value = line.partition(b":")
        name = name.rstrip(b" \t")
        if colon and _TOKEN.fullmatch(name):
            yield name, value.replace(b"\0", b" ").replace(b"\r", b" ")


def _lengths(fields: list[tuple[bytes, bytes]]) -> list[bytes]:
    """Return the different values of Content-Length, without leading zeros."""
    parts = [part.strip() for name, value in fields if name.lower() == b"content-length" for part in value.split(b",")]
    return list(dict.fromkeys(part.lstrip(b"0") or part[-1:] for part in parts))


def fault_of(head: bytes) -> str | None:
    """Name the fault of a head that an HTTP parser refused, quoting the server; None where the head shows none.

    Args:
        head: what has come of it.
    """
    if not head:
        return None
    if not _begins_like_http(head):
        return f"the reply does not begin like HTTP but with {_quote(head.lstrip())}"
    status, fields = _split(head)
    if not _STATUS_LINE.fullmatch(status):
        return f"the status line of the reply is not valid: {_quote(status)}"
    lengths = _lengths(fields)
    codings = [value.strip() for name, value in fields if name.lower() == b"transfer-encoding"]
    for length in lengths:
        if not length.isdigit() or len(length) > _MAX_LENGTH_DIGITS:
            return f"Content-Length is {_quote(length)}, not a number of bytes"
    if len(lengths) > 1:
        return f"the reply has different values of Content-Length: {b', '.join(lengths).decode('ascii')}"
    if lengths and codings:
        return f"the reply has both Content-Length and Transfer-Encoding: {_quote(codings[0])}"
    if codings and codings != [b"chunked"]:
        return f"Transfer-Encoding is {_quote(b', '.join(codings))}; only chunked is supported"
    return None


def _quote(text: bytes) -> str:
    """Return the first line of what the server sent as printable ASCII in quotes."""
    line = text.splitlines()[0][:40] if text else b""
    return f'"{ascii(line.decode("latin-1"))[1:-1]}"'
