"""``pictrawl workers``: the workers and their heartbeats. ``pictrawl worker`` runs one."""

from app.cli.documents import worker_document
from app.cli.listing import Listing, show_items
from app.cli.options import Cli
from app.cli.session import open_database, run
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

    def row(worker: WorkerRow) -> tuple[object, ...]:
        age_s = max(0.0, now - worker.beat_at)
        seen = (f"{1000 * worker.loop_lag_s:.0f} ms", f"{duration(age_s)} ago", "alive" if age_s < fleet.BEAT_FRESH_S else "silent")
        return (worker.id, worker.kind, clipped(worker.host, 24), worker.pid, worker.version, worker.slots, worker.running, *seen)

    heads = ("id", "kind", "host", "pid", "version", "slots", "running", "lag", "seen", "status")
    listing = Listing("workers", heads, row, lambda worker: worker_document(worker, now=now), right=(3, 5, 6, 7))
    await show_items(cli, listing, found)
    return 0
