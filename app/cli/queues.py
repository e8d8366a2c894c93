"""``pictrawl queues``: what waits, where, and for how long."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from app.cli.state import Cli

if TYPE_CHECKING:
    from app.db.backlog import Backlog
    from app.settings import Settings

__all__ = ["queues"]


def queues(cli: Cli) -> int:
    """Show what waits in each queue, and who is there for it.

    Messages are what Redis holds, - where it is away or inside another process; the rest is what
    the database knows. Finished units are not counted.
    """
    from app.cli.session import run

    return run(_queues(cli))


async def _queues(cli: Cli) -> int:
    from app.cli.session import reading
    from app.cli.words import table
    from app.db import backlog
    from app.jobs.dispatch import BEAT_FRESH_S
    from app.queue import QUEUES

    settings = cli.settings()
    async with reading(cli, settings) as db:
        found = await backlog.backlogs(db, tuple(QUEUES), fresh_s=BEAT_FRESH_S)
    depths = await _depths(cli, settings)
    heads = ("queue", "messages", *backlog.STATES, "oldest due", "slots")
    rows = [_row(item, depths) for item in found]
    documents = [_document(item, depths) for item in found]
    brief = "\n".join(item.name for item in found)
    cli.result(table(heads, rows, right=range(1, len(heads))), {"items": documents, "next_cursor": None}, brief=brief)
    return 0


async def _depths(cli: Cli, settings: "Settings") -> Mapping[str, int]:
    """Messages on each queue, as far as Redis tells."""
    import errors
    from app.cli.locking import is_embedded
    from app.cli.session import asked_once

    if is_embedded(settings):
        return {}
    try:
        async with asked_once(settings) as queue:
            return await queue.depths()
    except errors.QueueUnavailableError as error:
        cli.warn(str(error), "nothing is lost: work goes on when it is back")
        return {}


def _row(item: "Backlog", depths: Mapping[str, int]) -> tuple[object, ...]:
    from app.cli.words import duration, number

    messages = number(depths[item.name]) if item.name in depths else "-"
    oldest = "-" if item.oldest_due_s is None else duration(item.oldest_due_s)
    return (item.name, messages, *(number(value) for value in item.units.values()), oldest, number(item.slots))


def _document(item: "Backlog", depths: Mapping[str, int]) -> dict[str, Any]:
    age_s = None if item.oldest_due_s is None else round(item.oldest_due_s, 3)
    return {"name": item.name, "depth": depths.get(item.name), "units": dict(item.units), "oldest_due_s": age_s, "slots": item.slots}
