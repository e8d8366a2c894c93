"""What was printed is taken once, and reading never waits."""

import os

from app.images import printed


def test_what_is_there_is_taken_and_what_is_not_is_nothing() -> None:
    """The end of a long text, broken characters shown as such; a pipe with nothing in it, or none at all, is silent."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    assert printed.take(reading) == ""
    os.write(writing, b"x" * 3000 + b"\xff end\n")
    assert printed.take(reading) == "x" * 1994 + "\ufffd end"
    os.close(writing)
    assert printed.take(reading) == ""
    os.close(reading)
    assert printed.take(reading) == ""
