"""What a command says beside its result is never in the way of it."""

import sys
from pathlib import Path

import pytest

from app.cli.aside import say


def test_words_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """As they are."""
    say("warning: ü\n")
    assert capsys.readouterr() == ("", "warning: ü\n")


@pytest.mark.parametrize("stream", ["full", "none"])
def test_a_broken_stderr_costs_the_words(monkeypatch: pytest.MonkeyPatch, stream: str) -> None:
    """Nothing is raised, and nothing waits in a buffer."""
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stderr", full if stream == "full" else None)
        say("x\n")
