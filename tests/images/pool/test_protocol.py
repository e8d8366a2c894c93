"""What goes over the pipe comes out the same."""

import io
from collections.abc import Sequence
from dataclasses import replace

import pytest

from app.domain import Compressed, Reason, Verdict
from app.images.pool import protocol
from app.images.pool.protocol import Answer, Failure, LoaderRules, Reply, Request
from app.rules import CompressionRules, ValidationRules
from errors import ValidationError
from logging_setup.capture import MAX_REMARKS, Remark


def _answer(reply: Reply, remarks: Sequence[Remark] = ()) -> Answer:
    """The answer that a parent receives for a reply."""
    received = bytearray(b"".join((protocol.STARTED, *protocol.encode_reply(reply, remarks))))
    answer = protocol.pop_answer(received)
    assert answer is not None
    assert not received
    return answer


@pytest.mark.parametrize(
    "request_",
    [
        Request(ValidationRules(level="strict", formats=("jpeg",), max_aspect=1.25), (b"\0\xff body", b"another")),
        Request(ValidationRules(), ("/some/where \u00e9\udcff", b"a body", "/else"), CompressionRules("jpeg", 90, "keep_ratio", 128)),
        Request(CompressionRules("webp", 80, "border", 64, False), (b"x",)),
        Request(LoaderRules(), (b"x", "/a path")),
    ],
)
def test_requests_arrive_as_sent(request_: Request) -> None:
    """Rules keep their type and their values, bodies their bytes, paths their undecodable parts, and images their order."""
    stream = io.BytesIO(b"".join(protocol.encode_request(request_)))
    header_size, payload_size = protocol.LENGTHS.unpack(protocol.read_exactly(stream, protocol.LENGTHS.size))
    got, sizes = protocol.decode_request(protocol.read_exactly(stream, header_size))
    assert payload_size == sum(sizes)
    bodies = [protocol.read_exactly(stream, size) if size else source for source, size in zip(got.sources, sizes, strict=True)]
    assert replace(got, sources=tuple(bodies)) == request_
    assert stream.read() == b""


def test_a_request_is_cut_into_parts() -> None:
    """Rules stay, images are those between the two places."""
    whole = Request(ValidationRules(), ("a", "b", "c"), CompressionRules("png"))
    assert whole.slice(0, 3) is whole
    assert whole.slice(1, 3) == Request(ValidationRules(), ("b", "c"), CompressionRules("png"))


@pytest.mark.parametrize(
    "reply",
    [
        Verdict(),
        Verdict(Reason.BLURRY, "sharp \u2260", "jpeg", 10, 20, 3, "00ff", {"entropy": 0.1}, b"\0jpeg"),
        Verdict(format="jpeg", colour_grid="0f" * 48, thumbnail=b"", output=Compressed(b"\0out", "webp", 3, 4)),
        Verdict(format="jpeg", thumbnail=b"thumb", output=Compressed(b"", "webp", 3, 4)),
        Compressed(b"\0body", "png", 3, 4),
        Compressed(b"body", "jpeg", 3, 4, changes="removed the EXIF block"),
        Failure("crash", Reason.DECODER_CRASH, "out of memory"),
    ],
)
def test_replies_arrive_as_sent(reply: Reply) -> None:
    """Reasons are reasons again, and no thumbnail is not an empty one."""
    assert _answer(reply) == Answer(reply)


def test_remarks_come_along_and_are_few() -> None:
    """What was said over an image arrives with its reply, whatever it holds; of a child that talks too much only the first are taken."""
    said = [Remark("warnings", 'x"}\n{"type": "verdict" \ud800', "UserWarning")] * (MAX_REMARKS + 1)
    assert _answer(Verdict(), said) == Answer(Verdict(), tuple(said[:MAX_REMARKS]))


def test_an_answer_is_taken_once_it_is_whole() -> None:
    """However it is cut on its way; what follows it stays."""
    frame = b"".join((protocol.STARTED, *protocol.encode_reply(Compressed(b"body", "png", 3, 4))))
    received = bytearray()
    for at, byte in enumerate(frame):
        assert protocol.pop_answer(received) is None, at
        received.append(byte)
    received += frame[:5]
    assert protocol.pop_answer(received) == Answer(Compressed(b"body", "png", 3, 4))
    assert received == frame[:5]


def test_a_failure_is_a_verdict_or_an_error() -> None:
    """As whoever asked wants it."""
    failed = Answer(Failure("invalid", Reason.CORRUPT, "cut"))
    assert failed.as_verdict() == Verdict(Reason.CORRUPT, "cut")
    with pytest.raises(ValidationError, match="cut") as caught:
        failed.as_output()
    assert caught.value.slug is Reason.CORRUPT


def test_a_short_stream_is_an_end() -> None:
    """Also in the middle of a value; short reads are put together."""

    class Dripping(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, 1))

    assert protocol.read_exactly(Dripping(b"abc"), 3) == b"abc"
    with pytest.raises(EOFError, match="1 of 4"):
        protocol.read_exactly(io.BytesIO(b"abc"), 4)
