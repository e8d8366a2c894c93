"""The program of a decoder process: read a request, answer it, until the pipe closes. Run as ``python -m app.images.pool.child``.

Imports Pillow, numpy and this package, nothing that opens a connection. Here, and only here, any Exception becomes an answer.
"""

import os
import resource
import signal
import sys
from collections.abc import Iterator
from typing import BinaryIO, Final

from app.domain import Reason
from app.images.decode import describe
from app.images.loading import load
from app.images.pool import protocol
from app.images.pool.protocol import Failure, LoaderRules, Reply, Request
from app.images.rendering import compress
from app.images.verdict import validate
from app.process_setup import set_parent_death_signal
from app.rules import CompressionRules
from errors import ValidationError
from logging_setup.capture import Remark, RemarkCollector, install_collector, read_printed

__all__ = ["answer", "main", "serve"]

_OUT_OF_MEMORY: Final = Failure("crash", Reason.DECODER_CRASH, "out of memory")
_MAX_OPEN_FILES: Final = 64
"""The pipes, a path to read, and files that an import may open."""

_REPLY_BUFFER_BYTES: Final = 1 << 18
"""Bytes written to the pipe in one call: a reply with its thumbnail and output, and the mark of the next image."""


def answer(request: Request, source: bytes | str, collector: RemarkCollector) -> Reply:
    """Process one image of a request. Never raises; the traceback of a bug goes to the collector."""
    try:
        body = source if isinstance(source, bytes) else _read(source)
    except OSError as error:
        return Failure("storage", Reason.CORRUPT, f"cannot read {source!s}: {error.strerror}")
    except MemoryError:
        return _OUT_OF_MEMORY
    try:
        if isinstance(request.rules, CompressionRules):
            return compress(body, request.rules)
        if isinstance(request.rules, LoaderRules):
            return load(body)
        return validate(body, request.rules, request.compression)
    except ValidationError as error:
        return Failure("invalid", error.slug, error.message)
    except MemoryError:
        return _OUT_OF_MEMORY
    except Exception as error:  # noqa: BLE001 - a bug in a decoder costs one image, not the process
        collector.add_exception(error)
        return Failure("crash", Reason.DECODER_CRASH, f"{type(error).__name__}: {describe(error)}"[:200])


def _read(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a Path would cost as much as the reading
        return file.read()


def serve(
    requests: protocol.Stream, replies: BinaryIO, collector: RemarkCollector, stderr: int | None = None, cpu_limit_s: float = 0.0
) -> None:
    """Answer requests until their stream ends, or until memory ran out or a bug occurred: such a process gets no further image.

    Args:
        requests: the stream of requests.
        replies: the stream of answers.
        collector: collects warnings and log lines.
        stderr: descriptor from which the output of C libraries can be read, if there is one.
        cpu_limit_s: seconds of CPU for one image, after which SIGPROF ends this process; 0 for no limit.
    """
    try:
        while True:
            for reply in _replies(requests, replies, collector, cpu_limit_s):
                for part in protocol.encode_reply(reply, _take_remarks(collector, stderr)):
                    replies.write(part)
                if isinstance(reply, Failure) and reply.kind == "crash":
                    return
    except EOFError:
        return
    finally:
        replies.flush()


def _replies(requests: protocol.Stream, replies: BinaryIO, collector: RemarkCollector, cpu_limit_s: float) -> Iterator[Reply]:
    """The replies to one request. A reply is sent together with the mark of the next image, in one call that wakes the parent once."""
    header_size, _ = protocol.LENGTHS.unpack(protocol.read_exactly(requests, protocol.LENGTHS.size))
    request, sizes = protocol.decode_request(protocol.read_exactly(requests, header_size))
    for source, size in zip(request.sources, sizes, strict=True):
        replies.write(protocol.STARTED)
        replies.flush()
        try:
            body = protocol.read_exactly(requests, size) if size else source
        except MemoryError:
            yield _OUT_OF_MEMORY
            return
        signal.setitimer(signal.ITIMER_PROF, cpu_limit_s)
        reply = answer(request, body, collector)
        signal.setitimer(signal.ITIMER_PROF, 0)
        yield reply
    replies.flush()


def _take_remarks(collector: RemarkCollector, stderr: int | None) -> tuple[Remark, ...]:
    text = "" if stderr is None else read_printed(stderr)
    return (Remark("stderr", text), *collector.take()) if text else collector.take()


def _set_limits(memory_bytes: int) -> None:
    """Limit the address space; forbid core dumps and written files, allow few open ones."""
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: 0, resource.RLIMIT_NOFILE: _MAX_OPEN_FILES}
    if sys.platform == "linux":
        limits[resource.RLIMIT_AS] = memory_bytes
    for kind, wanted in limits.items():
        hard = resource.getrlimit(kind)[1]
        bound = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (bound, bound))


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Move the pipes away from descriptors 0 and 1 and point those to /dev/null: libraries print messages about broken files.

    Descriptor 2 stays the pipe to the parent, which logs it; a full pipe drops what is printed and never blocks.
    """
    requests, replies = os.fdopen(os.dup(0), "rb", buffering=0), os.fdopen(os.dup(1), "wb", buffering=_REPLY_BUFFER_BYTES)
    devnull = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):
        os.dup2(devnull, descriptor)
    os.close(devnull)
    return requests, replies


def main(arguments: list[str]) -> None:
    """Run a decoder process.

    Args:
        arguments: process id of the parent, address space in bytes, and where there are any the read end of the stderr pipe and the seconds
            of CPU for one image.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent, memory_bytes = map(int, arguments[:2])
    stderr, cpu_limit_s = (int(arguments[2]), float(arguments[3])) if len(arguments) > 2 else (None, 0.0)
    set_parent_death_signal(parent)
    requests, replies = _take_pipes()
    _set_limits(memory_bytes)
    replies.write(protocol.READY)
    replies.flush()
    serve(requests, replies, install_collector(), stderr, cpu_limit_s)


if __name__ == "__main__":
    main(sys.argv[1:])
