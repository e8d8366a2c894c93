"""Standard logging, warnings and uncaught exceptions become lines too, and leak nothing."""

import io
import json
import logging
import subprocess
import sys
import warnings

import httpx
import loguru
import pytest

from logging_setup.config import configure


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


HEAD = """
import asyncio, gc, logging, sys, threading, warnings
from logging_setup import get_logger
from logging_setup.config import configure
configure("INFO", "json")
log = get_logger("x")
SECRET = "http://user:CANARY@h.test/?sig=CANARY\\n2026 ERROR forged"
"""


def lines_of(code: str, returncode: int = 0) -> list[dict[str, object]]:
    """Run it; every row of its standard error is a line of ours, and without the secret."""
    done = subprocess.run([sys.executable, "-c", HEAD + code], capture_output=True, check=False, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (returncode, ""), done.stderr
    assert "CANARY" not in done.stderr.replace("SECRET", "")
    return [json.loads(row) for row in done.stderr.splitlines()]


@pytest.mark.parametrize(
    ("code", "event", "fields"),
    [
        ("warnings.warn(SECRET)", "python.warning", {"level": "WARNING", "error_type": "UserWarning"}),
        ("threading.Thread(target=lambda: int(SECRET), name='t').start()", "thread.crashed", {"thread": "t", "error_type": "ValueError"}),
        ("class Bad:\n def __del__(self): int(SECRET)\nBad()", "finaliser.failed", {"level": "ERROR", "error_type": "ValueError"}),
    ],
)
def test_what_nobody_catches_is_a_line_with_its_context(code: str, event: str, fields: dict[str, object]) -> None:
    """Warnings, threads and finalisers; the context that is active comes along."""
    body = code.replace("\n", "\n    ") if "class" in code else code
    (line,) = [line for line in lines_of(f"with log.contextualize(job_id='j1'):\n    {body}\n") if line["event"] == event]
    assert fields.items() <= line.items()
    assert line.get("job_id", "j1") == "j1"


def test_a_crash_is_a_line_and_keeps_its_exit_code() -> None:
    """The traceback is in it, on one line."""
    (line,) = lines_of("raise ValueError(SECRET)", returncode=1)
    assert (line["event"], line["level"], line["error_type"]) == ("process.crashed", "ERROR", "ValueError")
    assert str(line["traceback"]).startswith("Traceback")


def test_a_task_whose_error_nobody_asked_for_is_a_line() -> None:
    """asyncio reports it through standard logging."""
    code = "async def bad(): raise ValueError(SECRET)\nasync def main():\n task = asyncio.create_task(bad())\n await asyncio.sleep(0)\n"
    code += " await asyncio.sleep(0)\n del task\n gc.collect()\nasyncio.run(main())"
    (line,) = lines_of(code)
    assert (line["logger"], line["level"], line["error_type"]) == ("asyncio", "ERROR", "ValueError")


def test_an_interrupt_is_left_to_the_shell() -> None:
    """It is somebody's wish and no crash."""
    done = subprocess.run([sys.executable, "-c", HEAD + "raise KeyboardInterrupt"], capture_output=True, check=False, text=True, timeout=60)
    assert "process.crashed" not in done.stderr
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")


def test_hooks_of_others_stay() -> None:
    """The command reports bugs in its own words; a test runner counts them."""
    code = "sys.excepthook = mine = lambda *_: None\nthreading.excepthook = sys.unraisablehook = mine\nconfigure('INFO', 'json')\n"
    assert lines_of(code + "assert (sys.excepthook, threading.excepthook, sys.unraisablehook) == (mine,) * 3") == []


def test_warnings_obey_their_filters() -> None:
    """What is ignored stays so; what is an error is raised, also with our hook in place."""
    assert lines_of("warnings.simplefilter('ignore')\nwarnings.warn('x')") == []
    with pytest.raises(UserWarning, match="x"):
        warnings.warn("x", stacklevel=1)
