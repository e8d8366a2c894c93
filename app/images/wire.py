"""What the pool and its children say to each other: frames of JSON and raw bytes over a pipe. Pure; no process, no pixel.

A frame is two 32-bit lengths, big-endian, then a JSON object, then the payload (an image's bytes) untouched.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal, Protocol

from app.records import Compressed, CompressionRules, Reason, ValidationRules, Verdict
from logging_setup.overheard import MOST_REMARKS, Remark

__all__ = [
    "LENGTHS",
    "READY",
    "STARTED",
    "Failure",
    "Reply",
    "Request",
    "decode_reply",
    "decode_request",
    "encode_reply",
    "encode_request",
    "read_exactly",
]

LENGTHS: Final = struct.Struct(">II")
"""Bytes of the JSON object, bytes of the payload."""

READY: Final = b"R"
"""Sent once by a child that has imported everything and set its limits."""

STARTED: Final = b"S"
"""Sent as soon as a request's header has arrived: an image whose child dies before that had no part in it."""


@dataclass(frozen=True, slots=True)
class Request:
    """One image to work on: its bytes, or a path that the child reads itself. The rules' type says what is to be done."""

    rules: ValidationRules | CompressionRules
    path: str | None = None
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no result: ``invalid`` is the image's fault, ``crash`` the decoder's over this image, ``storage`` ours."""

    kind: Literal["invalid", "crash", "storage"]
    reason: Reason
    detail: str


Reply = Verdict | Compressed | Failure


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
    return b"".join(parts)


def _frame(header: Mapping[str, Any], payload: bytes) -> tuple[bytes, bytes]:
    text = json.dumps(header).encode()
    return LENGTHS.pack(len(text), len(payload)) + text, payload


def encode_request(request: Request) -> tuple[bytes, bytes]:
    """Return a frame in two parts, so that the image's bytes are not copied."""
    task = "validate" if isinstance(request.rules, ValidationRules) else "compress"
    return _frame({"task": task, "path": request.path, "rules": _spell_out(request.rules)}, request.body)


@lru_cache(maxsize=16)
def _spell_out(rules: ValidationRules | CompressionRules) -> dict[str, Any]:
    """A whole chunk shares its rules."""
    return asdict(rules)


def decode_request(header: bytes, body: bytes) -> Request:
    """The inverse of `encode_request`, for a frame without its lengths."""
    data = json.loads(header)
    rules = data["rules"]
    if data["task"] == "compress":
        return Request(CompressionRules(**rules), data["path"], body)
    return Request(ValidationRules(**{**rules, "formats": tuple(rules["formats"])}), data["path"], body)


def encode_reply(reply: Reply, remarks: Sequence[Remark] = ()) -> tuple[bytes, bytes]:
    """Return a frame in two parts. What was said over the image comes along, where anything was."""
    data = asdict(reply)
    if remarks:
        data["remarks"] = [asdict(remark) for remark in remarks]
    if isinstance(reply, Verdict):
        return _frame({"type": "verdict", **data, "thumbnail": reply.thumbnail is not None}, reply.thumbnail or b"")
    if isinstance(reply, Compressed):
        return _frame({"type": "compressed", **data, "body": None}, reply.body)
    return _frame({"type": "failure", **data}, b"")


def decode_reply(header: bytes, payload: bytes) -> tuple[Reply, tuple[Remark, ...]]:
    """The inverse of `encode_reply`, for a frame without its lengths."""
    data = json.loads(header)
    remarks = tuple(Remark(**remark) for remark in data.pop("remarks", ())[:MOST_REMARKS])
    return _reply_of(data, payload), remarks


def _reply_of(data: dict[str, Any], payload: bytes) -> Reply:
    kind = data.pop("type")
    if kind == "compressed":
        return Compressed(**{**data, "body": payload})
    reason = None if data["reason"] is None else Reason(data["reason"])
    if kind == "failure":
        return Failure(**{**data, "reason": reason})
    return Verdict(**{**data, "reason": reason, "thumbnail": payload if data["thumbnail"] else None})
