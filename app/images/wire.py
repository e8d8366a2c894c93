"""What the pool and its children say to each other: frames of JSON and raw bytes over a pipe. Pure; no process, no pixel.

A frame is two 32-bit lengths, big-endian, then a JSON object, then a payload (images' bytes) untouched. A request is one frame for
several images; its reply is, for each image in turn, the mark `STARTED` and one frame.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import Any, Final, Literal, Protocol

from app.domain import Compressed, CompressionRules, Reason, ValidationRules, Verdict
from errors import ValidationError
from logging_setup.capture import MAX_REMARKS, Remark

__all__ = [
    "CANNOT",
    "LENGTHS",
    "READY",
    "STARTED",
    "Answer",
    "Failure",
    "Reply",
    "Request",
    "Rules",
    "decode_reply",
    "decode_request",
    "encode_reply",
    "encode_request",
    "read_exactly",
    "take_answer",
]

LENGTHS: Final = struct.Struct(">II")
"""Bytes of the JSON object, bytes of the payload."""

CANNOT: Final = "cannot be compressed"
"""How the detail of an image begins that is valid and cannot leave as it is to."""

READY: Final = b"R"
"""Sent once by a child that has imported everything and set its limits."""

STARTED: Final = b"S"
"""Sent as soon as a child turns to an image: one whose child dies before that had no part in it."""

_HEAD_BYTES: Final = len(STARTED) + LENGTHS.size

Rules = ValidationRules | CompressionRules


@dataclass(frozen=True, slots=True)
class Request:
    """Images to work on, by the same rules. The rules' type says what is to be done.

    Attributes:
        sources: of each image its bytes, or a path that the child reads itself.
        compression: with rules for validation, how valid images leave, if they are to be re-encoded from the same decoded pixels.
    """

    rules: Rules
    sources: tuple[bytes | str, ...] = field(repr=False)
    compression: CompressionRules | None = None

    def part(self, start: int, end: int) -> "Request":
        """The same for some of the images."""
        return self if (start, end) == (0, len(self.sources)) else replace(self, sources=self.sources[start:end])


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no result: ``invalid`` is the image's fault, ``crash`` the decoder's over this image, ``storage`` ours."""

    kind: Literal["invalid", "crash", "storage"]
    reason: Reason
    detail: str


Reply = Verdict | Compressed | Failure


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one image, and what libraries said over it."""

    reply: Reply
    remarks: tuple[Remark, ...] = ()

    def as_verdict(self) -> Verdict:
        """The verdict, also where the answer is a failure."""
        if isinstance(self.reply, Failure):
            return Verdict(reason=self.reply.reason, detail=self.reply.detail)
        assert isinstance(self.reply, Verdict)
        return self.reply

    def as_output(self) -> Compressed:
        """The image re-encoded.

        Raises:
            errors.ValidationError: the answer is a failure.
        """
        if isinstance(self.reply, Failure):
            raise ValidationError(self.reply.detail, reason=self.reply.reason)
        assert isinstance(self.reply, Compressed)
        return self.reply


class Stream(Protocol):
    """A blocking byte stream."""

    def read(self, size: int, /) -> bytes | None:
        """Return up to ``size`` bytes, none at the end."""
        ...


def read_exactly(stream: Stream, size: int) -> bytes:
    """Read ``size`` bytes, or raise EOFError where the stream ends before."""
    parts, missing = [], size
    while missing:
        part = stream.read(missing)
        if not part:
            raise EOFError(f"{missing} of {size} bytes are missing")
        parts.append(part)
        missing -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _frame(header: Mapping[str, Any], *payload: bytes) -> tuple[bytes, ...]:
    text = json.dumps(header).encode()
    return LENGTHS.pack(len(text), sum(map(len, payload))) + text, *payload


def encode_request(request: Request) -> tuple[bytes, ...]:
    """Return a frame in parts, so that the images' bytes are not copied."""
    header = {
        "task": "validate" if isinstance(request.rules, ValidationRules) else "compress",
        "rules": _spell_out(request.rules),
        "compression": request.compression and _spell_out(request.compression),
        "sources": [source if isinstance(source, str) else len(source) for source in request.sources],
    }
    return _frame(header, *(source for source in request.sources if isinstance(source, bytes)))


