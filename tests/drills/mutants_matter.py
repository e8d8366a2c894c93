"""Safeties against bad matter that can be taken away: hostile bytes, full and failing disks, greedy neighbours, half-known messages."""

import shutil
from contextlib import aclosing
from pathlib import Path
from typing import Any

from tests.drills.faults import _at
from tests.drills.mutants import _put, mutant


@mutant
def no_quarantine() -> None:
    """A unit whose workers died again and again runs among the others, again and again."""
    _put("workers.unit.ClaimedUnit.is_quarantined", property(lambda _: False))


@mutant
def condemns_unheard() -> None:
    """A unit that got into quarantine is to blame, without being run there."""
    from workers import quarantine

    async def run_isolated(_: Any) -> None:
        raise quarantine.IsolatedProcessDied("its workers died")

    _put("workers.quarantine.run_isolated", run_isolated)


@mutant
def no_alibi() -> None:
    """A lease that ran out is its unit's crash, whether its worker lives or not."""
    from sqlalchemy import false, true

    _put("app.db.takeover.owner_is_silent", lambda _: true())
    _put("app.db.takeover.owner_lives", lambda: false())


@mutant
def decoder_takes_the_unit_along() -> None:
    """A decoder that dies is an error of whoever asked it."""
    _crash_raises(RuntimeError)


@mutant
def bomb_takes_the_worker_along() -> None:
    """A decoder that is out of memory is the worker's being out of memory."""
    _crash_raises(MemoryError)


def _crash_raises(kind: type[Exception]) -> None:
    from app.images.pool import pool

    ask = pool.DecoderPool._run_in

    async def raising(self: Any, child: Any, request: Any) -> Any:
        async with aclosing(ask(self, child, request)) as groups:
            async for group in groups:
                if any(map(pool._is_crash, group)):
                    raise kind("the decoder crashed")
                yield group

    _put("app.images.pool.pool.DecoderPool._run_in", raising)


@mutant
def first_come() -> None:
    """Whoever asked first gets everything that is free."""
    from app.jobs.fairness import Turn

    def allocate_turns(demands: Any, _busy: Any, room: int, *, newcomers: int = 0) -> list[Any]:
        oldest = min(demands, key=lambda demand: demand.since, default=None)
        return [Turn(oldest.job_id, 0)] * max(room, 0) if oldest else []

    _put("app.jobs.dispatch.allocate_turns", allocate_turns)


@mutant
def never_gives_way() -> None:
    """A unit keeps its slot to its end, whoever waits."""

    def should_preempt(*_: Any) -> None:
        return None

    _put("workers.leases.should_preempt", should_preempt)


@mutant
def puts_in_place() -> None:
    """Bytes are written under their final name."""

    def write(path: str, body: bytes) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with Path(path).open("wb", buffering=0) as file:
            written = 0
            while written < len(body):
                written += file.write(body[written:])

    _put("app.storage.local_files.write_file", write)


@mutant
def storage_is_a_bug() -> None:
    """A fault of the store ends the unit for good."""
    from workers import job

    _put("workers.job._backoff", job._mark_dead)


@mutant
def publishes_file_by_file() -> None:
    """An export becomes visible piece by piece."""

    def publish(root: Path, folder: Path, prefix: str) -> None:
        files = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.name == "manifest.json")
        for number, path in enumerate(files):
            if number == 2:
                _at("before the rename")
            target = root / prefix / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)

    _put("app.storage.local_files.publish_tree", publish)


@mutant
def no_budget() -> None:
    """Every URL is retried, whatever the others' fate."""
    _put("downloader.retry.RetryBudget.spend", lambda *_: True)


@mutant
def blames_the_host() -> None:
    """A machine without descriptors is the network's fault."""
    _put("errors.classify._OUR_ERRNOS", frozenset())


@mutant
def ready_unverified() -> None:
    """An export counts as ready once it is written."""
    from app.db import datasets

    set_export = datasets.set_export

    async def at_once(connection: Any, export_id: str, **values: Any) -> None:
        state = values.pop("state", None)
        await set_export(connection, export_id, state="ready" if state == "written" else state, **values)

    _put("app.db.datasets.set_export", at_once)


@mutant
def chokes() -> None:
    """A message that cannot be read ends the process."""
    import os

    from workers import worker as worker_module

    def from_json(data: bytes) -> Any:
        try:
            return worker_module.from_json(data)
        except ValueError:
            os._exit(3)

    make = worker_module.make_worker

    def choking(*args: Any, **named: Any) -> Any:
        worker = make(*args, **named)
        worker.job_deserializer = from_json
        return worker

    _put("workers.worker_pool.make_worker", choking)


@mutant
def blames_every_unit() -> None:
    """Each death counts for every unit that the process held, whatever was in hand."""
    from app.db.takeover import Evidence

    _put("app.db.takeover.Evidence.after_death", lambda self, *_, **__: Evidence(self.crashes + 1))
