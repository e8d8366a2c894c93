"""The page of a report: one HTML file that needs nothing else, and runs nothing but its own script for sorting tables."""

import base64
import functools
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup

from app import formatting
from app.db.request_figures import AttemptCount
from app.exports.sidecars import REPORT_MARK
from app.report import plots
from app.report.contact_sheets import ContactSheets, encode
from app.report.model import Distribution, Quartiles, Report

__all__ = ["MOST_BYTES", "POLICY", "render"]

MOST_BYTES: Final = 6_000_000
"""Of a report, whatever the dataset; its pictures get what its text leaves."""

LEAST_SHEET_BYTES: Final = 1_000_000
"""What the pictures get in any case."""

LABEL_ROWS: Final = 500
ROWS: Final = 200
"""Of the table of labels, and of any other."""

_SHEETS: Final = "<!-- sheets -->"
"""Where the sheets go, once the length of the text is known. Text of others is escaped, so it cannot hold this."""

_TEMPLATES: Final = Path(__file__).with_name("templates")


def _digest(name: str) -> str:
    """Name a style or a script as a Content-Security-Policy does (CSP 3, 2.3.1); the page includes it without its last line end."""
    text = (_TEMPLATES / name).read_bytes().removesuffix(b"\n")
    return f"'sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}'"


POLICY: Final = (
    f"default-src 'none'; img-src data:; style-src {_digest('report.css')}; script-src {_digest('report.js')}; "
    "base-uri 'none'; form-action 'none'"
)
"""The Content-Security-Policy of the page: nothing is loaded, and no script runs but ours."""

_PARTS: Final = {
    "pictures": "Pictures",
    "funnel": "Funnel",
    "reasons": "Reasons",
    "duplicates": "Duplicates",
    "distributions": "Distributions",
    "labels": "Labels and splits",
    "licences": "Licences",
    "sources": "Sources",
    "hosts": "Hosts",
    "retries": "Retries",
}


@dataclass(slots=True)
class AttemptRow:
    """Requests that were the n-th for their URL."""

    number: int
    requests: int = 0
    came: int = 0
    failures: Counter[str] = field(default_factory=Counter)


def render(report: Report, sheets: ContactSheets) -> bytes:
    """Return the page, of at most :data:`MOST_BYTES`."""
    attempts = _attempt_rows(report.attempts)
    present = {
        "pictures": True,
        "funnel": report.funnel,
        "reasons": report.left_out,
        "duplicates": report.grouped,
        "distributions": report.distributions,
        "labels": report.labels,
        "licences": report.licences,
        "sources": report.sources,
        "hosts": report.hosts,
        "retries": attempts,
    }
    text = _template().render(
        report=report,
        sheets=sheets,
        tiles=sheets.tiles,
        shown=sum(sheet.shown for sheet in report.sheets),
        parts=[(part, title) for part, title in _PARTS.items() if present[part]],
        splits=_splits(report),
        states=list(dict.fromkeys(state for found in report.sources.values() for state in found)),
        attempts=attempts,
        most_labels=LABEL_ROWS,
        most_rows=ROWS,
    )
    room = max(LEAST_SHEET_BYTES, MOST_BYTES - len(text.encode())) * 3 // 4 - 1_000 * len(sheets.sheets)
    images = [_sheet(at, body, sheet.size) for at, (body, sheet) in enumerate(zip(encode(sheets.sheets, room), sheets.sheets, strict=True))]
    return REPORT_MARK + text.replace(_SHEETS, "\n".join(images)).encode()


def _sheet(number: int, body: bytes, size: tuple[int, int]) -> str:
    data = base64.b64encode(body).decode()
    return f'<image id="sheet-{number}" width="{size[0]}" height="{size[1]}" href="data:image/jpeg;base64,{data}"/>'


def _splits(report: Report) -> list[str | None]:
    """The splits of the dataset, the largest first; none where there is only one."""
    totals: Counter[str | None] = Counter()
    for row in report.labels:
        totals.update(row.splits)
    return [split for split, _ in totals.most_common()] if len(totals) > 1 else []


def _attempt_rows(counts: Sequence[AttemptCount]) -> list[AttemptRow]:
    rows: dict[int, AttemptRow] = {}
    for one in counts:
        row = rows.setdefault(one.number, AttemptRow(one.number))
        row.requests += one.requests
        if one.outcome == "ok":
            row.came += one.requests
        else:
            row.failures[one.outcome] += one.requests
    return list(rows.values())


def _measured(value: float, of: Distribution) -> str:
    """A value with its unit, as precise as it is read."""
    if of.unit == "B":
        return formatting.size(value)
    words = formatting.number(value) if value >= 100 else f"{value:.3g}"
    return f"{words} {of.unit}" if of.unit else words


def _histogram(found: Distribution) -> Markup:
    ends = (_measured(value, found) for value in (found.least, found.quartiles.median, found.most))
    return plots.histogram(found, "{}: from {}, median {}, to {}".format(found.name, *ends))


def _strip(found: Quartiles, whole: Distribution) -> Markup:
    ends = [_measured(value, whole) for value in (found.lower, found.upper)]
    return plots.strip(found, whole, f"the middle half from {ends[0]} to {ends[1]}")


def _shown_of(noun: str, shown: int, total: int) -> str:
    """``showing 60 of 1 204``; ``60 images`` where all are shown."""
    return f"showing {formatting.number(shown)} of {formatting.number(total)}" if shown < total else formatting.count(total, noun)


def _shown_short(shown: int, total: int) -> str:
    return f"{formatting.number(shown)} of {formatting.number(total)}" if shown < total else formatting.number(total)


def _share(value: int, whole: int) -> str:
    return f"{100 * value / whole:.1f} %" if whole else "-"


def _listing(counts: Mapping[str, int]) -> str:
    return formatting.listing(dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))), most=8)


@functools.cache
def _template() -> jinja2.Template:
    loader = jinja2.FileSystemLoader(_TEMPLATES)
    environment = jinja2.Environment(autoescape=True, loader=loader, undefined=jinja2.StrictUndefined, auto_reload=False)
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.filters |= _FILTERS
    environment.globals |= {"policy": POLICY}
    return environment.get_template("report.html")


_FILTERS: Final[dict[str, Any]] = {
    "bar": plots.bar,
    "clipped": formatting.clipped,
    "count": formatting.count,
    "duration": formatting.duration,
    "histogram": _histogram,
    "listing": _listing,
    "measured": _measured,
    "number": formatting.number,
    "share": _share,
    "shown_groups": functools.partial(_shown_of, "group"),
    "shown_hosts": functools.partial(_shown_of, "host"),
    "shown_of": functools.partial(_shown_of, "image"),
    "shown_short": _shown_short,
    "strip": _strip,
}
