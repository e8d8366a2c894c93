"""What is said in a process without a log is kept, within bounds, until its parent is told."""

import logging
import subprocess
import sys

import pytest

from logging_setup.overheard import MOST_CHARS, MOST_REMARKS, MOST_TRACEBACK_CHARS, Listener, Remark, is_listening


class Unshowable:
    """Breaks whoever shows it."""

    def __str__(self) -> str:
        raise RuntimeError


def record(message: object, *arguments: object) -> logging.LogRecord:
    """A library's line."""
    return logging.makeLogRecord({"name": "PIL.x", "levelname": "WARNING", "levelno": 30, "msg": message, "args": arguments})


def test_remarks_are_taken_once() -> None:
    """In order, with who said them."""
    listener = Listener()
    listener.warned("Corrupt EXIF data", UserWarning, "f.py", 1)
    listener.handle(record("%d samples", 7))
    assert listener.take() == (Remark("warnings", "Corrupt EXIF data", "UserWarning"), Remark("PIL.x", "7 samples", "WARNING"))
    assert listener.take() == ()


def test_remarks_are_few_and_short() -> None:
    """A file can be made to draw thousands of them."""
    listener = Listener()
    for _ in range(1000):
        listener.warned("x" * 10_000, UserWarning, "f.py", 1)
    taken = listener.take()
    assert (len(taken), {len(remark.text) for remark in taken}) == (MOST_REMARKS, {MOST_CHARS})


def test_a_bug_is_told_whatever_was_said_before() -> None:
    """Its traceback is the news; its end holds the cause."""
    listener = Listener()
    for _ in range(MOST_REMARKS):
        listener.warned("x", UserWarning, "f.py", 1)
    try:
        raise ValueError("y" * 10_000)
    except ValueError as error:
        listener.failed(error)
    *_, last = taken = listener.take()
    assert len(taken) == MOST_REMARKS
    assert (last.category, len(last.text), len(last.traceback)) == ("ValueError", MOST_CHARS, MOST_TRACEBACK_CHARS)


@pytest.mark.parametrize("line", [record("%d samples", "many"), record(Unshowable())], ids=["arguments", "text"])
def test_what_cannot_be_shown_breaks_nothing(line: logging.LogRecord) -> None:
    """A library's mistake is not the image's."""
    listener = Listener()
    listener.handle(line)
    assert listener.take()[0].text == "what it said cannot be shown"


def test_listening_is_the_whole_processs_affair() -> None:
    """Warnings that are usually shown once, or never, are heard each time; nothing of loguru is loaded for it."""
    code = (
        "import logging, sys, warnings; from logging_setup import overheard; listener = overheard.listen()\n"
        "for _ in range(2): warnings.warn('w', DeprecationWarning)\n"
        "logging.getLogger('a.b').warning('l'); logging.getLogger('a.b').info('not this')\n"
        "print([remark.text for remark in listener.take()], overheard.is_listening(), {'loguru', 'asyncio'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("['w', 'w', 'l'] True set()\n", "")
    assert not is_listening()
