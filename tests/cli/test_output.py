"""stdout and stderr of a command."""

import json
import sys
from pathlib import Path

import pytest

from app.cli.output import table, to_json, write_stderr


def test_words_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """As they are."""
    write_stderr("warning: ü\n")
    assert capsys.readouterr() == ("", "warning: ü\n")


@pytest.mark.parametrize("stream", ["full", "none"])
def test_a_broken_stderr_costs_the_words(monkeypatch: pytest.MonkeyPatch, stream: str) -> None:
    """Nothing is raised, and nothing waits in a buffer."""
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stderr", full if stream == "full" else None)
        write_stderr("x\n")


def test_table_aligns_columns() -> None:
    """Names to the left, numbers to the right, nothing behind the last column."""
    assert table(("id", "n"), [("a", 5), ("bcd", 12)], right=(1,)) == "id    n\na     5\nbcd  12"


def test_times_of_documents_are_rfc_3339() -> None:
    """At any depth, by the names that times have; other numbers stay."""
    document = {"created_at": 0, "finished_at": None, "is_at": True, "sizes": (1, {"at": 1.5, "not_before": 1_700_000_000, "format": 2})}
    assert json.loads(to_json(document)) == {
        "created_at": "1970-01-01T00:00:00.000Z",
        "finished_at": None,
        "is_at": True,
        "sizes": [1, {"at": "1970-01-01T00:00:01.500Z", "not_before": "2023-11-14T22:13:20.000Z", "format": 2}],
    }
