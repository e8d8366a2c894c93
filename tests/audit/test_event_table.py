"""The reference of events: the catalogue joined with the code, written out and current."""

from pathlib import Path

from app.audit.event_table import event_rows
from app.audit.events import CATALOGUE, JOBS
from app.audit.sources import installed, parsed
from app.cli.reference import events_reference

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "events.md"
SOURCE = "log = get_logger('x')\nlog.debug('a.b', x=1)\nlog.error('a.b', y=1)\nlog.info('c.d')"


def test_every_event_of_the_catalogue_has_its_row() -> None:
    """With a level, a file and a sentence; the page that is committed is the one that is generated."""
    rows = event_rows(installed())
    assert [row.event for row in rows] == sorted(CATALOGUE)
    assert all(row.levels and row.files and row.says for row in rows)
    assert REFERENCE.read_text(encoding="utf-8") == events_reference()


def test_jobs_logs_shows_what_a_job_says_from_info_upwards() -> None:
    """Neither what is DEBUG alone nor what a process says of itself."""
    shown = {row.event for row in event_rows(installed()) if row.in_journal}
    assert {"chunk.fetched", "download.retry", "export.verified", "unit.dead"} <= shown <= set(JOBS)
    assert not shown & {"image.judged", "download.fetched", "worker.started", "http.request"}


def test_a_row_joins_all_calls_of_an_event() -> None:
    """Levels, fields and files of each; an event that nothing says has no row."""
    [row] = event_rows(parsed({"workers/x.py": SOURCE}), {"a.b": "both", "e.f": "never said"})
    assert (row.levels, row.fields, row.files, row.says) == (("DEBUG", "ERROR"), ("x", "y"), ("workers/x.py",), "both")
