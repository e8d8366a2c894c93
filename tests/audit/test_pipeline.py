"""What the audit reads of a run."""

from app.audit.pipeline import records


def test_a_line_that_stands_for_several_counts_as_so_many() -> None:
    """Warnings that repeat are written as one line with their number; each of them was said."""
    log = '{"event": "download.retry"}\n{"event": "download.retry", "repeated": 3}\n{"event": "job.ended"}\n'
    assert [line["event"] for line in records(log)] == ["download.retry"] * 4 + ["job.ended"]
