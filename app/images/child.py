"""What runs in a decoder process: take an image, answer, until the pipe closes. Run as ``python -m app.images.child``.

Imports Pillow, numpy and this package, nothing that opens a connection. Here, and only here, any Exception becomes an answer.
"""

import os
import resource
import signal
import sys
from collections.abc import Iterator
from typing import BinaryIO, Final

from app.domain import CompressionRules, Reason
from app.images import wire
from app.images.compress import compress
from app.images.verdict import validate
from app.images.wire import Failure, Reply, Request
from app.lifeline import die_with
from errors import ValidationError
from logging_setup.capture import Remark, RemarkCollector, install_collector, read_printed

__all__ = ["answer", "main", "serve"]

_OUT_OF_MEMORY: Final = Failure("crash", Reason.DECODER_CRASH, "out of memory")
_OPEN_FILES: Final = 64
"""The pipes, a path to read, and what an import may open."""

_REPLY_BYTES: Final = 1 << 18
"""Bytes that go into the pipe in one call: a reply with its thumbnail and output, and the mark of the next image."""


def answer(request: Request, source: bytes | str, collector: RemarkCollector) -> Reply:
    """Do with one image what a request asks for. Never raises; the traceback of a bug goes to the collector."""
    try:
        body = source if isinstance(source, bytes) else _read(source)
    except OSError as error:
        return Failure("storage", Reason.CORRUPT, f"cannot read {source!s}: {error.strerror}")
    except MemoryError:
        return _OUT_OF_MEMORY
    try:
        return _work(body, request)
    except ValidationError as error:
        return Failure("invalid", error.slug, error.message)
    except MemoryError:
        return _OUT_OF_MEMORY
    except Exception as error:  # noqa: BLE001 - a bug in a decoder costs one image, not the process
        collector.add_exception(error)
        return Failure("crash", Reason.DECODER_CRASH, f"{type(error).__name__}: {error}"[:200])


def _read(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a Path would cost as much as the reading
        return file.read()


def _work(body: bytes, request: Request) -> Reply:
    if isinstance(request.rules, CompressionRules):
        return compress(body, request.rules)
    return validate(body, request.rules, request.compression)


def serve(requests: wire.Stream, replies: BinaryIO, collector: RemarkCollector, stderr: int | None = None) -> None:
    """Answer requests until their stream ends, or until memory ran out or a bug showed: such a process is not trusted with more.

    Args:
        requests: where they come from.
        replies: where the answers go.
        collector: collects warnings and log lines.
        stderr: descriptor to read what C libraries print, if there is one.
    """
    try:
        while True:
            for reply in _answers(requests, replies, collector):
                for part in wire.encode_reply(reply, _take_remarks(collector, stderr)):
                    replies.write(part)
                if isinstance(reply, Failure) and reply.kind == "crash":
                    return
    except EOFError:
        return
    finally:
        replies.flush()


def _answers(requests: wire.Stream, replies: BinaryIO, collector: RemarkCollector) -> Iterator[Reply]:
    """The images of one request. A reply leaves together with the mark of the next image, in one call that wakes the parent once."""
    header_size, _ = wire.LENGTHS.unpack(wire.read_exactly(requests, wire.LENGTHS.size))
    request, sizes = wire.decode_request(wire.read_exactly(requests, header_size))
    for source, size in zip(request.sources, sizes, strict=True):
        replies.write(wire.STARTED)
        replies.flush()
        try:
            body = wire.read_exactly(requests, size) if size else source
        except MemoryError:
            yield _OUT_OF_MEMORY
            return
        yield answer(request, body, collector)
    replies.flush()


def _take_remarks(collector: RemarkCollector, stderr: int | None) -> tuple[Remark, ...]:
    text = "" if stderr is None else read_printed(stderr)
    return (Remark("stderr", text), *collector.take()) if text else collector.take()


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

    What they print to 2 is told to the parent, which logs it; that pipe takes what it can and never blocks.
    """
    requests, replies = os.fdopen(os.dup(0), "rb", buffering=0), os.fdopen(os.dup(1), "wb", buffering=_REPLY_BYTES)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
    return requests, replies


def main(arguments: list[str]) -> None:
    """Become a decoder.

    Args:
        arguments: process id of the parent, address space in bytes, and the descriptor of `StderrPipe` to read from.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent, memory_bytes, *stderr = map(int, arguments)
    die_with(parent)
    requests, replies = _take_pipes()
    _limit(memory_bytes)
    replies.write(wire.READY)
    replies.flush()
    serve(requests, replies, install_collector(), *stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
