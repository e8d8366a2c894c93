"""What is said in a decoder is logged by its parent: whose image it was over, redacted, on lines that it cannot forge."""

import asyncio
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from app.domain import ValidationRules
from app.images import DecoderPool
from app.images.chatter import StandardError, log_remarks
from errors import StorageError
from logging_setup import add_sink, get_logger, remove_sink
from logging_setup.overheard import Remark
from tests.images import samples

log = get_logger(__name__)
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
    stderr = StandardError()
    assert stderr.take() == ""
    assert os.write(stderr.theirs, b"x" * 1_000_000) < 1_000_000
    with pytest.raises(BlockingIOError):
        os.write(stderr.theirs, b"x" * 4096)
    assert stderr.take() == "x" * 2000
    assert stderr.take() == ""
    stderr.release()
    assert stderr.take() == ""
    stderr.close()
    stderr.close()
