"""What a decoder process says is collected within bounds and logged by its parent: in the context of its image, redacted, unforgeable."""

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from app.images.pool.pool import DecoderPool
from app.rules import ValidationRules
from errors import StorageError
from logging_setup import get_logger
from logging_setup.capture import (
    MAX_CHARS,
    MAX_REMARKS,
    MAX_TRACEBACK_CHARS,
    Remark,
    RemarkCollector,
    StderrPipe,
    is_capturing,
    log_remarks,
    read_printed,
)
from logging_setup.config import add_sink, remove_sink
from tests.images import samples

log = get_logger(__name__)


class Unshowable:
    """Breaks whoever shows it."""

    def __str__(self) -> str:
        raise RuntimeError


def record(message: object, *arguments: object) -> logging.LogRecord:
    """A library's line."""
    return logging.makeLogRecord({"name": "PIL.x", "levelname": "WARNING", "levelno": 30, "msg": message, "args": arguments})


def test_remarks_are_taken_once() -> None:
    """In order, with who said them."""
    collector = RemarkCollector()
    collector.on_warning("Corrupt EXIF data", UserWarning, "f.py", 1)
    collector.handle(record("%d samples", 7))
    assert collector.take() == (Remark("warnings", "Corrupt EXIF data", "UserWarning"), Remark("PIL.x", "7 samples", "WARNING"))
    assert collector.take() == ()


def test_remarks_are_few_and_short() -> None:
    """A file can be made to draw thousands of them."""
    collector = RemarkCollector()
    for _ in range(1000):
        collector.on_warning("x" * 10_000, UserWarning, "f.py", 1)
    taken = collector.take()
    assert (len(taken), {len(remark.text) for remark in taken}) == (MAX_REMARKS, {MAX_CHARS})


def test_a_bug_is_told_whatever_was_said_before() -> None:
    """Its traceback is the news; its end holds the cause."""
    collector = RemarkCollector()
    for _ in range(MAX_REMARKS):
        collector.on_warning("x", UserWarning, "f.py", 1)
    try:
        raise ValueError("y" * 10_000)
    except ValueError as error:
        collector.add_exception(error)
    *_, last = taken = collector.take()
    assert len(taken) == MAX_REMARKS
    assert (last.category, len(last.text), len(last.traceback)) == ("ValueError", MAX_CHARS, MAX_TRACEBACK_CHARS)


@pytest.mark.parametrize("line", [record("%d samples", "many"), record(Unshowable())], ids=["arguments", "text"])
def test_what_cannot_be_shown_breaks_nothing(line: logging.LogRecord) -> None:
    """A library's mistake is not the image's."""
    collector = RemarkCollector()
    collector.handle(line)
    assert collector.take()[0].text == "the message cannot be formatted"


