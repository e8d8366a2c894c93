"""``pictrawl sources``: what can be searched, and what each asks of whoever searches."""

from collections.abc import Callable
from dataclasses import asdict

from app.cli.state import Cli

__all__ = ["COMMANDS"]


def ls(cli: Cli) -> int:
    """List the sources and what they ask of you."""
    from app.cli.words import count, table
    from app.discovery import SOURCES

    settings = cli.settings()
    documents, rows = [], []
    for source in SOURCES.values():
        is_ready = bool(settings.fetch.contact.strip()) or not source.needs_contact
        documents.append(asdict(source) | {"id": source.name, "ready": is_ready})
        depth = count(source.depth, "result") if source.depth else "no limit"
        rows.append((source.name, source.title, "yes" if is_ready else "set fetch.contact", depth, source.terms_url))
    text = table(("name", "title", "ready", "depth", "terms"), rows)
    cli.result(text, {"items": documents, "next_cursor": None}, brief="\n".join(SOURCES))
    return 0


COMMANDS: dict[str, Callable[..., int]] = {"ls": ls}
