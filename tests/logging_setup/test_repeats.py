"""Warnings that repeat: some are written, the rest are counted, and no count is lost."""

import io
import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logging_setup import get_logger
from logging_setup.config import add_sink, configure, remove_sink
from logging_setup.repeats import BURST, KEPT, WINDOW_S, Repeats

log = get_logger("app.test")


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """At zero."""
    return Clock()


def line(event: str = "download.retry", level: str = "WARNING", **fields: object) -> dict[str, object]:
    """A flat record."""
    return {"ts": "t", "level": level, "event": event, "logger": "l", **fields}


def test_a_burst_is_written_and_the_rest_is_counted_when_the_window_ends(clock: Clock) -> None:
    """Any record behind the window's end brings the count: the last line held back, with how many they were."""
    repeats = Repeats(clock)
    written = [repeats.admit(line(host="h", attempt_number=number)) for number in range(BURST + 3)]
    assert written[:BURST] == [[line(host="h", attempt_number=number)] for number in range(BURST)]
    assert written[BURST:] == [[], [], []]
    clock.now = WINDOW_S
    other = line("chunk.fetched", "INFO")
    assert repeats.admit(other) == [line(host="h", attempt_number=BURST + 2, repeated=3), other]
    assert repeats.flush() == []


def test_a_window_that_is_over_begins_anew(clock: Clock) -> None:
    """A flood that goes on shows its first lines every minute."""
    repeats = Repeats(clock)
    for _ in range(BURST + 1):
        repeats.admit(line())
    clock.now = WINDOW_S
    assert repeats.admit(line()) == [line(repeated=1), line()]
    assert [len(repeats.admit(line())) for _ in range(BURST)] == [1] * (BURST - 1) + [0]


def test_what_is_held_back_at_the_end_is_counted_too(clock: Clock) -> None:
    """Once."""
    repeats = Repeats(clock)
    for _ in range(BURST + 2):
        repeats.admit(line())
    assert repeats.flush() == [line(repeated=2)]
    assert repeats.flush() == []


@pytest.mark.parametrize("field", ["job_id", "host", "error_type", "error", "reason", "loop", "kind", "status", "source", "line"])
def test_another_subject_is_another_warning(clock: Clock, field: str) -> None:
    """Each of these has a burst of its own."""
    repeats = Repeats(clock)
    for _ in range(BURST):
        repeats.admit(line(**{field: "a"}))
    assert repeats.admit(line(**{field: "a"})) == []
    assert repeats.admit(line(**{field: "b"})) == [line(**{field: "b"})]


@pytest.mark.parametrize("field", ["attempt_number", "wait_s", "url", "chunk_id", "unit_id", "ts", "failures"])
def test_another_number_is_the_same_warning(clock: Clock, field: str) -> None:
    """What differs from one try to the next makes no warning new."""
    repeats = Repeats(clock)
    assert [len(repeats.admit(line(**{"ts": "t", field: number}))) for number in range(BURST + 2)] == [1] * BURST + [0, 0]


@pytest.mark.parametrize(
    ("event", "level", "field"),
    [("unit.taken_back", "WARNING", "unit_id"), ("unit.dead", "ERROR", "unit_id"), ("work.failed", "ERROR", "image_id")],
)
def test_each_loss_is_a_line(clock: Clock, event: str, level: str, field: str) -> None:
    """An event's own subject counts, and an error's every piece of work."""
    repeats = Repeats(clock)
    assert all(repeats.admit(line(event, level, **{field: f"id_{number}"})) for number in range(3 * BURST))


def test_what_is_no_warning_is_never_held_back(clock: Clock) -> None:
    """INFO and DEBUG are what was asked for."""
    repeats = Repeats(clock)
    assert all(repeats.admit(line(level=level)) for level in ("DEBUG", "INFO") for _ in range(3 * BURST))


def test_memory_is_bounded(clock: Clock) -> None:
    """The oldest identity makes room, and its count is written then."""
    repeats = Repeats(clock)
    for _ in range(BURST + 4):
        repeats.admit(line(host="first"))
    written = [entry for number in range(KEPT) for entry in repeats.admit(line(host=f"h{number}"))]
    assert line(host="first", repeated=4) in written
    assert len(repeats._windows) == KEPT


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["WARNING", "ERROR", "INFO"]), st.floats(0, 40)), max_size=200))
def test_no_line_is_lost_count(days: list[tuple[str, str, float]]) -> None:
    """Whatever comes when: what is written, each line as many times as it says, is what was logged."""
    clock = Clock()
    repeats = Repeats(clock)
    written = []
    for host, level, wait_s in days:
        clock.now += wait_s
        written += repeats.admit(line("e", level, host=host))
    written += repeats.flush()
    for host in "abc":
        assert sum(int(str(entry.get("repeated", 1))) for entry in written if entry["host"] == host) == [day[0] for day in days].count(host)


def test_receivers_get_every_record() -> None:
    """The journal of a job misses nothing; the stream is spared, and gets the count when it is taken down."""
    stream, seen = io.StringIO(), []
    configure("INFO", "json", stream=stream)
    sink = add_sink(seen.append, "INFO")
    for number in range(BURST + 7):
        log.warning("download.retry", host="h", attempt_number=number)
    remove_sink(sink)
    assert len(seen) == BURST + 7
    assert len(stream.getvalue().splitlines()) == BURST
    configure("WARNING", stream=io.StringIO())
    last = json.loads(stream.getvalue().splitlines()[-1])
    assert (last["event"], last["attempt_number"], last["repeated"]) == ("download.retry", BURST + 6, 7)


def test_the_count_is_written_when_the_process_ends() -> None:
    """Also where nobody takes the log down."""
    code = (
        "from logging_setup import get_logger; from logging_setup.config import configure\n"
        "configure('INFO', 'json'); log = get_logger('x')\n"
        f"for _ in range({BURST + 2}): log.warning('an.event')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert [json.loads(row).get("repeated") for row in done.stderr.splitlines()] == [None] * BURST + [2]
