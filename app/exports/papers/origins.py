"""``ORIGINS.md`` and ``origins.json``: where the images come from, as section 2.3 of the EU's template for the public summary of training
content asks (C(2025) 8311): the crawler and its behaviour, the period, and the domains with the most content.

``origins.json`` counts every domain; the document shows the tenth of them with the most bytes.
"""

import json
import math
from dataclasses import asdict
from typing import Any, Final

from app.exports.cards import escape_cell
from app.exports.exporter import ExportOptions
from app.exports.papers import queries, statements
from app.exports.papers.footnotes import Footnotes
from app.exports.papers.statements import Statement
from app.exports.spool import DatasetFacts
from app.formatting import count

__all__ = ["ORIGINS", "ORIGINS_JSON", "SCHEMA_VERSION", "render", "render_json", "shown_domains"]

ORIGINS: Final = "ORIGINS.md"
ORIGINS_JSON: Final = "origins.json"
SCHEMA_VERSION: Final = 1
"""Of ``origins.json``."""

SHARE: Final = 0.1
"""Of the domains that the template wants named."""

AT_LEAST: Final = 20
"""Domains that are shown however few there are."""

NO_DOMAIN: Final = "(files of a folder)"

Domain = tuple[str, int, int]
"""A host, its images and their bytes."""


def domains(facts: DatasetFacts) -> list[Domain]:
    """All domains, those with the most bytes first. A domain is the host of an image's URL."""
    found = [(host or NO_DOMAIN, images, size_bytes) for host, (images, size_bytes) in facts.hosts.items()]
    return sorted(found, key=lambda domain: (-domain[2], -domain[1], domain[0]))


def shown_domains(total: int) -> int:
    """How many of so many domains are shown."""
    return min(total, max(AT_LEAST, math.ceil(SHARE * total)))


def render(facts: DatasetFacts, options: ExportOptions) -> str:
    """Return the summary as Markdown."""
    notes, known = Footnotes(options.dataset_id), options.provenance
    sections = [
        ("Content", statements.contents(facts)),
        ("Sources", [*statements.sources(facts, known), *statements.asked_for(known)]),
        ("Period of collection", statements.period(known)),
        ("Crawler", statements.crawler(known)),
        ("Licences", statements.licences(facts, known)),
        ("What was left out", [*statements.dropped(known), *statements.selection(options)]),
    ]
    return "\n".join(
        [
            f"# Origins of {escape_cell(options.dataset_name)}, version {options.version}\n",
            *(f"## {title}\n\n{notes.items(found)}" for title, found in sections),
            _domain_section(facts, notes),
            notes.definitions(),
        ]
    )


def _domain_section(facts: DatasetFacts, notes: Footnotes) -> str:
    found = domains(facts)
    shown = found[: shown_domains(len(found))]
    which = "all of them" if len(shown) == len(found) else f"the {len(shown):,} with the most bytes; {ORIGINS_JSON} has all of them"
    said = notes.cite(Statement(f"Images came from {count(len(found), 'domain')}, by the hosts of their URLs: {which}.", queries.HOSTS))
    rows = [f"| {escape_cell(name)} | {images:,} | {size_bytes:,} |" for name, images, size_bytes in shown]
    return "\n".join(["## Domains\n", f"{said}\n", "| Domain | Images | Bytes |", "| --- | ---: | ---: |", *rows, ""])


def render_json(facts: DatasetFacts, options: ExportOptions) -> bytes:
    """Return the figures behind the summary as JSON."""
    known = options.provenance
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "dataset": {"id": options.dataset_id, "name": options.dataset_name, "version": options.version},
        "images": facts.samples,
        "bytes": facts.image_bytes,
        "collected_from": None if known is None or known.collected_from is None else statements.timestamp(known.collected_from),
        "collected_until": None if known is None or known.collected_until is None else statements.timestamp(known.collected_until),
        "crawler": None if known is None else asdict(known.crawler),
        "sources": [] if known is None else [asdict(source) for source in known.sources],
        "licenses": dict(facts.licenses),
        "funnel": {} if known is None else dict(known.funnel),
        "reasons": {} if known is None else dict(known.reasons),
        "domains": [{"domain": name, "images": images, "bytes": size_bytes} for name, images, size_bytes in domains(facts)],
    }
    return json.dumps(document, indent=2, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
