"""Safeties of the product that can be taken away, by name, in the process that runs this and nowhere else.

A drill that still passes with its mutant proves nothing. Here alone our own code is patched; :mod:`tests.drills.worker` does it in the
fork, before the entry point runs.
"""

import os
import pkgutil
import signal
from collections.abc import Callable
from functools import partialmethod
from typing import Any

__all__ = ["HASTE", "MUTANTS", "hasten", "locate", "mutant"]

HASTE: dict[str, float] = {
    "app.jobs.dispatch.UNSENT_AFTER_S": 2.0,
    "app.queue.ANSWER_S": 2.0,
    "workers.job.OWN_FAULT_DELAY_S": 2.0,
    "workers.worker_pool.HEARTBEAT_S": 1.0,
}
"""Times that are no settings, as short as the drills' settings: seconds by dotted name."""

MUTANTS: dict[str, Callable[[], None]] = {}
"""Every mutant by its name."""


def mutant(function: Callable[[], None]) -> Callable[[], None]:
    """Register a function that takes one safety away."""
    MUTANTS[function.__name__] = function
    return function


def hasten() -> None:
    """Shorten the times that no setting shortens."""
    for name, seconds in HASTE.items():
        _put(name, seconds)


def locate(name: str) -> tuple[Any, str]:
    """The owner and the attribute of ``package.module.Class.attribute``.

    Raises:
        AttributeError: the product has no such name.
    """
    owner, _, attribute = name.rpartition(".")
    place = pkgutil.resolve_name(owner)
    if not hasattr(place, attribute):
        raise AttributeError(f"{name} does not exist")
    return place, attribute


def _put(name: str, value: Any) -> None:
    """Replace ``package.module.Class.attribute``, which must exist."""
    place, attribute = locate(name)
    setattr(place, attribute, value)


async def _nothing(*_: Any, **__: Any) -> None: ...


def _no(*_: Any, **__: Any) -> None: ...


@mutant
def no_sweeper() -> None:
    """Nothing is brought back and nothing topped up."""
    from app.db import outbox

    async def sweep_once(_ctx: Any) -> Any:
        return outbox.Swept()

    _put("workers.sweeper.sweep_once", sweep_once)


@mutant
def no_takeover() -> None:
    """What a dead worker held stays the dead worker's: neither the sweeper nor a redelivered claim takes it."""
    from sqlalchemy import select

    from app.db import outbox, tables, units

    claim = units.claim

    async def return_expired(*_: Any, **__: Any) -> Any:
        return outbox.Returned()

    async def claim_waiting(db: Any, unit_id: str, **how: Any) -> Any:
        async with db.read() as connection:
            row = (await connection.execute(select(tables.units.c.state).where(tables.units.c.id == unit_id))).first()
        return None if row is None or row.state == "running" else await claim(db, unit_id, **how)

    _put("app.db.outbox.return_expired", return_expired)
    _put("app.db.units.claim", claim_waiting)


@mutant
def blind() -> None:
    """The worker does not know when its lease has run out, nor that it lost it: only the database's fence is left."""
    _put("workers.unit.ClaimedUnit.require_lease", _no)
    _put("workers.leases.Leases._drop_overdue", _no)
    _put("workers.leases.Leases._renew", _nothing)


@mutant
def no_fence() -> None:
    """Blind, and the database believes whoever writes."""
    from sqlalchemy import bindparam, update

    from app.db import tables
    from app.db.engine import db_now

    def finish() -> Any:
        given = {"state": bindparam("new_state"), "error": bindparam("new_error"), "finished_at": db_now()}
        return update(tables.units).where(tables.units.c.id == bindparam("wanted")).values(**given, lease_until=None, owner=None)

    blind()
    _put("app.db.units.fence", _nothing)
    _put("app.db.units._finish", finish)
    _put("app.db.units._ours", lambda unit: (tables.units.c.id == unit.id,))