def test_listening_is_the_whole_processs_affair() -> None:
    """Warnings that are usually shown once, or never, are heard each time; nothing of loguru is loaded for it."""
    code = (
        "import logging, sys, warnings; from logging_setup import capture; collector = capture.install_collector()\n"
        "for _ in range(2): warnings.warn('w', DeprecationWarning)\n"
        "logging.getLogger('a.b').warning('l'); logging.getLogger('a.b').info('not this')\n"
        "print([remark.text for remark in collector.take()], capture.is_capturing(), {'loguru', 'asyncio'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("['w', 'w', 'l'] True set()\n", "")
    assert not is_capturing()


def test_what_is_there_is_taken_and_what_is_not_is_nothing() -> None:
    """The end of a long text, broken characters shown as such; a pipe with nothing in it, or none at all, is silent."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    assert read_printed(reading) == ""
    os.write(writing, b"x" * 3000 + b"\xff end\n")
    assert read_printed(reading) == "x" * 1994 + "\ufffd end"
    os.close(writing)
    assert read_printed(reading) == ""
    os.close(reading)
    assert read_printed(reading) == ""


RULES = ValidationRules(level="basic")


@pytest.fixture
def lines() -> Iterator[list[Mapping[str, Any]]]:
    """Every record from DEBUG on."""
    seen: list[Mapping[str, Any]] = []
    sink = add_sink(seen.append, "DEBUG")
    yield seen
    remove_sink(sink)


def with_broken_exif(seed: int) -> bytes:
    """A JPEG whose EXIF block makes Pillow warn."""
    body = samples.encode(samples.photo(seed=seed))
    block = b"Exif\x00\x00" + b"II*\x00\x08\x00\x00\x00\x05\x00" + b"\x12\x01\x03\x00\x01\x00\x00\x00"
    return body[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block + body[2:]


async def test_a_warning_comes_in_the_context_of_its_image(lines: list[Mapping[str, Any]]) -> None:
    """Two images at once, one of which is noisy: the line names that one, its job and its run."""
    async with DecoderPool(2) as pool:

        async def judge(image_id: int, body: bytes) -> None:
            with log.contextualize(job_id="job_1", run=1, image_id=image_id):
                assert (await pool.validate(body, RULES)).reason is None

        quiet = [judge(number, samples.encode(samples.photo(seed=number))) for number in range(1, 4)]
        await asyncio.gather(*quiet, judge(7, with_broken_exif(7)))
    said = [line for line in lines if line["event"] == "decoder.remark"]
    assert said
    assert {(line["job_id"], line["image_id"], line["level"], line["category"]) for line in said} == {("job_1", 7, "DEBUG", "UserWarning")}


async def test_what_libraries_of_c_print_is_a_line_too(lines: list[Mapping[str, Any]]) -> None:
    """libtiff writes to standard error past Python."""
    noisy = samples.encode(samples.photo(), "TIFF", compression="jpeg").replace(b"\xff\xdb", b"\xff\xfe")
    async with DecoderPool(1) as pool:
        await pool.validate(noisy, RULES)
        heard = [line for line in lines if line.get("library") == "stderr"]
        await pool.validate(samples.encode(samples.photo()), RULES)
    assert heard
    assert [line for line in lines if line.get("library") == "stderr"] == heard


async def test_a_bug_in_a_decoder_is_a_warning_with_its_traceback(lines: list[Mapping[str, Any]]) -> None:
    """The image gets its reason as before; the log has what the reply leaves out."""
    async with DecoderPool(1) as pool:
        verdict = await pool.validate(samples.encode(samples.photo()), ValidationRules(level="no such level"))  # type: ignore[arg-type]
    assert verdict.detail.startswith(("KeyError", "ValueError"))
    (bug,) = [line for line in lines if line["event"] == "decoder.bug"]
    assert (bug["level"], bug["traceback"][:9]) == ("WARNING", "Traceback")
    assert "app/images/" in bug["traceback"]


async def test_a_childs_last_words_say_why_it_never_came_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An interpreter that prints and ends."""
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho first >&2\necho no module named numpy >&2\nexit 3\n")
    script.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(script))
    async with DecoderPool(1) as pool:
        with pytest.raises(StorageError, match="exit code 3, no module named numpy"):
            await pool.validate(b"", RULES)


def test_remarks_are_data(lines: list[Mapping[str, Any]]) -> None:
    """What a hostile child says is redacted, and stays in its field."""
    log_remarks([Remark('x", "level": "ERROR', "at http://u:CANARY@h/?s=CANARY\n2026 ERROR forged", "{0}", "")], "printed {x.y}")
    assert [line["event"] for line in lines] == ["decoder.remark"] * 2
    assert lines[0]["text"] == "at http://***@h/?*** 2026 ERROR forged".replace(" 2026", "\n2026")
    assert "CANARY" not in str(lines)


def test_standard_error_never_blocks_either_side() -> None:
    """Nothing there is nothing said; a full pipe takes no more; what is taken is bounded."""
    stderr = StderrPipe()
    assert stderr.take() == ""
    assert os.write(stderr.write_end, b"x" * 1_000_000) < 1_000_000
    with pytest.raises(BlockingIOError):
        os.write(stderr.write_end, b"x" * 4096)
    assert stderr.take() == "x" * 2000
    assert stderr.take() == ""
    stderr.close_write_end()
    assert stderr.take() == ""
    stderr.close()
    stderr.close()
