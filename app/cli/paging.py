"""What every ``ls`` has in common: how many, from where, and how to go on. Pure."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import typer

from app.cli.failures import Refused
from app.cli.state import Cli

__all__ = ["Cursor", "Limit", "member", "show_page"]

T = TypeVar("T")

Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=200, metavar="N", help="At most so many.")]
Cursor = Annotated[str | None, typer.Option("--cursor", metavar="CURSOR", help="Go on where the last page ended.")]


def member(kind: Callable[[str], T], value: str | None, option: str) -> T | None:
    """A word of a closed list, ``None`` where it was not given.

    Raises:
        Refused: no such word.
    """
    if value is None:
        return None
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(item.value for item in kind)  # type: ignore[attr-defined]
        raise Refused(f"{option} {value!r} does not exist", f"there is {known}") from None


def show_page(cli: Cli, items: Sequence[Any], text: str, *, documents: list[dict[str, Any]], cursor: str | None, what: str) -> None:
    """Write one page: a table, a document with its next cursor, or ids alone."""
    brief = "\n".join(str(document["id"]) for document in documents)
    cli.result(text if items else "", {"items": documents, "next_cursor": cursor}, brief=brief)
    if cli.as_json:
        return
    if not items:
        cli.note(f"no {what}")
    if cursor:
        cli.note(f"more: add --cursor {cursor}")
