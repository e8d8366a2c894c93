"""The log of one job with failures on a real worker: events, fields, and ids on every line, also on those of libraries."""

import asyncio
import json
from io import StringIO
from pathlib import Path

import pytest

import logging_setup.config
from app.db import events
from app.queue import JOB_NAMES
from tests.images.samples import encode, photo
from tests.integration.test_retry_layers import fleet
from tests.log_events import PROCESS_EVENTS
from tests.origin import Origin, image, reply
from tests.workers.test_worker_pool import ended, submit

SECRET = "s3cr3t-canary"


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    """The log of a whole job with good, flaky and broken URLs, one of them with a secret. It is compressed and exported."""
    return asyncio.run(_log_of_a_job(tmp_path_factory.mktemp("job")))


async def _log_of_a_job(tmp_path: Path) -> list[dict[str, object]]:
    stream = StringIO()
    logging_setup.config.configure("DEBUG", "json", None, stream=stream)
    try:
        async with Origin() as origin, fleet(tmp_path) as (resources, _):
            origin.script("/ok.jpg", image(encode(photo(seed=1))))
            origin.script("/flaky.jpg", reply(503), image(encode(photo(seed=2))))
            origin.script("/busy.jpg", reply(429))
            origin.script("/brace{x}.jpg", reply(404))
            urls = [origin.url(path) for path in ("/ok.jpg", "/flaky.jpg", "/busy.jpg", "/brace{x}.jpg", f"/404.jpg?token={SECRET}")]
            job_id = await submit(resources, urls, compression={"format": "webp", "level": 80})
            await ended(resources, job_id)
        async with fleet(tmp_path) as (resources, _):
            stored = await events.after(resources.db, job_id)
    finally:
        logging_setup.config.configure("WARNING", "json", None)
    parsed: list[dict[str, object]] = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [*parsed, {"event": "test.stored", "stored": stored, "wanted": job_id}]


def named(lines: list[dict[str, object]], event: str) -> list[dict[str, object]]:
    """Lines of one event."""
    return [line for line in lines if line["event"] == event]


DOWNLOAD = {"job_id", "chunk_id", "url", "attempt_number"}
EXPORT = {"user_id", "job_id", "export_format", "storage_tier"}
OPERATIONS = {
    "job.accepted": {"user_id", "job_id"},
    "job.planning": {"user_id", "job_id", "keywords", "max_images"},
    "download.fetched": DOWNLOAD,
    "download.retry": DOWNLOAD,
    "image.judged": {"job_id", "image_id", "validation_level"},
    "chunk.compressed": {"job_id", "format", "compression_level", "file_count"},
    "export.written": EXPORT,
    "export.verified": EXPORT,
}
"""The events of job creation, download, validation, compression and export, with the fields that each line has."""


def gaps(lines: list[dict[str, object]]) -> set[str]:
    """Events of the five operations that are absent, and fields that are missing from one of their lines."""
    absent = {f"no {event}" for event in OPERATIONS if not named(lines, event)}
    said = [line for line in lines if line["event"] in OPERATIONS]
    return absent | {f"{line['event']} without {field}" for line in said for field in OPERATIONS[str(line["event"])] - set(line)}


async def test_the_five_critical_operations_carry_their_fields(lines: list[dict[str, object]]) -> None:
    """Job creation, download, validation, compression and export."""
    assert gaps(lines) == set()


def test_a_missing_field_and_an_absent_event_are_gaps() -> None:
    """The test above can fail."""
    complete: list[dict[str, object]] = [{"event": event, **dict.fromkeys(fields, 1)} for event, fields in OPERATIONS.items()]
    assert gaps(complete) == set()
    assert gaps(complete[1:]) == {"no job.accepted"}
    del complete[1]["keywords"]
    assert gaps(complete) == {"job.planning without keywords"}


async def test_every_retry_is_logged_once_with_its_cause_and_wait(lines: list[dict[str, object]]) -> None:
    """Each wait is one WARNING with attempt, cause and seconds."""
    retries = named(lines, "download.retry")
    assert len(retries) == 1 + 2
    assert {line["level"] for line in retries} == {"WARNING"}
    assert sorted((line["attempt_number"], line["wait_s"]) for line in retries) == [(1, 2.0), (1, 2.0), (2, 4.0)]
    assert {line["error_type"] for line in retries} == {"RateLimitError", "ServiceUnavailableError"}


async def test_every_line_carries_the_job_or_is_a_processs_own(lines: list[dict[str, object]]) -> None:
    """A line has job, job_id, run, worker and unit_id, except for crons, the submission, and events of a process about itself."""
    inside = [line for line in lines if line.get("job") in JOB_NAMES.values()]
    assert inside
    for line in inside:
        assert {"job", "job_id", "run", "worker", "unit_id"} <= set(line), line
    others = {str(line["event"]) for line in lines[:-1] if line not in inside and line.get("job") not in ("sweep", "clean_up")}
    assert others <= {"job.accepted", *PROCESS_EVENTS}


async def test_no_line_is_broken_or_has_a_secret(lines: list[dict[str, object]]) -> None:
    """No query string is logged; braces in data neither raise nor vanish."""
    assert SECRET not in json.dumps([line for line in lines if line["event"] != "test.stored"])


async def test_the_event_log_has_the_lines_of_the_job(lines: list[dict[str, object]]) -> None:
    """Every line at INFO or above with a job_id is in the database, in order, with the same fields."""
    last = lines[-1]
    stored = last["stored"]
    written = [line for line in lines if line.get("job_id") == last["wanted"] and line["level"] in ("INFO", "WARNING", "ERROR")]
    assert isinstance(stored, list)
    assert [event.event for event in stored] == [line["event"] for line in written]
    assert {event.level for event in stored} == {"INFO", "WARNING"}
    assert SECRET not in json.dumps([event.data for event in stored])
