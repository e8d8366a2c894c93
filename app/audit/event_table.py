"""The catalogue joined with what the code says: level, modules and fields of every event, as rows of the generated reference. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.audit import events
from app.audit.scan import LEVELS, log_calls
from app.audit.sources import Sources

__all__ = ["EventRow", "event_rows"]


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event.

    Attributes:
        levels: all that it may be said at, least severe first.
        in_journal: whether `pictrawl jobs logs` shows it.
    """

    event: str
    levels: tuple[str, ...]
    files: tuple[str, ...]
    fields: tuple[str, ...]
    says: str
    in_journal: bool


def event_rows(sources: Sources, catalogue: Mapping[str, str] = events.CATALOGUE) -> list[EventRow]:
    """A row for every event that is in the catalogue and in the code; the audit's rules see to it that those are the same."""
    said = log_calls(sources)
    rows = []
    for event in sorted(catalogue):
        mine = [call for call in said if call.event == event]
        levels = tuple(level for level in LEVELS if any(level in call.levels for call in mine))
        files = tuple(sorted({call.module.path for call in mine}))
        fields = tuple(sorted({field for call in mine for field in call.fields}))
        in_journal = event in events.JOBS and any(level != LEVELS[0] for level in levels)
        rows.append(EventRow(event, levels, files, fields, catalogue[event], in_journal))
    return [row for row in rows if row.files]
