"""What Python says past every log comes as lines too: in a process of its own, since the hooks are the whole process's."""

import json
import subprocess
import sys
import warnings

import pytest

HEAD = """
import asyncio, gc, logging, sys, threading, warnings
from logging_setup import configure, get_logger
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
