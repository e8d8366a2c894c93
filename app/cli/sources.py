"""``pictrawl sources``: what can be searched, and what each source requires."""

from dataclasses import asdict

from app.cli.options import Cli
from app.cli.output import table
from app.cli.settings import load_settings
from app.discovery import SOURCES
from app.formatting import count

__all__ = ["ls"]


def ls(cli: Cli) -> int:
    """List the sources and what they require."""
    settings = load_settings(cli)
    documents, rows = [], []
    for source in SOURCES.values():
        is_ready = bool(settings.fetch.contact.strip()) or not source.needs_contact
        documents.append(asdict(source) | {"id": source.name, "needs_key": source.needs_key, "ready": is_ready})
        depth = count(source.depth, "result") if source.depth else "no limit"
        rows.append((source.name, source.title, "yes" if is_ready else "needs --contact", depth, source.terms_url))
    text = table(("name", "title", "ready", "depth", "terms"), rows)
    cli.result(text, {"items": documents, "next_cursor": None}, brief="\n".join(SOURCES))
    return 0
