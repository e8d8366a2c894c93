"""The child's loop, run here on streams: every request has an answer, and only running out of memory ends it early."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.domain import Compressed, Reason, Verdict
from app.images.pool import child, protocol
from app.images.pool.protocol import Failure, Reply, Request
from app.images.verdict import validate
from app.rules import CompressionRules, ValidationRules
from logging_setup.capture import RemarkCollector, StderrPipe
from tests.images import samples

RULES = ValidationRules()


def _stream(*requests: Request) -> io.BytesIO:
    return io.BytesIO(b"".join(part for request in requests for part in protocol.encode_request(request)))


def _replies(out: io.BytesIO) -> list[Reply]:
    replies, received = [], bytearray(out.getvalue())
    while received:
        assert received.startswith(protocol.STARTED)
        answer = protocol.pop_answer(received)
        assert answer is not None
        replies.append(answer.reply)
    return replies


def test_each_request_has_its_reply_until_the_stream_ends(jpeg: bytes, tmp_path: Path) -> None:
    """Bytes or a path, a verdict or an image: in the order asked."""
    path = tmp_path / "image"
    path.write_bytes(jpeg)
    out = io.BytesIO()
    requests = [Request(RULES, (jpeg, str(path))), Request(CompressionRules("png"), (jpeg,))]
    child.serve(_stream(*requests), out, RemarkCollector())
    by_bytes, by_path, compressed = _replies(out)
    assert by_bytes == by_path == validate(jpeg, RULES)
    assert isinstance(compressed, Compressed)
    assert compressed.format == "png"


def test_a_request_cut_off_ends_the_loop(jpeg: bytes) -> None:
    """The parent is gone; nobody waits for an answer."""
    out = io.BytesIO()
    whole = _stream(Request(RULES, (jpeg,))).getvalue()
    child.serve(io.BytesIO(whole[:-1]), out, RemarkCollector())
    assert out.getvalue() == protocol.STARTED


def test_failures_are_told_apart(jpeg: bytes, tmp_path: Path) -> None:
    """A file that can't be read is our fault, bytes that don't decode are the image's."""
    collector = RemarkCollector()
    missing = child.answer(Request(RULES, ()), str(tmp_path / "nothing"), collector)
    assert isinstance(missing, Failure)
    assert missing.kind == "storage"
    assert child.answer(Request(CompressionRules("png"), ()), b"<html>", collector) == Failure(
        "invalid", Reason.NOT_AN_IMAGE, "6 bytes without the signature of an image format"
    )
    assert collector.take() == ()
    broken = child.answer(Request("no rules", ()), jpeg, collector)  # type: ignore[arg-type]
    assert isinstance(broken, Failure)
    assert (broken.kind, broken.reason) == ("crash", Reason.DECODER_CRASH)
    (remark,) = collector.take()
    assert (remark.category, remark.traceback[:9]) == ("AttributeError", "Traceback")


def test_a_bug_ends_the_loop_after_its_answer(jpeg: bytes) -> None:
    """After an unexpected exception a process gets no further image, not even of its batch."""
    rules = ValidationRules(level="no such level")  # type: ignore[arg-type]
    out, collector = io.BytesIO(), RemarkCollector()
    child.serve(_stream(Request(rules, (jpeg, jpeg))), out, collector)
    (only,) = _replies(out)
    assert isinstance(only, Failure)
    assert (only.kind, only.reason) == ("crash", Reason.DECODER_CRASH)


def test_verdict_and_output_come_of_one_request(jpeg: bytes) -> None:
    """As by the function, image for image."""
    rules = CompressionRules("jpeg", 80, "keep_ratio", 64)
    out = io.BytesIO()
    child.serve(_stream(Request(RULES, (jpeg, b"<html>"), rules)), out, RemarkCollector())
    assert _replies(out) == [validate(jpeg, RULES, rules), validate(b"<html>", RULES, rules)]


def test_a_reply_leaves_with_the_mark_of_the_next_image(jpeg: bytes) -> None:
    """One call for each image, so the parent is woken once, and it knows of every image whether it was begun."""

    class Calls(io.RawIOBase):
        def __init__(self) -> None:
            self.sent: list[bytes] = []

        def writable(self) -> bool:
            return True

        def write(self, data: Any, /) -> int:
            self.sent.append(bytes(data))
            return len(self.sent[-1])

    calls = Calls()
    child.serve(_stream(Request(RULES, (jpeg, jpeg, jpeg))), io.BufferedWriter(calls, 1 << 18), RemarkCollector())
    assert len(calls.sent) == 4
    assert calls.sent[0] == protocol.STARTED
    assert [sent.endswith(protocol.STARTED) for sent in calls.sent] == [True, True, True, False]


