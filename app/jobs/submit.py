"""Submission: check a request, write its job, commit, then wake the workers. Used by the command line and the API.

The committed row is the outbox: if Redis is unavailable, the sweeper sends the job later.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import SpanKind

import errors
from app.db import api_keys, crawl_pages, datasets, images, jobs, lifecycle, new_id
from app.db.exceptions import StateConflict
from app.db.rows import Export, NewUnit
from app.domain import Reason
from app.export_spec import ExportRequest
from app.exports.destination import Delivery, columns_of
from app.job_states import WORKED_ON, CheckKind, DesiredState, JobKind, UnitKind
from app.jobs import control
from app.jobs.dispatch import dispatch
from app.jobs.settle import settle_export
from app.observability import tracing
from app.resources import Resources
from app.spec import JobSpec
from logging_setup import get_logger

__all__ = [
    "RETRYABLE",
    "Caller",
    "Submitted",
    "body_digest",
    "set_desired_state",
    "submit_build",
    "submit_check",
    "submit_export",
    "submit_retry",
    "wake",
]

log = get_logger(__name__)
tracer = trace.get_tracer(__name__)

WAKE_S = 2.0
"""Seconds that a submission waits for the queue; a hanging Redis would hold it for minutes."""

RETRYABLE = frozenset(
    {
        Reason.RATE_LIMITED,
        Reason.SERVICE_UNAVAILABLE,
        Reason.TIMEOUT,
        Reason.NETWORK,
        Reason.TRUNCATED_BODY,
        Reason.HOST_UNAVAILABLE,
        Reason.RETRY_BUDGET,
        Reason.INTERRUPTED,
        Reason.RETRY_AFTER_OVER_CAP,
        Reason.HTTP_5XX,
        Reason.DNS_NOT_FOUND,
        Reason.PROXY_REFUSED,
        Reason.UNREADABLE,
        Reason.CANCELLED,
    }
)
"""Reasons that a retry covers by default: those that may have passed."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """The result of a submission. ``resource`` is the id to return: of a job, an export or a check."""

    resource: str
    job_id: str
    is_new: bool = True


@dataclass(frozen=True, slots=True)
class Caller:
    """The submitter: user, request id, Idempotency-Key (key, digest of the body) and trace."""

    user_id: str = "local"
    request_id: str = field(default_factory=lambda: new_id("req"))
    idempotency: tuple[str, str] | None = None
    traceparent: str | None = None


async def submit_build(
    resources: Resources,
    spec: JobSpec,
    *,
    name: str,
    lineage_id: str | None = None,
    priority: int = 0,
    caller: Caller | None = None,
) -> Submitted:
    """Create a dataset, a further version in ``lineage_id`` if given, and the job that builds it."""
    caller = caller or Caller()

    async def make(connection: Any) -> Submitted:
        dataset_id = await datasets.create_dataset(connection, user_id=caller.user_id, name=name, lineage_id=lineage_id)
        return await _job(connection, caller, JobKind.BUILD, dataset_id, spec.model_dump(mode="json"), spec, priority)

    return await _submit(resources, caller, make)


async def submit_retry(
    resources: Resources, job_id: str, reasons: frozenset[Reason] = RETRYABLE, *, caller: Caller | None = None
) -> Submitted:
    """Create a job that fetches again what failed in a dataset for one of these reasons, as much as its target lacks.

    Raises:
        errors.ValidationError: the job builds nothing.
        StateConflict: the job still runs, or nothing failed for these reasons.
    """
    caller = caller or Caller()
    job = await jobs.get(resources.db, job_id, user_id=caller.user_id)
    if not job.is_final:
        raise StateConflict(f"job {job_id} is {job.state}; wait for its end, or cancel it, before you retry")
    if job.kind is not JobKind.BUILD:
        raise errors.ValidationError(f"job {job_id} is of kind {job.kind}; only a build can be retried")
    spec = JobSpec(**job.spec).model_copy(update={"retry_reasons": sorted(reasons), "parent_job_id": job_id})

    async def make(connection: Any) -> Submitted:
        failed = await images.count_failed(connection, job.dataset_id, sorted(reasons))
        if not failed and not await crawl_pages.count_failed(connection, job.dataset_id, sorted(reasons)):
            what = "image or page" if spec.pages else "image"
            raise StateConflict(f"nothing to retry: no {what} of job {job_id} failed with {', '.join(sorted(reasons))}")
        return await _job(connection, caller, JobKind.BUILD, job.dataset_id, spec.model_dump(mode="json"), spec, job.priority)

    return await _submit(resources, caller, make)


async def submit_export(
    resources: Resources,
    dataset_id: str,
    request: ExportRequest,
    *,
    delivery: Delivery | None = None,
    caller: Caller | None = None,
) -> Submitted:
    """Write a dataset, or a selection of it, in another format, and send it to a destination if one is given.

    Raises:
        errors.ValidationError: the selection is none.
        errors.ConfigurationError: the format needs an extra that is not installed.
    """
    caller = caller or Caller()
    spec = settle_export(resources.settings, request)
    await _require_dataset(resources, dataset_id, caller)

    async def make(connection: Any) -> Submitted:
        job = await _job(connection, caller, JobKind.EXPORT, dataset_id, spec.model_dump(mode="json"))
        for export_format in reversed(spec.formats):  # the newest export of a job is that of its first format
            export_id = await datasets.add_export(
                connection,
                user_id=caller.user_id,
                dataset_id=dataset_id,
                job_id=job.job_id,
                export_format=export_format,
                storage_tier=spec.storage_tier,
                options=spec.options,
                **columns_of(delivery, export_format, spec.export_format),
            )
        return Submitted(export_id, job.job_id)

    return await _submit(resources, caller, make)


async def submit_check(
    resources: Resources,
    kind: CheckKind,
    *,
    dataset_id: str | None = None,
    export: Export | None = None,
    options: Mapping[str, Any] | None = None,
    caller: Caller | None = None,
) -> Submitted:
    """Check a dataset (integrity, duplicates, validation), or verify an export."""
    caller = caller or Caller()
    if export is None:
        await _require_dataset(resources, str(dataset_id), caller)
    target = export.dataset_id if export else str(dataset_id)
    job_kind = JobKind.VERIFY if export else JobKind(kind)
    chosen = dict(options or {}) | ({"export_id": export.id} if export else {})
    spec = await _respecified(resources, target, chosen) if job_kind is JobKind.VALIDATION else chosen

    async def make(connection: Any) -> Submitted:
        job = await _job(connection, caller, job_kind, target, spec)
        check_id = await datasets.add_check(
            connection,
            user_id=caller.user_id,
            dataset_id=target,
            job_id=job.job_id,
            kind=job_kind,
            options=chosen,
            export_id=export.id if export else None,
        )
        return Submitted(check_id, job.job_id)

    return await _submit(resources, caller, make)


async def _respecified(resources: Resources, dataset_id: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the spec of the last build of a dataset, with the given level and sizes."""
    spec = JobSpec(**(await jobs.latest_build(resources.db, dataset_id)).spec)
    rules = replace(spec.validation, **{name: value for name, value in options.items() if value is not None})
    return spec.model_copy(update={"validation": rules}).model_dump(mode="json")


