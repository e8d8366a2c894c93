"""The head of a reply: repaired where its meaning is clear, named where it is not, in whatever pieces it comes."""

import asyncio

import pytest

from downloader.reply_head import ReplyHead, fault_of, mend

LINE = b"HTTP/1.1 200 OK"


def head(*lines):
    return b"\r\n".join([LINE, *lines, b"", b""])


def test_clean_head_is_returned_itself():
    """Nearly every head: no copy."""
    clean = head(b"Content-Length: 5", b"X: a, b", b"Empty:")
    assert mend(clean) is clean


@pytest.mark.parametrize(
    ("lines", "mended"),
    [
        ([b"Content-Length: 5", b"content-length:5"], [b"Content-Length:5"]),
        ([b"Content-Length: 5,5 , 05"], [b"Content-Length:5"]),
        ([b"Content-Length: 0", b"Content-Length: 00"], [b"Content-Length:0"]),
        ([b"a line", b"X: y", b": z", b"a b: c", b"\xe4: d"], [b"X: y"]),
        ([b"a line", b" folded: yes", b"X: y", b"\tz"], [b"X: y z"]),
        ([b"X \t: y"], [b"X: y"]),
        ([b"X: a\0b\rc"], [b"X: a b c"]),
        ([b"Content-Length: 5", b"Content-Length: 6"], [b"Content-Length: 5", b"Content-Length: 6"]),
        ([b"Content-Length: x, x"], [b"Content-Length:x"]),
    ],
)
def test_what_has_one_meaning_is_repaired(lines, mended):
    """Lines that are no header field are dropped, equal lengths become one; two lengths stay for the parser to refuse."""
    assert mend(head(*lines)) == head(*mended)
    assert mend(head(*lines).replace(b"\r\n", b"\n")) == head(*mended)


@pytest.mark.parametrize("line", [b"http/1.1 200 OK", b"HTTP/1.1  200  OK", b"HTTP/1.1\t200\tOK", b"Http/1.1 200 \t OK"])
def test_status_line_of_one_meaning_is_repaired(line):
    """RFC 9112 4 lets a client take any white space between the parts; a name in lower case is the same name."""
    assert mend(line + b"\r\nX: y\r\n\r\n") == head(b"X: y")
    assert fault_of(line + b"\r\nContent-Length: -1\r\n\r\n") == 'Content-Length is "-1", not a number of bytes'


@pytest.mark.parametrize(
    ("came", "fault"),
    [
        (b"SSH-2.0-x\r\n", 'the reply does not begin like HTTP but with "SSH-2.0-x"'),
        (b"\0\xff\r\n", 'the reply does not begin like HTTP but with "\\x00\\xff"'),
        (b"HTTP/2 200\r\n\r\n", 'the status line of the reply is not valid: "HTTP/2 200"'),
        (head(b"Content-Length: 1", b"Content-Length: 2"), "the reply has different values of Content-Length: 1, 2"),
        (head(b"Content-Length: -1"), 'Content-Length is "-1", not a number of bytes'),
        (head(b"Content-Length: 1", b"Transfer-Encoding: chunked"), 'the reply has both Content-Length and Transfer-Encoding: "chunked"'),
        (head(b"Transfer-Encoding: gzip"), 'Transfer-Encoding is "gzip"; only chunked is supported'),
        (head(b"Transfer-Encoding: chunked"), None),
        (head(), None),
        (b"", None),
    ],
)
def test_fault_is_named_with_what_the_server_sent(came, fault):
    """In words, quoted as printable ASCII."""
    assert fault_of(came) == fault


class Parser(asyncio.Protocol):
    """Keeps what it is given."""

    def __init__(self):
        self.data, self.calls = b"", []

    def data_received(self, data):
        self.data += data

    def eof_received(self):
        self.calls.append("eof")

    def connection_lost(self, exc):
        self.calls.append("lost")


class Wire(asyncio.Transport):
    """Hands data to whichever protocol is set."""

    def set_protocol(self, protocol):
        self.protocol = protocol

    def send(self, data, step):
        for at in range(0, len(data), step):
            self.protocol.data_received(data[at : at + step])


@pytest.mark.parametrize("step", [1, 7, 100_000])
@pytest.mark.parametrize("interim", [b"", b"HTTP/1.1 103 X\r\nlink\r\n\r\n" * 3], ids=["plain", "hints"])
def test_parser_gets_the_repaired_head_and_the_body_as_it_came(step, interim):
    """Then its protocol is back, and the reader is out of the way."""
    wire, parser = Wire(), Parser()
    reader = ReplyHead(wire, parser)
    assert reader.is_empty
    wire.send(interim + head(b"nonsense", b"X: y") + b"a\r\n\r\nbody", step)
    assert parser.data == interim.replace(b"link\r\n", b"") + head(b"X: y") + b"a\r\n\r\nbody"
    assert (wire.protocol, reader.is_empty) == (parser, False)


@pytest.mark.parametrize("came", [b"SSH-2.0", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000, b"\xff\xd8"], ids=["banner", "long", "image"])
def test_what_is_no_head_is_passed_on(came):
    """The parser refuses it at once; nothing is held without bound."""
    wire, parser = Wire(), Parser()
    ReplyHead(wire, parser)
    wire.send(came, 1000)
    assert (parser.data, wire.protocol) == (came, parser)


def test_end_within_the_head_reaches_the_parser():
    """With what has come so far."""
    wire, parser = Wire(), Parser()
    reader = ReplyHead(wire, parser)
    wire.send(b"HTTP/1.1 2", 100)
    reader.eof_received()
    reader.connection_lost(None)
    assert (parser.data, parser.calls) == (b"HTTP/1.1 2", ["eof", "lost"])
