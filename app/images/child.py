"""What runs in a decoder process: take an image, answer, until the pipe closes. Run as ``python -m app.images.child``.

Imports Pillow, numpy and this package, nothing that opens a connection. Here, and only here, any Exception becomes an answer.
"""

import os
import resource
import signal
import sys
from pathlib import Path
from typing import BinaryIO, Final

from app.images import wire
from app.images.compress import compress
from app.images.verdict import validate
from app.images.wire import Failure, Reply, Request
from app.lifeline import die_with
from app.records import CompressionRules, Reason
from errors import ValidationError
from logging_setup.overheard import Listener, listen

__all__ = ["answer", "main", "serve"]

_OUT_OF_MEMORY: Final = Failure("crash", Reason.DECODER_CRASH, "out of memory")
_OPEN_FILES: Final = 64
"""The pipes, a path to read, and what an import may open."""


def answer(request: Request, listener: Listener) -> Reply:
    """Do what a request asks for. Never raises; of a bug the listener is told more than the answer says."""
    try:
        body = request.body if request.path is None else Path(request.path).read_bytes()
    except OSError as error:
        return Failure("storage", Reason.CORRUPT, f"cannot read {request.path}: {error.strerror}")
    except MemoryError:
        return _OUT_OF_MEMORY
    try:
        return _work(body, request)
    except ValidationError as error:
        return Failure("invalid", error.slug, error.message)
    except MemoryError:
        return _OUT_OF_MEMORY
    except Exception as error:  # noqa: BLE001 - a bug in a decoder costs one image, not the process
        listener.failed(error)
        return Failure("crash", Reason.DECODER_CRASH, f"{type(error).__name__}: {error}"[:200])


def _work(body: bytes, request: Request) -> Reply:
    if isinstance(request.rules, CompressionRules):
        return compress(body, request.rules)
    return validate(body, request.rules)


def serve(requests: wire.Stream, replies: BinaryIO, listener: Listener) -> None:
    """Answer requests until their stream ends, or until memory ran out once: such a process is not to be trusted with more."""
    while True:
        try:
            reply = _next(requests, replies, listener)
        except EOFError:
            return
        for part in wire.encode_reply(reply, listener.take()):
            replies.write(part)
        replies.flush()
        if reply is _OUT_OF_MEMORY:
            return


def _next(requests: wire.Stream, replies: BinaryIO, listener: Listener) -> Reply:
    header_size, body_size = wire.LENGTHS.unpack(wire.read_exactly(requests, wire.LENGTHS.size))
    header = wire.read_exactly(requests, header_size)
    replies.write(wire.STARTED)
    replies.flush()
    try:
        request = wire.decode_request(header, wire.read_exactly(requests, body_size))
    except MemoryError:
        return _OUT_OF_MEMORY
    return answer(request, listener)


def _limit(memory_bytes: int) -> None:
    """Bound the address space; no core dumps, no files written, few opened."""
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: 0, resource.RLIMIT_NOFILE: _OPEN_FILES}
    if sys.platform == "linux":
        limits[resource.RLIMIT_AS] = memory_bytes
    for kind, wanted in limits.items():
        hard = resource.getrlimit(kind)[1]
        bound = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (bound, bound))


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Move the pipes away from 0 and 1, and point 0 and 1 nowhere: libraries print what they think of hostile files.

    What they print to 2 goes to the parent, which logs it; that pipe takes what it can and never blocks.
    """
    requests, replies = os.fdopen(os.dup(0), "rb", buffering=0), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):
        os.dup2(nowhere, descriptor)
    return requests, replies


def main(arguments: list[str]) -> None:
    """Become a decoder.

    Args:
        arguments: process id of the parent, address space in bytes.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent, memory_bytes = map(int, arguments)
    die_with(parent)
    requests, replies = _take_pipes()
    _limit(memory_bytes)
    replies.write(wire.READY)
    replies.flush()
    serve(requests, replies, listen())


if __name__ == "__main__":
    main(sys.argv[1:])