async def _require_dataset(resources: Resources, dataset_id: str, caller: Caller) -> None:
    await datasets.get_dataset(resources.db, dataset_id, user_id=caller.user_id)
    if not await images.counts(resources.db, dataset_id=dataset_id):
        raise StateConflict(f"dataset {dataset_id} is empty: nothing to work on")


async def _job(
    connection: Any,
    caller: Caller,
    kind: JobKind,
    dataset_id: str,
    spec: Mapping[str, Any],
    build: JobSpec | None = None,
    priority: int = 0,
) -> Submitted:
    job_id = await lifecycle.create(
        connection,
        user_id=caller.user_id,
        dataset_id=dataset_id,
        kind=kind,
        spec=spec,
        first=[NewUnit(UnitKind.PLAN)],
        target=build.max_images if build else None,
        min_images=build.min_images if build else 0,
        priority=priority,
        request_id=caller.request_id,
        traceparent=tracing.carried(caller.traceparent).get("traceparent"),
    )
    return Submitted(job_id, job_id)


async def _submit(resources: Resources, caller: Caller, make: Callable[[Any], Awaitable[Submitted]]) -> Submitted:
    """Write once for each Idempotency-Key, commit, then wake. The span of the submission is the parent of all spans of the job."""
    attributes = {"user_id": caller.user_id}
    parent = tracing.parent_context(caller.traceparent)
    with tracer.start_as_current_span("submit", parent, SpanKind.PRODUCER, attributes) as span:
        async with resources.db.write() as connection:
            if caller.idempotency:
                key, digest = caller.idempotency
                if known := await api_keys.recall_idempotent(connection, user_id=caller.user_id, key=key, body_digest=digest):
                    return Submitted(known, known, is_new=False)
            made = await make(connection)
            if caller.idempotency:
                await api_keys.note_idempotent(connection, user_id=caller.user_id, key=key, body_digest=digest, resource=made.resource)
        span.set_attribute("job_id", made.job_id)
        traced = tracing.carried(caller.traceparent)
        with log.contextualize(job_id=made.job_id, user_id=caller.user_id, request_id=caller.request_id, **traced):
            log.info("job.accepted", resource=made.resource)
            await wake(resources, made.job_id)
    return made


async def wake(resources: Resources, *job_ids: str) -> None:
    """Dispatch what is due, or tell the process that works on the workspace of these jobs.

    An unavailable Redis delays the job, not the answer; the sweeper sends the rest.
    """
    if resources.workspace is not None:
        resources.workspace.request(*job_ids)
    try:
        async with asyncio.timeout(WAKE_S):
            await dispatch(resources)
    except (errors.QueueUnavailableError, TimeoutError) as error:
        why = str(error) or f"no answer in {WAKE_S:g} s"
        log.warning("queue.unavailable", error=why)


def body_digest(body: bytes) -> str:
    """Return the digest by which an Idempotency-Key recognises the same body."""
    return hashlib.sha256(body).hexdigest()


async def set_desired_state(resources: Resources, job_id: str, desired: DesiredState, *, user_id: str | None = None) -> None:
    """Run, pause, cancel or finish a job; wake the workers for one that they shall work on."""
    await control.set_desired_state(resources.db, job_id, desired, user_id=user_id)
    if desired in WORKED_ON:
        await wake(resources, job_id)