@mutant
def dies_before_it_sends() -> None:
    """The process is killed between the commit of a job and the message that would wake a worker."""

    async def wake(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    _put("app.jobs.submit.wake", wake)


@mutant
def no_resend() -> None:
    """What the queue lost is never sent again."""

    async def resend_lost(_resources: Any) -> int:
        return 0

    _put("workers.sweeper.resend_lost", resend_lost)


@mutant
def leaves_at_once() -> None:
    """SIGTERM ends the worker on the spot, with 0."""

    async def stop(_crew: Any) -> None:
        os._exit(0)

    _put("workers.worker_pool.WorkerPool.stop", stop)


@mutant
def forgets_keys() -> None:
    """An Idempotency-Key means nothing."""
    _put("app.db.api_keys.recall_idempotent", _nothing)
    _put("app.db.api_keys.note_idempotent", _nothing)


@mutant
def stock_poll() -> None:
    """arq's own poll loop in place of the one that survives Redis, and nobody who begins it again."""
    from arq.worker import Worker

    async def once(_name: str, loop: Any) -> None:
        await loop()

    _put("workers.worker.LeasedWorker.main", Worker.main)
    _put("workers.worker_pool.supervise", once)


@mutant
def runs_beside_itself() -> None:
    """A worker starts whatever message Redis takes for nobody's, its own included."""
    from arq.worker import Worker

    _put("workers.worker.LeasedWorker.start_jobs", Worker.start_jobs)


@mutant
def patient() -> None:
    """Redis may take as long as it likes to answer."""
    from app import queue
    from downloader.limiter.redis_store import RedisHostStateStore

    translate_redis_errors = queue.translate_redis_errors

    def for_ever(_within_s: float | None = None) -> Any:
        return translate_redis_errors(None)

    _put("app.queue.ANSWER_S", 3600.0)
    _put("app.queue.translate_redis_errors", for_ever)
    _put("downloader.limiter.redis_store.RedisHostStateStore.__init__", partialmethod(RedisHostStateStore.__init__, reply_timeout_s=None))


@mutant
def claims_anything() -> None:
    """A claim takes a unit whatever its state."""
    from dataclasses import replace

    from sqlalchemy import update

    from app.db import tables
    from app.db.engine import db_now
    from app.db.jobs import find
    from app.db.rows import as_unit

    async def claim(db: Any, unit_id: str, *, owner: str, lease_s: float, **_: Any) -> Any:
        columns = tables.units.c
        taken = {"state": "running", "epoch": columns.epoch + 1, "owner": owner, "lease_until": db_now() + lease_s}
        async with db.write() as connection:
            statement = update(tables.units).where(columns.id == unit_id).values(**taken).returning(*columns)
            row = (await connection.execute(statement)).first()
            return replace(as_unit(row), job=await find(connection, row.job_id)) if row else None

    _put("app.db.units.claim", claim)


@mutant
def storm_of_sweeps() -> None:
    """No safety less, but one more sweeper in each worker that tries all the time, and a line for each sweep that begins."""
    import asyncio
    import time

    from app.db import outbox
    from logging_setup import get_logger
    from workers import sweeper, worker_pool

    log = get_logger("drill")
    return_expired = outbox.return_expired
    start = worker_pool.WorkerPool.start

    async def told(*args: Any, **named: Any) -> Any:
        log.info("drill.sweep", at=time.time(), pid=os.getpid())
        return await return_expired(*args, **named)

    async def sweep_on(context: Any) -> None:
        while True:
            await sweeper.sweep_once(context)
            await asyncio.sleep(0.05)

    async def start_all(pool: Any) -> None:
        await start(pool)
        pool._loops.append(asyncio.create_task(sweep_on(pool.context), name="storm"))

    _put("app.db.outbox.return_expired", told)
    _put("workers.worker_pool.WorkerPool.start", start_all)


@mutant
def no_lock() -> None:
    """Everybody may sweep at once."""

    async def take_lock(*_: Any, **__: Any) -> bool:
        return True

    _put("app.db.fleet.take_lock", take_lock)


@mutant
def deaf() -> None:
    """The worker does not look at what is wanted of its jobs."""
    _put("workers.leases.Leases._check_jobs", _nothing)


@mutant
def forgets_outcomes() -> None:
    """Outcomes are written on the first try or never, and a database that is away often is at the wrong moment."""
    import random

    import errors
    from workers.stages.outcomes import OutcomeRecorder

    flush = OutcomeRecorder.flush

    async def flush_once(recorder: Any) -> None:
        try:
            if random.random() < 0.5:
                raise errors.DatabaseConnectionError("a drill")
            await flush(recorder)
        except errors.DatabaseConnectionError:
            recorder._finished, recorder._changes = [], []

    _put("workers.stages.outcomes.OutcomeRecorder.flush", flush_once)


@mutant
def deletes_anything() -> None:
    """A dataset is deleted while jobs work on it."""
    from sqlalchemy import delete

    from app.db import tables

    async def delete_dataset(db: Any, dataset_id: str) -> None:
        async with db.write() as connection:
            await connection.execute(delete(tables.datasets).where(tables.datasets.c.id == dataset_id))

    _put("app.db.datasets.delete_dataset", delete_dataset)
