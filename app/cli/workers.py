"""``pictrawl workers``: the workers and their heartbeats. ``pictrawl worker`` runs one."""

from app.cli.documents import worker_document
from app.cli.options import Cli
from app.cli.output import show_page, table
from app.cli.session import FRESH_S, open_database, run
from app.cli.settings import load_settings
from app.db import fleet
from app.db.rows import WorkerRow
from app.formatting import clipped, duration

__all__ = ["ls"]


def ls(cli: Cli) -> int:
    """List the workers and when each was last seen.

    One that ended in order is not listed; one that was killed stays for an hour, as silent.
    """
    return run(_ls(cli))


async def _ls(cli: Cli) -> int:
    async with open_database(cli, load_settings(cli)) as db:
        now = await db.now()
        found = await fleet.workers(db)
    documents = [worker_document(worker, now=now, fresh_s=FRESH_S) for worker in found]
    rows = [_row(worker, document["beat_age_s"], is_alive=document["is_alive"]) for worker, document in zip(found, documents, strict=True)]
    heads = ("id", "kind", "host", "pid", "version", "slots", "running", "lag", "seen", "status")
    show_page(cli, found, table(heads, rows, right=(3, 5, 6, 7)), documents=documents, cursor=None, what="workers")
    return 0


def _row(worker: WorkerRow, age_s: float, *, is_alive: bool) -> tuple[object, ...]:
    lag = f"{1000 * worker.loop_lag_s:.0f} ms"
    status = "alive" if is_alive else "silent"
    host = clipped(worker.host, 24)
    return (worker.id, worker.kind, host, worker.pid, worker.version, worker.slots, worker.running, lag, f"{duration(age_s)} ago", status)
