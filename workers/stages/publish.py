"""Sends a verified export to its destination, and writes to its row how far that is.

Retry: none here. The client library of the destination retries requests; what it gives up on releases the unit, and the next run goes on.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from opentelemetry import trace

import errors
from app.db import datasets
from app.db.rows import Export
from app.exports import bucket, hub, outgoing, publish
from app.exports.destination import HubRepo, parse_remote
from app.exports.hub import HubAccess
from app.exports.outgoing import OutgoingFile, Sent
from app.job_states import UnitState
from app.storage import open_tree
from logging_setup import get_logger
from workers.unit import ClaimedUnit, JobContext

__all__ = ["Progress", "publish_export"]

log = get_logger(__name__)
tracer = trace.get_tracer(__name__)

PROGRESS_S = 1.0
"""Seconds between two writes of how far the sending is."""


class Interrupted(Exception):
    """The unit was asked to stop. What was sent stays."""


class Progress:
    """Counts what is at the destination, and writes it to the export's row once in `PROGRESS_S`.

    A figure that the database does not take is left out: the sending itself needs the database at its end only.
    """

    def __init__(
        self, unit: ClaimedUnit, row: Export, files: Mapping[str, OutgoingFile], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._unit, self._row, self._clock = unit, row, clock
        self._due_at = clock()
        self.sent_files = self.sent_bytes = 0
        self.delivery: dict[str, Any] = dict(row.delivery or {}) | {
            "files": 0,
            "size_bytes": 0,
            "all_files": len(files),
            "all_bytes": sum(file.size_bytes for file in files.values()),
        }

    async def __call__(self, sent: Sent) -> None:
        """Count some files.

        Raises:
            Interrupted: the unit was asked to stop.
            LeaseLost: another worker has the unit.
        """
        self._unit.require_lease()
        self.delivery["files"] += sent.files
        self.delivery["size_bytes"] += sent.size_bytes
        if sent.is_new:
            self.sent_files += sent.files
            self.sent_bytes += sent.size_bytes
        if (now := self._clock()) >= self._due_at:
            self._due_at = now + PROGRESS_S
            with suppress(errors.DatabaseConnectionError, errors.StorageError):
                async with self._unit.transaction() as connection:
                    await datasets.set_export(connection, self._row.id, delivery=dict(self.delivery))
                    await self._unit.record_progress(connection)
        if self._unit.stop.is_set():
            raise Interrupted


async def publish_export(ctx: JobContext, unit: ClaimedUnit) -> None:
    """Send the export; mark it delivered. Where the destination refuses, the unit ends with what to do about it."""
    row = await datasets.get_export(ctx.db, str(unit.row.payload["export_id"]))
    with log.contextualize(user_id=row.user_id, export_format=row.format, destination=row.destination):
        if row.state == "withdrawn":
            await unit.end_as(UnitState.DEAD, f"not delivered: {row.error}")
            return
        try:
            async with publish.open_folder(ctx.store, str(row.prefix)) as folder:
                files = await outgoing.list_files(folder)
                progress = Progress(unit, row, files)
                sizes = {"files": len(files), "size_bytes": progress.delivery["all_bytes"]}
                with tracer.start_as_current_span("export.deliver", attributes=sizes):
                    await _send(ctx, row, files, progress)
        except Interrupted:
            await unit.release()
            return
        except errors.StorageError as error:
            if error.retry_after_s is None:
                raise
            await _wait_for(unit, error, min(error.retry_after_s, ctx.settings.retry.retry_after_max_s))
            return
        except errors.PermanentError as error:
            await _give_up(unit, row, error)
            return
        async with unit.transaction() as connection:
            await datasets.mark_delivered(connection, row.id, progress.delivery)
            await unit.finish_in(connection)
        log.info("export.delivered", files=len(files), sent_files=progress.sent_files, sent_bytes=progress.sent_bytes)


async def _send(ctx: JobContext, row: Export, files: Mapping[str, OutgoingFile], progress: Progress) -> None:
    asked = row.delivery or {}
    overwrite = bool(asked.get("overwrite"))
    destination = parse_remote(str(row.destination))
    if isinstance(destination, HubRepo):
        private = bool(asked.get("private", True))
        token = ctx.settings.hub.token
        access = HubAccess(ctx.settings.hub.endpoint, token.reveal("hub.token") if token is not None else None)
        url = await hub.send_to_hub(destination, files, access, overwrite=overwrite, private=private, on_sent=progress)
        progress.delivery["url"] = url
    else:
        await bucket.send_to_bucket(open_tree(destination.url), files, overwrite=overwrite, on_sent=progress)


async def _wait_for(unit: ClaimedUnit, error: errors.StorageError, wait_s: float) -> None:
    """Release the unit for as long as the destination asks for."""
    log.warning("export.delivery_waits", error=str(error), wait_s=wait_s)
    await unit.release(delay_s=wait_s, error=str(error), waiting_for=f"{error}; it asks to wait for {wait_s:.0f} s")


async def _give_up(unit: ClaimedUnit, row: Export, error: errors.PermanentError) -> None:
    """End the unit with why the export is not at its destination, and how to go on; `pictrawl resume` revives it."""
    message = f"not delivered: {error}{_advice(error, str(row.destination))}; `pictrawl resume {unit.job.id}` then goes on"
    async with unit.transaction() as connection:
        await datasets.set_export(connection, row.id, error=message)
    await unit.end_as(UnitState.DEAD, message)
    log.error("export.not_delivered", error_type=type(error).__name__, error=str(error))


def _advice(error: errors.PermanentError, destination: str) -> str:
    """What the user can do about it, where the error does not say it."""
    if isinstance(error, errors.AuthenticationError):
        return f"; check the credentials that the worker has in {parse_remote(destination).credentials}, and what they allow"
    if isinstance(error, errors.NotFoundError):
        return "; create it"
    return ""
