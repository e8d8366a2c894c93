from datetime import UTC, datetime

import pytest

from app.domain import ImageState
from app.job_states import JobState
from app.web.ui import templating


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://example.org/a?b=c", "https://example.org/a?b=c"),
        ("http://example.org", "http://example.org"),
        ("javascript:alert(1)", None),
        ("data:text/html,x", None),
        ("https:", None),
        ("http://[", None),
        ("/local", None),
        (None, None),
    ],
)
def test_only_web_addresses_become_links(url: str | None, shown: str | None) -> None:
    assert templating.web_link(url) == shown


def test_states_have_a_tone() -> None:
    """What is not known waits; every final state of a job is told apart from what goes on."""
    assert {state: templating.tone(state) for state in JobState if templating.tone(state) == "running"}.keys() == {
        JobState.RUNNING,
        JobState.PLANNING,
        JobState.FINALIZING,
    }
    assert templating.tone(ImageState.KEPT) == "kept"
    assert templating.tone(ImageState.DUPLICATE) == "duplicate"
    assert templating.tone("something new") == "waiting"


def test_times_are_shown_and_marked() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert templating.iso(moment) == "2026-01-02T03:04:05+00:00"
    assert datetime.fromisoformat(templating.iso(moment.timestamp())) == moment
    assert templating.iso(None) == ""
    assert templating.when(moment) == templating.when(moment.timestamp())
    assert templating.when(None) == "-"
    assert templating.ago(None) == "-"
    assert templating.ago(moment).endswith(" ago")


def test_parts_of_links_and_figures() -> None:
    assert templating.link("/a", b="c d", e=None, f=["1", "2"]) == "/a?b=c+d&f=1&f=2"
    assert templating.link("/a") == "/a"
    assert templating.percent(1, 8) == "12.5 %"
    assert templating.percent(1, 0) == "-"
