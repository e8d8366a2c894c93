"""Libraries that use standard logging come out of the same place, and leak nothing."""

import io
import json
import logging

import httpx
import loguru
import pytest

from logging_setup import configure


@pytest.fixture
def lines():
    stream = io.StringIO()
    configure("INFO", "json", stream=stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    configure("WARNING", stream=io.StringIO())


@pytest.mark.parametrize("name", ["uvicorn.error", "anything.else"])
def test_library_lines_arrive_with_their_logger(lines, name):
    """The text is the event, the logger's name is kept, braces and arguments survive."""
    logging.getLogger(name).info("took %.1f s for {job}", 1.5)
    (line,) = lines()
    assert (line["level"], line["logger"], line["event"]) == ("INFO", name, "took 1.5 s for {job}")


def test_exception_comes_along(lines):
    """With type and traceback."""
    try:
        raise KeyError("x")
    except KeyError:
        logging.getLogger("arq.worker").exception("job failed")
    assert (lines()[0]["error_type"], lines()[0]["event"]) == ("KeyError", "job failed")


async def test_httpx_urls_do_not_leak(lines):
    """httpx logs every URL with its query at INFO: not here."""
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda request: httpx.Response(200))) as client:
        await client.get("https://h.test/?sig=secret")
    assert lines() == []


def test_levels_of_libraries_are_tuned(lines):
    """SQL statements and access lines are noise, their warnings are not."""
    for name in ("sqlalchemy.engine", "uvicorn.access", "aiohttp.client", "httpcore.http11"):
        logging.getLogger(name).info("noise")
        logging.getLogger(name).warning("trouble")
    assert [line["event"] for line in lines()] == ["trouble"] * 4


def test_install_twice_writes_once(lines):
    """Idempotent, and libraries' own handlers are gone."""
    logging.getLogger("uvicorn").addHandler(logging.StreamHandler(io.StringIO()))
    stream = io.StringIO()
    configure("INFO", "json", stream=stream)
    configure("INFO", "json", stream=stream)
    logging.getLogger("uvicorn").info("once")
    assert len(stream.getvalue().splitlines()) == 1
    assert logging.getLogger("uvicorn").handlers == []


def test_arguments_that_do_not_fit_and_odd_levels(lines):
    """A library's mistake costs its formatting, not the line."""
    (handler,) = (handler for handler in logging.getLogger().handlers if type(handler).__module__ == "logging_setup.bridge")
    handler.emit(logging.makeLogRecord({"name": "arq", "levelname": "INFO", "msg": "%d jobs", "args": ("many",)}))
    logging.getLogger("arq").log(35, "between")
    assert [line["event"] for line in lines()] == ["%d jobs", "between"]


class Unshowable:
    """Breaks whoever shows it."""

    def __str__(self):
        raise RuntimeError("no text")


def test_a_library_never_hears_of_our_trouble(lines):
    """A text that cannot be shown, a level that is none: one line, and no exception for the library."""
    (handler,) = (handler for handler in logging.getLogger().handlers if type(handler).__module__ == "logging_setup.bridge")
    for record in ({"msg": Unshowable()}, {"msg": "%s", "args": (Unshowable(),)}, {"msg": "odd", "levelname": "ODD", "levelno": 45}):
        handler.emit(logging.makeLogRecord({"name": "odd", "levelname": "ERROR", "levelno": 40} | record))
    assert [line["event"] for line in lines()] == ["<Unshowable>", "%s", "odd"]


@pytest.mark.parametrize("name", ["arq.worker", "uvicorn.error", "sqlalchemy.pool.impl.QueuePool", "asyncio", "aiohttp.client", "nobody"])
def test_warnings_of_libraries_come_with_the_context(lines, name):
    """Whichever library, at every level of ours that asks for warnings."""
    with loguru.logger.contextualize(job_id="job_1"):
        logging.getLogger(name).warning("trouble at %s", "http://u:CANARY@h.test/?a=CANARY")
    (line,) = lines()
    assert (line["logger"], line["level"], line["job_id"]) == (name, "WARNING", "job_1")
    assert line["event"] == "trouble at http://***@h.test/?***"