def test_what_is_printed_over_an_image_comes_with_its_answer(jpeg: bytes) -> None:
    """Not with the next one's, however early that was begun."""
    noisy = samples.encode(samples.photo(), "TIFF", compression="jpeg").replace(b"\xff\xdb", b"\xff\xfe")
    stderr = StderrPipe()
    kept = os.dup(2)
    os.dup2(stderr.write_end, 2)
    try:
        out = io.BytesIO()
        child.serve(_stream(Request(RULES, (jpeg, noisy, jpeg))), out, RemarkCollector(), stderr.read_end)
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        stderr.close_write_end()
        stderr.close()
    received, remarks = bytearray(out.getvalue()), []
    while (answer := protocol.pop_answer(received)) is not None:
        remarks.append([remark.library for remark in answer.remarks])
    assert [bool(said) for said in remarks] == [False, True, False]
    assert remarks[1][0] == "stderr"


class _Exhausted(io.BytesIO):
    """A stream whose bodies don't fit into memory."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size == 10_000:
            raise MemoryError
        return super().read(size)


def test_out_of_memory_is_answered_and_ends_the_loop(jpeg: bytes) -> None:
    """The image gets its reason; the next one gets another process."""
    out = io.BytesIO()
    child.serve(_Exhausted(_stream(Request(RULES, (bytes(10_000), jpeg)), Request(RULES, (jpeg,))).getvalue()), out, RemarkCollector())
    assert _replies(out) == [Failure("crash", Reason.DECODER_CRASH, "out of memory")]


def _run(parent: int, body: bytes, memory_bytes: int = 1 << 30) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "app.images.pool.child", str(parent), str(memory_bytes)],
        input=body,
        capture_output=True,
        check=False,
        timeout=120,
        env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")},  # it may write no file
    )


def test_the_process_answers_over_its_pipes_whatever_is_printed(jpeg: bytes) -> None:
    """Libraries complain about broken files on stderr, which the parent reads; the answers stay clean."""
    noisy = samples.encode(samples.photo(), "TIFF", compression="jpeg").replace(b"\xff\xdb", b"\xff\xfe")
    done = _run(os.getpid(), _stream(Request(RULES, (noisy, jpeg))).getvalue())
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
    assert done.stdout[:1] == protocol.READY
    first, second = _replies(io.BytesIO(done.stdout[1:]))
    assert isinstance(first, Verdict)
    assert first.reason is Reason.CORRUPT
    assert second == validate(jpeg, RULES)


def test_the_process_ends_where_its_parent_is_gone() -> None:
    """Another parent than the one that started it: it was orphaned before it could ask the kernel."""
    done = _run(1, b"")
    assert (done.returncode, done.stdout) == (1, b"")


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is Linux's")
def test_a_child_dies_with_its_parent() -> None:
    """Also where the parent is killed and the pipe stays open in another process."""
    code = (
        "import os, subprocess, sys; r, w = os.pipe(); os.set_inheritable(w, True);"
        "child = subprocess.Popen([sys.executable, '-m', 'app.images.pool.child', str(os.getpid()), str(1 << 30)],"
        " stdin=r, stdout=subprocess.PIPE, pass_fds=[w]);"
        "child.stdout.read(1); print(child.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert _is_gone(int(done.stdout))


def _is_gone(pid: int) -> bool:
    """Wait for the end of a process that is not our child, through a descriptor of it."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    import select

    try:
        return bool(select.select([descriptor], [], [], 30)[0])
    finally:
        os.close(descriptor)


def test_the_process_imports_no_loop_and_no_pool() -> None:
    """What a child imports is what every image's safety costs; the event loop stays in the parent."""
    unwanted = {"asyncio", "sqlalchemy", "redis", "loguru", "app.images.pool.pool", "app.images.dedupe"}
    code = f"import sys, app.images.pool.child; print({unwanted!r} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=120)
    assert done.stdout.strip() == b"set()"
