"""The process that works on an embedded workspace, as a command sees it: is it this one, what does it decide, does it still live?"""

import functools
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from app.cli import exit_codes
from app.cli.failures import UsageError
from app.cli.options import Cli
from app.cli.session import workspace_of
from app.cli.setting_use import DECODERS
from app.db import fleet, outbox
from app.resources import Resources, product_version
from app.settings import Settings
from app.workspace import Holder, Workspace

__all__ = ["HolderWatch", "claim_workspace", "in_use", "is_silent", "open_workspace", "overruled", "process_settings", "say_who_works"]

PROCESS_SECTIONS = ("fetch", "retry", "jobs", "sources", "trace")
PROCESS_NAMES = DECODERS | {"log.level"}
"""Settings that decide how a process works. Every other one is in the job, or says where the data are."""

ASK_AGAIN_S = 2.0
"""Seconds after which a follower asks the holder for its job again: the holder may have begun to listen since, or be another one."""

SILENT_S = 15.0
"""Seconds without a heartbeat, of which a worker sends one every five, after which a holder is called silent."""


def open_workspace(settings: Settings, command: str, *, all_jobs: bool = False) -> Workspace | None:
    """The workspace of the embedded queue for a command that may work on it; ``None`` with a fleet.

    Args:
        all_jobs: work on every job, as a service does, and not only on those that are asked for while the command runs.
    """
    urls = f"{settings.database_url}\n{settings.storage_url}"
    me = Holder(
        os.getpid(),
        command,
        product_version(),
        None if all_jobs else frozenset(),
        hashlib.sha256(urls.encode()).hexdigest()[:16],
        process_settings(settings),
    )
    return workspace_of(settings, me)


async def claim_workspace(resources: Resources) -> None:
    """After the workspace was taken: end the leases that a killed process left in it."""
    await outbox.end_leases(resources.db, max_crashes=resources.settings.jobs.max_crashes)


def process_settings(settings: Settings) -> dict[str, Any]:
    """The settings by dotted name that decide how a process works and are not the default. None of them is a secret."""
    values, defaults = settings.model_dump(mode="json", by_alias=True), _defaults()
    return {name: value for name, value in _flat(values).items() if name in defaults and value != defaults[name]}


@functools.cache
def _defaults() -> Mapping[str, Any]:
    """The defaults of these settings."""
    sections = {field.alias or name: field.default for name, field in Settings.model_fields.items()}
    dumped = {name: section.model_dump(mode="json") for name, section in sections.items() if isinstance(section, BaseModel)}
    return {name: value for name, value in _flat(dumped).items() if name.partition(".")[0] in PROCESS_SECTIONS or name in PROCESS_NAMES}


def _flat(sections: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {f"{section}.{name}": value for section, fields in sections.items() for name, value in fields.items()}


def overruled(asked: Mapping[str, Any], holder: Mapping[str, Any]) -> list[str]:
    """What a command asked for and the holder does otherwise: ``fetch.per_host is 2 there, not 16``.

    Args:
        asked: values that the user chose, by dotted name.
        holder: the holder's values that are not the default.
    """
    found = []
    for name, value in asked.items():
        theirs = holder.get(name, _defaults()[name])
        if theirs != value:
            found.append(f"{name} is {json.dumps(theirs)} there, not {json.dumps(value)}")
    return found


def _asked(settings: Settings, given: Iterable[str]) -> dict[str, Any]:
    """What a command wants of the process that works: what was given to it, be it the default, and what is not the default."""
    values = _flat(settings.model_dump(mode="json", by_alias=True))
    return {name: values[name] for name in given if name in _defaults()} | process_settings(settings)


def say_who_works(cli: Cli, settings: Settings, me: Workspace, holder: Holder, given: Iterable[str]) -> None:
    """Say that another process does the work, and which settings of this command it decides.

    Args:
        given: the settings of the command line.

    Raises:
        UsageError: it works with other data.
    """
    if holder.database and holder.database != me.me.database:
        hint = "give this command the db.url and storage.url of that process, or name another folder with --workspace"
        raise UsageError(f"{_in_use(me, holder)}, which has another database or store", hint, code=exit_codes.ENVIRONMENT)
    cli.note(f"{holder} works on this workspace and does the work of this command too")
    others = overruled(_asked(settings, given), holder.settings)
    if others:
        hint = "set them where it is started; this command's own apply only once it has ended"
        cli.warn(f"the settings of {holder} apply: {'; '.join(others)}", hint)


def in_use(workspace: Workspace) -> UsageError:
    """The error of a command that can only work itself."""
    holder = workspace.find_holder() or Holder(0, "")
    hint = f"it does the work: wait for its end, stop it with `kill {holder.pid}`, or name another folder with --workspace"
    return UsageError(_in_use(workspace, holder), hint, code=exit_codes.ENVIRONMENT)


def _in_use(workspace: Workspace, holder: Holder) -> str:
    return f"the workspace {workspace.folder} is in use by {holder}"


class HolderWatch:
    """Watches the process that works on the workspace while this one follows a job, and takes its place once it has gone."""

    def __init__(self, cli: Cli, resources: Resources, job_id: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._cli = cli
        self._resources = resources
        self._job_id = job_id
        self._clock = clock
        self._asked_at = clock()
        self._seen: Holder | None = None
        self._seen_since = clock()
        self._is_called_silent = False

    async def has_gone(self) -> bool:
        """Whether the holder has gone and this process holds the workspace now. Else remind the holder of the job, now and then."""
        workspace = self._resources.workspace
        if workspace is None or workspace.is_held:
            return False
        if workspace.take():
            return True
        if self._clock() - self._asked_at >= ASK_AGAIN_S:
            self._asked_at = self._clock()
            workspace.request(self._job_id)
            await self._look_at(workspace.find_holder())
        return False

    async def _look_at(self, holder: Holder | None) -> None:
        """Say once of each holder that it is silent."""
        if holder is None:
            return
        if self._seen is None or self._seen.pid != holder.pid:
            self._seen, self._seen_since, self._is_called_silent = holder, self._clock(), False
        if self._is_called_silent:
            return
        db = self._resources.db
        now = await db.now()
        ages_s = [now - worker.beat_at for worker in await fleet.workers(db) if worker.pid == holder.pid]
        if is_silent(ages_s, watched_s=self._clock() - self._seen_since):
            self._is_called_silent = True
            hint = f"`kill -CONT {holder.pid}` lets it go on if it was stopped; once it has ended, this command does the work itself"
            self._cli.warn(f"{holder} holds the workspace and gives no sign of life", hint)


def is_silent(ages_s: Sequence[float], *, watched_s: float) -> bool:
    """Whether a process gives no sign of life.

    Args:
        ages_s: ages of the last heartbeats of its workers; empty before the first.
        watched_s: how long it has been watched.
    """
    return min(ages_s, default=watched_s) > SILENT_S
