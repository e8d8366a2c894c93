"""What happened to the work on a chunk."""

import pytest

from app.db.rows import Event
from app.explain.happenings import NAMES, happening_line


def event(name: str, **data: object) -> Event:
    return Event(1, "job_1", 5.0, "WARNING", name, data)


@pytest.mark.parametrize("name", NAMES)
def test_every_event_has_words_whatever_it_lacks(name: str) -> None:
    """A line of an older version, or one that was cut: no KeyError, no forged line."""
    line = happening_line(event(name, image_id=7, how="\x1b[31m", error="a\nb", job="\x07"), 7)
    assert line is not None
    assert line.at == 5.0
    assert line.words.isprintable()


def test_a_retry_of_the_job_layer_is_told_with_its_cause() -> None:
    """Which of how many, and after what wait."""
    line = happening_line(event("job.retry", job="process_chunk", error_type="MemoryError", error="", retry=1, of=3, wait_s=60.0), 7)
    assert line is not None
    assert line.words == "process_chunk: a run failed, MemoryError: again after 1m00s, retry 1 of 3"


def test_poison_is_told_of_the_image_that_it_was() -> None:
    """Not of its neighbours in the chunk."""
    assert happening_line(event("image.poison", image_id=8), 7) is None
