"""Safeties of the product that can be taken away, by name, in the process that runs this and nowhere else.

A drill that still passes with its mutant proves nothing. Here alone our own code is patched; :mod:`tests.drills.worker` does it in the
fork, before the entry point runs.
"""

import importlib
import os
import signal
from collections.abc import Callable
from typing import Any

__all__ = ["HASTE", "MUTANTS", "hasten", "mutant"]

HASTE: dict[str, float] = {
    "app.dispatch.UNSENT_AFTER_S": 2.0,
    "app.queue.ANSWER_S": 2.0,
    "workers.job.OWN_FAULT_DELAY_S": 2.0,
    "workers.runtime.BEAT_S": 1.0,
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
        module, _, constant = name.rpartition(".")
        assert hasattr(importlib.import_module(module), constant), name
        setattr(importlib.import_module(module), constant, seconds)


def _put(name: str, value: Any) -> None:
    """Replace ``package.module.Class.attribute``, which must exist."""
    owner, _, attribute = name.rpartition(".")
    try:
        place: Any = importlib.import_module(owner)
    except ModuleNotFoundError:
        module, _, kind = owner.rpartition(".")
        place = getattr(importlib.import_module(module), kind)
    assert hasattr(place, attribute), name
    setattr(place, attribute, value)


async def _nothing(*_: Any, **__: Any) -> None: ...


def _no(*_: Any, **__: Any) -> None: ...


@mutant
def no_sweeper() -> None:
    """Nothing is brought back and nothing topped up."""
    from app.db import sweeping

    async def sweep_once(_ctx: Any) -> Any:
        return sweeping.Swept()

    _put("workers.sweeper.sweep_once", sweep_once)


@mutant
def no_takeover() -> None:
    """What a dead worker held stays the dead worker's: neither the sweeper nor a redelivered claim takes it."""
    from sqlalchemy import select

    from app.db import sweeping, tables, units

    claim = units.claim

    async def return_expired(*_: Any, **__: Any) -> Any:
        return sweeping.Returned()

    async def claim_waiting(db: Any, unit_id: str, **how: Any) -> Any:
        async with db.read() as connection:
            row = (await connection.execute(select(tables.units.c.state).where(tables.units.c.id == unit_id))).first()
        return None if row is None or row.state == "running" else await claim(db, unit_id, **how)

    _put("app.db.sweeping.return_expired", return_expired)
    _put("app.db.units.claim", claim_waiting)


@mutant
def blind() -> None:
    """The worker does not know when its lease has run out, nor that it lost it: only the database's fence is left."""
    _put("workers.work.Work.require_lease", _no)
    _put("workers.leases.Leases._drop_overdue", _no)
    _put("workers.leases.Leases._renew", _nothing)


@mutant
def no_fence() -> None:
    """Blind, and the database believes whoever writes."""
    from app.db import tables

    blind()
    _put("app.db.units.fence", _nothing)
    _put("app.db.units._ours", lambda unit: (tables.units.c.id == unit.id,))


@mutant
def dies_before_it_sends() -> None:
    """The process is killed between the commit of a job and the message that would wake a worker."""

    async def wake(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    _put("app.submit.wake", wake)


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

    _put("workers.runtime.Crew.stop", stop)


@mutant
def forgets_keys() -> None:
    """An Idempotency-Key means nothing."""
    _put("app.db.fleet.remember", _nothing)
    _put("app.db.fleet.note", _nothing)


@mutant
def stock_poll() -> None:
    """arq's own poll loop in place of the one that survives Redis."""
    from arq.worker import Worker

    _put("workers.polling.LeasedWorker.main", Worker.main)


@mutant
def patient() -> None:
    """Redis may take as long as it likes to answer."""
    from app import queue

    translated = queue.translated

    def for_ever(_within_s: float | None = None) -> Any:
        return translated(None)

    _put("app.queue.translated", for_ever)
    _put("app.shared_hosts.translated", for_ever)
