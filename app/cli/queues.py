"""``pictrawl queues``: what waits in each queue, and for how long."""

from collections.abc import Mapping
from typing import Any

import errors
from app.cli.options import Cli
from app.cli.output import table
from app.cli.runner import connect_queue
from app.cli.session import is_embedded, open_database, run
from app.cli.settings import load_settings
from app.db import fleet
from app.db.fleet import Backlog
from app.formatting import duration, number
from app.queue import QUEUES
from app.settings import Settings

__all__ = ["queues"]


def queues(cli: Cli) -> int:
    """Show what waits in each queue, and the slots of its workers.

    Messages are those in Redis, - where Redis is away or embedded in another process; everything else
    is read from the database. Finished units are not counted.
    """
    return run(_queues(cli))


async def _queues(cli: Cli) -> int:
    settings = load_settings(cli)
    async with open_database(cli, settings) as db:
        found = await fleet.backlogs(db, tuple(QUEUES), fresh_s=fleet.BEAT_FRESH_S)
    depths = await _depths(cli, settings)
    heads = ("queue", "messages", *fleet.STATES, "oldest due", "slots")
    rows = [_row(item, depths) for item in found]
    documents = [_document(item, depths) for item in found]
    brief = "\n".join(item.name for item in found)
    cli.result(table(heads, rows, right=range(1, len(heads))), {"items": documents, "next_cursor": None}, brief=brief)
    return 0


async def _depths(cli: Cli, settings: Settings) -> Mapping[str, int]:
    """Messages in each queue; empty where Redis does not answer."""
    if is_embedded(settings):
        return {}
    try:
        async with connect_queue(settings) as queue:
            return await queue.depths()
    except errors.QueueUnavailableError as error:
        cli.warn(str(error), "nothing is lost: work continues when it is back")
        return {}


def _row(item: Backlog, depths: Mapping[str, int]) -> tuple[object, ...]:
    messages = number(depths[item.name]) if item.name in depths else "-"
    oldest = "-" if item.oldest_due_s is None else duration(item.oldest_due_s)
    return (item.name, messages, *(number(value) for value in item.units.values()), oldest, number(item.slots))


def _document(item: Backlog, depths: Mapping[str, int]) -> dict[str, Any]:
    age_s = None if item.oldest_due_s is None else round(item.oldest_due_s, 3)
    return {"name": item.name, "depth": depths.get(item.name), "units": dict(item.units), "oldest_due_s": age_s, "slots": item.slots}
