"""Where lines go may break in any way: lines are lost and counted, and nobody waits."""

import io
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from logging_setup import get_logger
from logging_setup.config import configure, dropped_lines
from logging_setup.sinks import WATCH_INTERVAL_S, DescriptorSink, FileSink, StreamSink, is_terminal, sink_for
from tests.logging_setup.test_repeats import Clock

log = get_logger("app.test")


@dataclass
class Pipe:
    """Two ends; a test may close either, once."""

    read: int
    write: int
    closed: set[int] = field(default_factory=set)

    def close(self, end: int) -> None:
        """Close an end that is still open."""
        if end not in self.closed:
            self.closed.add(end)
            os.close(end)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """An empty one."""
    pipe = Pipe(*os.pipe())
    yield pipe
    pipe.close(pipe.read)
    pipe.close(pipe.write)


def test_a_pipe_nobody_reads_costs_lines_and_no_time(pipe: Pipe) -> None:
    """It is waited for once; behind that, lines are refused at once, until somebody reads again."""
    sink = DescriptorSink(pipe.write)
    for _ in range(600):
        sink.write("x" * 99 + "\n")
    with pytest.raises(BlockingIOError):
        sink.write("x" * 99_999 + "\n")
    assert sink._patience_ms == 0
    with pytest.raises(BlockingIOError):
        sink.write("refused\n")
    os.read(pipe.read, 1 << 20)
    sink.write("taken\n")
    assert os.read(pipe.read, 1 << 20) == b"\ntaken\n"


def test_a_long_line_goes_through_a_pipe_whole(pipe: Pipe) -> None:
    """In pieces, as the reader takes them."""
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(Path(f"/dev/fd/{pipe.read}").read_bytes()))
    reader.start()
    DescriptorSink(pipe.write).write("é" * 200_000 + "\n")
    pipe.close(pipe.write)
    reader.join()
    assert read == [("é" * 200_000 + "\n").encode()]


def test_a_line_that_was_torn_does_not_spoil_the_next(pipe: Pipe) -> None:
    """What follows begins on a row of its own."""
    sink = DescriptorSink(pipe.write)
    with pytest.raises(BlockingIOError):
        sink.write("x" * 200_000 + "\n")
    os.read(pipe.read, 1 << 20)
    sink.write("next\n")
    assert os.read(pipe.read, 1 << 20) == b"\nnext\n"


def test_a_socket_nobody_reads_is_no_trap_either() -> None:
    """As the journal of a service manager is."""
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(BlockingIOError):
        DescriptorSink(ours.fileno()).write("x" * 9_999_999 + "\n")


@pytest.mark.parametrize("how", ["reader gone", "closed", "full disk"])
def test_a_descriptor_that_refuses_raises(pipe: Pipe, how: str) -> None:
    """EPIPE, EBADF, ENOSPC: for the caller to count."""
    descriptor = os.open("/dev/full", os.O_WRONLY) if how == "full disk" else pipe.write
    sink = DescriptorSink(descriptor)
    if how != "full disk":
        pipe.close(pipe.read if how == "reader gone" else descriptor)
    with pytest.raises(OSError):  # noqa: PT011 - which one is the system's choice
        sink.write("x\n")
    if how == "full disk":
        os.close(descriptor)


@pytest.mark.parametrize("how", ["moved", "removed", "replaced", "folder removed"])
def test_a_file_is_found_again_under_its_name(tmp_path: Path, how: str) -> None:
    """logrotate moves it away, a person removes it: the next look opens it anew."""
    path, clock = tmp_path / "logs" / "a.log", Clock()
    sink = FileSink(str(path), clock)
    sink.write("one\n")
    path.rename(tmp_path / "old.log")
    if how == "folder removed":
        path.parent.rmdir()
    if how == "replaced":
        path.write_text("zero\n")
    sink.write("two\n")
    clock.now += WATCH_INTERVAL_S
    sink.write("three\n")
    sink.close()
    assert (tmp_path / "old.log").read_text() == "one\ntwo\n"
    assert path.read_text() == ("zero\nthree\n" if how == "replaced" else "three\n")