@lru_cache(maxsize=16)
def _spell_out(rules: Rules) -> dict[str, Any]:
    """A whole chunk shares its rules."""
    return asdict(rules)


def decode_request(header: bytes) -> tuple[Request, tuple[int, ...]]:
    """The inverse of `encode_request`, for a header alone: bodies are still in the pipe.

    Returns:
        The request, in which images that come as bytes are empty, and of each image the bytes that are to be read for it.
    """
    data = json.loads(header)
    rules = data["rules"]
    is_validation = data["task"] == "validate"
    return Request(
        ValidationRules(**{**rules, "formats": tuple(rules["formats"])}) if is_validation else CompressionRules(**rules),
        tuple(source if isinstance(source, str) else b"" for source in data["sources"]),
        data["compression"] and CompressionRules(**data["compression"]),
    ), tuple(0 if isinstance(source, str) else source for source in data["sources"])


def encode_reply(reply: Reply, remarks: Sequence[Remark] = ()) -> tuple[bytes, ...]:
    """Return a frame in parts. What was said over the image comes along, where anything was."""
    said = {"remarks": [asdict(remark) for remark in remarks]} if remarks else {}
    if isinstance(reply, Verdict):
        output = reply.output
        header = {name: getattr(reply, name) for name in _IN_JSON} | said
        header["thumbnail"] = None if reply.thumbnail is None else len(reply.thumbnail)
        header["output"] = output and (output.format, output.width, output.height)
        return _frame({"type": "verdict"} | header, reply.thumbnail or b"", output.body if output else b"")
    if isinstance(reply, Compressed):
        return _frame({"type": "compressed", "output": (reply.format, reply.width, reply.height)} | said, reply.body)
    return _frame({"type": "failure", "kind": reply.kind, "reason": reply.reason, "detail": reply.detail} | said)


_IN_JSON: Final = ("reason", "detail", "format", "width", "height", "frames", "phash", "measures")
"""What of a verdict goes as it is."""


def decode_reply(header: bytes, payload: bytes) -> Answer:
    """The inverse of `encode_reply`, for a frame without its lengths."""
    data = json.loads(header)
    remarks = data.pop("remarks", None)
    return Answer(_reply_of(data, payload), tuple(Remark(**remark) for remark in remarks[:MAX_REMARKS]) if remarks else ())


def _reply_of(data: dict[str, Any], payload: bytes) -> Reply:
    kind = data.pop("type")
    if kind == "compressed":
        return Compressed(payload, *data["output"])
    reason = None if data["reason"] is None else Reason(data["reason"])
    if kind == "failure":
        assert reason is not None
        return Failure(data["kind"], reason, data["detail"])
    size, output = data["thumbnail"], data["output"]
    return Verdict(
        **{name: data[name] for name in _IN_JSON[1:]},
        reason=reason,
        thumbnail=None if size is None else payload[:size],
        output=output and Compressed(payload[size or 0 :], *output),
    )


def take_answer(heard: bytearray) -> Answer | None:
    """Take the first answer, with its mark, off what was heard of a child; None where it is not all there yet."""
    if len(heard) < _HEAD_BYTES:
        return None
    header_size, payload_size = LENGTHS.unpack_from(heard, len(STARTED))
    end = _HEAD_BYTES + header_size + payload_size
    if len(heard) < end:
        return None
    middle = _HEAD_BYTES + header_size
    answer = decode_reply(bytes(heard[_HEAD_BYTES:middle]), bytes(heard[middle:end]))
    del heard[:end]
    return answer
