"""The protocol between the pool and its child processes: frames of JSON and raw bytes over a pipe. Pure; no process, no pixel.

A frame is two 32-bit lengths, big-endian, then a JSON object, then a payload (the bytes of images) as it is. A request is one frame for
several images; its reply is, for each image in turn, the mark `STARTED` and one frame.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import Any, Final, Literal, Protocol

from app.domain import Compressed, Reason, Verdict
from app.rules import CompressionRules, ValidationRules
from errors import ValidationError
from logging_setup.capture import MAX_REMARKS, Remark

__all__ = [
    "LENGTHS",
    "READY",
    "STARTED",
    "Answer",
    "Failure",
    "LoaderRules",
    "Reply",
    "Request",
    "Rules",
    "Stream",
    "decode_reply",
    "decode_request",
    "encode_reply",
    "encode_request",
    "pop_answer",
    "read_exactly",
]

LENGTHS: Final = struct.Struct(">II")
"""Bytes of the JSON object, bytes of the payload."""

READY: Final = b"R"
"""Sent once by a child that has imported everything and set its limits."""

STARTED: Final = b"S"
"""Sent before a child begins an image: an image without it had no part in the child's death."""

_PREFIX_BYTES: Final = len(STARTED) + LENGTHS.size


@dataclass(frozen=True, slots=True)
class LoaderRules:
    """Asks whether an image loads with the loaders that the exports document: see `app.images.loading`. There is nothing to set."""


Rules = ValidationRules | CompressionRules | LoaderRules


@dataclass(frozen=True, slots=True)
class Request:
    """Images to process by the same rules. The type of the rules selects the task.

    Attributes:
        sources: for each image its bytes, or a path that the child reads itself.
        compression: with rules for validation, how valid images are re-encoded from the same decoded pixels, if they are.
    """

    rules: Rules
    sources: tuple[bytes | str, ...] = field(repr=False)
    compression: CompressionRules | None = None

    def slice(self, start: int, end: int) -> "Request":
        """The same request for the images from ``start`` up to, not including, ``end``."""
        return self if (start, end) == (0, len(self.sources)) else replace(self, sources=self.sources[start:end])


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no result: ``invalid`` is the image's fault, ``crash`` the decoder's on this image, ``storage`` an unreadable file."""

    kind: Literal["invalid", "crash", "storage"]
    reason: Reason
    detail: str


Reply = Verdict | Compressed | Failure


@dataclass(frozen=True, slots=True)
class Answer:
    """The result for one image, and what libraries printed or logged while it was made."""

    reply: Reply
    remarks: tuple[Remark, ...] = ()

    def as_verdict(self) -> Verdict:
        """The verdict; a failure becomes a verdict with its reason."""
        if isinstance(self.reply, Failure):
            return Verdict(reason=self.reply.reason, detail=self.reply.detail)
        assert isinstance(self.reply, Verdict)
        return self.reply

    def as_output(self) -> Compressed:
        """The re-encoded image.

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


_TASKS: Final[dict[type, str]] = {ValidationRules: "validate", CompressionRules: "compress", LoaderRules: "load"}


def encode_request(request: Request) -> tuple[bytes, ...]:
    """Return a frame in parts, so that the bytes of the images are not copied."""
    header = {
        "task": _TASKS[type(request.rules)],
        "rules": _rules_to_json(request.rules),
        "compression": request.compression and _rules_to_json(request.compression),
        "sources": [source if isinstance(source, str) else len(source) for source in request.sources],
    }
    return _frame(header, *(source for source in request.sources if isinstance(source, bytes)))


@lru_cache(maxsize=16)
def _rules_to_json(rules: Rules) -> dict[str, Any]:
    """Cached, because all requests of a chunk have the same rules."""
    return asdict(rules)


def decode_request(header: bytes) -> tuple[Request, tuple[int, ...]]:
    """The inverse of `encode_request`, for a header alone: the payload is still in the pipe.

    Returns:
        The request, in which images that come as bytes are empty, and for each image the number of bytes to read from the payload.
    """
    data = json.loads(header)
    return Request(
        _rules_of(data["task"], data["rules"]),
        tuple(source if isinstance(source, str) else b"" for source in data["sources"]),
        data["compression"] and CompressionRules(**data["compression"]),
    ), tuple(0 if isinstance(source, str) else source for source in data["sources"])


def _rules_of(task: str, rules: dict[str, Any]) -> Rules:
    if task == "validate":
        return ValidationRules(**{**rules, "formats": tuple(rules["formats"])})
    return CompressionRules(**rules) if task == "compress" else LoaderRules(**rules)


def encode_reply(reply: Reply, remarks: Sequence[Remark] = ()) -> tuple[bytes, ...]:
    """Return a frame in parts, with the remarks on the image, if there are any."""
    extra = {"remarks": [asdict(remark) for remark in remarks]} if remarks else {}
    if isinstance(reply, Verdict):
        output = reply.output
        header = {name: getattr(reply, name) for name in _JSON_FIELDS} | extra
        header["thumbnail"] = None if reply.thumbnail is None else len(reply.thumbnail)
        header["output"] = output and _described(output)
        return _frame({"type": "verdict"} | header, reply.thumbnail or b"", output.body if output else b"")
    if isinstance(reply, Compressed):
        return _frame({"type": "compressed", "output": _described(reply)} | extra, reply.body)
    return _frame({"type": "failure", "kind": reply.kind, "reason": reply.reason, "detail": reply.detail} | extra)


def _described(output: Compressed) -> tuple[str, int, int, str | None]:
    """The fields of an output beside its bytes, in order."""
    return output.format, output.width, output.height, output.changes


_JSON_FIELDS: Final = ("reason", "detail", "format", "width", "height", "frames", "phash", "colour_grid", "measures", "rights")
"""Fields of a verdict that JSON holds unchanged."""


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
    thumbnail_bytes, output = data["thumbnail"], data["output"]
    return Verdict(
        **{name: data[name] for name in _JSON_FIELDS[1:]} | {"rights": tuple(map(tuple, data["rights"]))},
        reason=reason,
        thumbnail=None if thumbnail_bytes is None else payload[:thumbnail_bytes],
        output=output and Compressed(payload[thumbnail_bytes or 0 :], *output),
    )


def pop_answer(received: bytearray) -> Answer | None:
    """Remove the first answer, with its mark, from the bytes received from a child; None where it is not complete yet."""
    if len(received) < _PREFIX_BYTES:
        return None
    header_size, payload_size = LENGTHS.unpack_from(received, len(STARTED))
    end = _PREFIX_BYTES + header_size + payload_size
    if len(received) < end:
        return None
    middle = _PREFIX_BYTES + header_size
    answer = decode_reply(bytes(received[_PREFIX_BYTES:middle]), bytes(received[middle:end]))
    del received[:end]
    return answer