def test_a_file_that_was_cut_short_goes_on_at_its_end(tmp_path: Path) -> None:
    """logrotate's copytruncate: no hole is left."""
    path = tmp_path / "a.log"
    sink = FileSink(str(path))
    sink.write("one\n")
    os.truncate(path, 0)
    sink.write("two\n")
    sink.close()
    assert path.read_bytes() == b"two\n"


def test_a_name_that_cannot_be_opened_anew_keeps_the_old_file(tmp_path: Path) -> None:
    """Nothing is lost while somebody repairs it; afterwards the name is taken up again."""
    path, clock = tmp_path / "a.log", Clock()
    sink = FileSink(str(path), clock)
    path.rename(tmp_path / "old.log")
    path.mkdir()
    clock.now += WATCH_INTERVAL_S
    sink.write("one\n")
    path.rmdir()
    clock.now += WATCH_INTERVAL_S
    sink.write("two\n")
    sink.close()
    sink.close()
    assert ((tmp_path / "old.log").read_text(), path.read_text()) == ("one\n", "two\n")


def test_streams_get_the_shortest_way(tmp_path: Path) -> None:
    """A real file by its descriptor; what lives in memory as it is; none, where a process has none, takes nothing."""
    with (tmp_path / "a").open("w") as stream:
        assert isinstance(sink_for(stream), DescriptorSink)
    assert isinstance(sink_for(io.StringIO()), StreamSink)
    assert isinstance(sink_for(io.TextIOWrapper(io.BytesIO())), StreamSink)
    with pytest.raises(OSError, match="no standard error"):
        sink_for(None).write("x\n")
    assert not is_terminal(None)


def test_one_broken_sink_does_not_silence_the_other(tmp_path: Path) -> None:
    """A full standard error is counted; the file goes on."""
    path = tmp_path / "a.log"
    with Path("/dev/full").open("w") as full:
        configure("INFO", "json", str(path), stream=full)
        before = dropped_lines()
        log.info("an.event", value="ü\ud800")
        assert dropped_lines() == before + 1
        configure("WARNING", stream=io.StringIO())
    assert json.loads(path.read_text())["event"] == "an.event"


CODE = """
import os, sys
from logging_setup import get_logger
from logging_setup.config import configure, dropped_lines
configure("DEBUG", "pretty")
log = get_logger("x")
for number in range(3000):
    log.info("an.event", number=number, text="x" * 100)
print(dropped_lines())
"""


@pytest.mark.parametrize("how", ["full", "reader gone", "nobody reads", "none"])
def test_a_process_with_a_broken_standard_error_ends_as_it_would(how: str) -> None:
    """With its own exit code, its output whole, and its losses counted; nothing that waits in a buffer spoils the end."""
    read, write = os.pipe()
    stderr = os.open("/dev/full", os.O_WRONLY) if how == "full" else write
    if how == "reader gone":
        os.close(read)
    command = [sys.executable, "-c", CODE]
    if how == "none":
        command = ["sh", "-c", 'exec "$0" "$@" 2>&-', *command]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=stderr, timeout=60, check=False)
    for end in {stderr, write} | ({read} if how != "reader gone" else set()):
        os.close(end)
    assert done.returncode == 0
    assert int(done.stdout) == 3000 if how != "nobody reads" else 1000 < int(done.stdout) < 3000


LOGURU_SINK = """
import sys
import loguru
loguru.logger.remove()
loguru.logger.add("/dev/full", watch=True, format="{message}")
for _ in range(int(sys.argv[1])):
    loguru.logger.info("an.event", token="CANARY")
print("done")
"""


def test_the_file_sink_of_loguru_would_print_records_and_hang() -> None:
    """Why `FileSink` is our own: a full disk must neither show a secret on standard error nor stop the process."""
    done = subprocess.run([sys.executable, "-c", LOGURU_SINK, "1"], capture_output=True, check=True, text=True, timeout=60)
    assert "'token': 'CANARY'" in done.stderr
    with subprocess.Popen([sys.executable, "-c", LOGURU_SINK, "500"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as hanging:
        with pytest.raises(subprocess.TimeoutExpired):
            hanging.wait(5)
        hanging.kill()
