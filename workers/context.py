"""What a job function is given: the resources, who runs it, and the unit it claimed."""

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from app.db import Database
from app.queue import ArqQueue
from app.resources import Resources, Workshop
from app.settings import Settings
from app.storage import Store

if TYPE_CHECKING:
    from workers.leases import Leases
    from workers.work import Work

__all__ = ["Context"]


@dataclass(slots=True)
class Context:
    """One worker's means; each run of a job gets its own copy.

    Attributes:
        run: 1 on the first delivery of a message, more on arq's repeats of it.
        draining: set when the worker is told to stop.
        work: the claimed unit, from the claim on.
    """

    resources: Resources
    workshop: Workshop
    leases: "Leases"
    worker_id: str
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    run: int = 1
    unit_id: str = ""
    work: "Work | None" = None

    @property
    def settings(self) -> Settings:
        """The settings tree."""
        return self.resources.settings

    @property
    def db(self) -> Database:
        """The database."""
        return self.resources.db

    @property
    def store(self) -> Store:
        """The object store."""
        return self.resources.store

    @property
    def queue(self) -> ArqQueue:
        """The queue."""
        return self.resources.queue

    def for_run(self, run: int, unit_id: str = "") -> "Context":
        """A copy for one run of one unit; crons have none."""
        return replace(self, run=run, unit_id=unit_id, work=None)
