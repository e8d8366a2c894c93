"""``pictrawl workers``: who works, and who has fallen silent. ``pictrawl worker`` runs one."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from app.cli.state import Cli

if TYPE_CHECKING:
    from app.db.rows import WorkerRow

__all__ = ["COMMANDS"]


def ls(cli: Cli) -> int:
    """List the workers and their last signs of life.

    One that ended in order is not there; one that was killed stays for an hour, as silent.
    """
    from app.cli.session import run

    return run(_ls(cli))


async def _ls(cli: Cli) -> int:
    from app.cli.documents import worker_document
    from app.cli.paging import show_page
    from app.cli.session import reading
    from app.cli.words import table
    from app.db import fleet
    from app.jobs.dispatch import BEAT_FRESH_S

    settings = cli.settings()
    async with reading(cli, settings) as db:
        now = await db.now()
        found = await fleet.workers(db)
    documents = [worker_document(worker, now=now, fresh_s=BEAT_FRESH_S) for worker in found]
    rows = [_row(worker, document["beat_age_s"], is_alive=document["is_alive"]) for worker, document in zip(found, documents, strict=True)]
    heads = ("id", "kind", "host", "pid", "version", "slots", "running", "lag", "seen", "status")
    show_page(cli, found, table(heads, rows, right=(3, 5, 6, 7)), documents=documents, cursor=None, what="workers")
    return 0


def _row(worker: "WorkerRow", age_s: float, *, is_alive: bool) -> tuple[object, ...]:
    from app.cli.words import clipped, duration

    lag = f"{1000 * worker.loop_lag_s:.0f} ms"
    status = "alive" if is_alive else "silent"
    host = clipped(worker.host, 24)
    return (worker.id, worker.kind, host, worker.pid, worker.version, worker.slots, worker.running, lag, f"{duration(age_s)} ago", status)


COMMANDS: dict[str, Callable[..., int]] = {"ls": ls}
