"""What goes over the pipe comes out the same."""

import io

import pytest

from app.images import wire
from app.images.wire import Failure, Reply, Request
from app.records import Compressed, CompressionRules, Reason, ValidationRules, Verdict
from logging_setup.overheard import MOST_REMARKS, Remark


def _parts(frame: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """Take a frame apart as a reader does."""
    stream = io.BytesIO(b"".join(frame))
    header_size, payload_size = wire.LENGTHS.unpack(wire.read_exactly(stream, wire.LENGTHS.size))
    parts = wire.read_exactly(stream, header_size), wire.read_exactly(stream, payload_size)
    assert stream.read() == b""
    return parts


@pytest.mark.parametrize(
    "request_",
    [
        Request(ValidationRules(level="strict", formats=("jpeg",), max_aspect=1.25), None, b"\0\xff body"),
        Request(ValidationRules(), "/some/where \u00e9\udcff", b""),
        Request(CompressionRules("webp", 80, "border", 64, False), None, b"x"),
    ],
)
def test_requests_arrive_as_sent(request_: Request) -> None:
    """Rules keep their type and their values, bodies their bytes, paths their undecodable parts."""
    assert wire.decode_request(*_parts(wire.encode_request(request_))) == request_


@pytest.mark.parametrize(
    "reply",
    [
        Verdict(),
        Verdict(Reason.BLURRY, "sharp \u2260", "jpeg", 10, 20, 3, "00ff", {"entropy": 0.1}, b"\0jpeg"),
        Compressed(b"\0body", "png", 3, 4),
        Failure("crash", Reason.DECODER_CRASH, "out of memory"),
    ],
)
def test_replies_arrive_as_sent(reply: Reply) -> None:
    """Reasons are reasons again, and no thumbnail is not an empty one."""
    assert wire.decode_reply(*_parts(wire.encode_reply(reply))) == (reply, ())


def test_remarks_come_along_and_are_few() -> None:
    """What was said over an image arrives with its reply, whatever it holds; of a child that talks too much only the first are taken."""
    said = [Remark("warnings", 'x"}\n{"type": "verdict" \ud800', "UserWarning")] * (MOST_REMARKS + 1)
    assert wire.decode_reply(*_parts(wire.encode_reply(Verdict(), said))) == (Verdict(), tuple(said[:MOST_REMARKS]))


def test_a_short_stream_is_an_end() -> None:
    """Also in the middle of a value; short reads are put together."""

    class Dripping(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, 1))

    assert wire.read_exactly(Dripping(b"abc"), 3) == b"abc"
    with pytest.raises(EOFError, match="1 of 4"):
        wire.read_exactly(io.BytesIO(b"abc"), 4)
