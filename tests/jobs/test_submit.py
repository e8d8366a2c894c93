"""Tests of app.jobs.submit: a request is written once and committed, and only then is anybody woken."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fakeredis import FakeServer
from sqlalchemy.exc import SQLAlchemyError

import errors
from app.db import Database, api_keys, datasets, jobs, tables
from app.db.exceptions import KeyReused, StateConflict
from app.domain import ImageState, Reason
from app.export_spec import ExportRequest
from app.job_states import CheckKind, DesiredState, JobKind, JobState, UnitKind
from app.jobs.settle import resolve_spec, store_list, store_urls
from app.jobs.submit import RETRYABLE, Caller, body_digest, set_desired_state, submit_build, submit_check, submit_export, submit_retry, wake
from app.queue import embedded_queue
from app.resources import Resources
from app.rules import CompressionRules, ValidationRules
from app.settings import Settings, load_settings
from app.spec import JobRequest, JobSpec, ListSpec
from app.storage import open_store
from tests.db.builders import add_images, count, job_row, unit_ids, unit_row

ANN, BOB = Caller("ann", request_id="req_1"), Caller("bob")


def test_who_comes_without_a_request_id_gets_one() -> None:
    """A build from the command line can be followed like one from the API; no two share an id."""
    first, second = Caller("ann"), Caller("ann")
    assert first.request_id.startswith("req_")
    assert first.request_id != second.request_id


@pytest.fixture
def server() -> FakeServer:
    """The Redis behind the queue; ``connected`` takes it away."""
    return FakeServer()


@pytest.fixture
async def resources(any_database: Database, server: FakeServer, settings: Settings) -> AsyncIterator[Resources]:
    """On SQLite and on PostgreSQL, with a queue in this process."""
    queue, store = embedded_queue(server), open_store("memory://")
    yield Resources(settings, any_database, store, queue)
    await store.close()
    await queue.close()


async def build(resources: Resources) -> str:
    """Submit a build, return its job's id."""
    return (await submit_build(resources, JobSpec(keywords=["cat"]), name="cats", caller=ANN)).job_id


async def finished(resources: Resources, **changes: Any) -> tuple[str, str]:
    """A build of Ann's that has ended, with three images; its job and its dataset."""
    spec = JobSpec(keywords=["cat"], max_images=50, min_images=7, validation=ValidationRules(level="strict", min_width=99))
    job_id = (await submit_build(resources, spec, name="cats", priority=3, caller=ANN)).job_id
    await add_images(resources.db, job_id, 3, changes={"state": ImageState.KEPT} | changes)
    async with resources.db.write() as connection:
        await jobs.end(connection, job_id, JobState.SUCCEEDED)
    return job_id, (await job_row(resources.db, job_id)).dataset_id


# settle


def with_settings(**flags: Any) -> Resources:
    """Resources of which only the settings are looked at."""
    chosen = {"fetch.contact": "ops@example.org"} | {name.replace("__", "."): value for name, value in flags.items()}
    return Resources(load_settings(chosen), None, None, None)  # type: ignore[arg-type]


def test_what_a_request_leaves_open_comes_from_the_settings() -> None:
    """Every default is filled in at submission, so that all workers decide the same."""
    resources = with_settings(
        validate__level="strict", validate__min_width=200, validate__near_distance=3, compress__format="webp",
        validate__label_conflicts="keep-all",
        export__format="webdataset", export__shard_samples=77, export__shard_bytes=2_000_000,
    )  # fmt: skip
    spec = resolve_spec(resources, JobRequest(keywords=["cat", " Cat ", "dog"]))
    assert spec.keywords == ["cat", "dog"]
    assert (spec.max_images, spec.min_images, spec.output) == (100, 0, None)
    assert (spec.validation.level, spec.validation.min_width, spec.near_distance) == ("strict", 200, 3)
    assert spec.label_conflicts == "keep-all"
    assert (spec.compression.format, spec.export_format, spec.storage_tier) == ("webp", "webdataset", "standard")
    assert (spec.shard_samples, spec.shard_bytes) == (77, 2_000_000)


@pytest.mark.parametrize("by", ["request", "setting"])
def test_a_format_whose_extra_is_not_installed_is_refused_at_submission(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is fetched, wherever the format was named."""
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    resources = with_settings(**({"export__format": "parquet"} if by == "setting" else {}))
    request = JobRequest(keywords=["cat"], export_format="parquet" if by == "request" else None)
    with pytest.raises(errors.ConfigurationError, match=r"the format parquet needs pyarrow; install pictrawl\[parquet\]"):
        resolve_spec(resources, request)


def test_what_a_request_says_goes_before_the_settings() -> None:
    """Each wish on its own."""
    asked = JobRequest(
        keywords=["cat"], max_images=5, min_images=2, validation_level="basic", min_height=300, export_format="imagefolder",
        compression=CompressionRules(format="png"), splits={"train": 0.5, "test": 0.5}, seed=9, dedupe="exact", label="pet",
        label_conflicts="keep-first", refresh=True,
    )  # fmt: skip
    spec = resolve_spec(with_settings(validate__level="strict", validate__min_width=200), asked)
    assert (spec.max_images, spec.min_images) == (5, 2)
    assert (spec.validation.level, spec.validation.min_width, spec.validation.min_height) == ("basic", 200, 300)
    assert (spec.export_format, spec.compression, spec.splits, spec.seed) == (
        "imagefolder", CompressionRules(format="png"), {"train": 0.5, "test": 0.5}, 9,
    )  # fmt: skip
    assert (spec.dedupe, spec.label, spec.label_conflicts, spec.refresh) == ("exact", "pet", "keep-first", True)


@pytest.mark.parametrize(
    ("minima", "target"),
    [({"min_images": 99}, 100), ({"min_images": 250}, 250), ({"min_images_per_label": 60}, 120), ({"min_images_per_label": 10}, 100)],
)
def test_the_default_target_is_no_smaller_than_what_the_minima_take(minima: dict[str, int], target: int) -> None:
    """A build of two keywords that asks for 250 at least and says no more would always fall short."""
    spec = resolve_spec(with_settings(), JobRequest(keywords=["cat", "dog"], **minima))
    assert (spec.max_images, spec.min_images_per_label) == (target, minima.get("min_images_per_label", 0))


def test_a_list_is_taken_whole_and_needs_no_source() -> None:
    """There is no default limit for URLs, and nobody asks a source."""
    listed = ListSpec(key="lists/a.txt", suffix=".txt")
    spec = resolve_spec(with_settings(), JobRequest(urls=["https://example.org/a"], sources=["unknown"]), url_list=listed)
    assert (spec.max_images, spec.url_list, spec.keywords) == (None, listed, [])


@pytest.mark.parametrize(
    ("asked", "words", "unknown"),
    [
        ({"keywords": ["cat"]}, ["any"], "drop"),
        ({"keywords": ["cat"], "license_unknown": "keep"}, ["any"], "keep"),
        ({"keywords": ["cat"], "license": ["CC-BY", "open"]}, ["by", "open"], "drop"),
        ({"urls": ["https://example.org/a"]}, [], "keep"),
        ({"urls": ["https://example.org/a"], "license_unknown": "drop"}, ["any"], "drop"),
        ({"urls": ["https://example.org/a"], "license": ["cc0"]}, ["cc0"], "drop"),
        ({"urls": ["https://example.org/a"], "license": ["cc0"], "license_unknown": "keep"}, ["cc0"], "keep"),
    ],
)
def test_licences_are_settled_at_submission(asked: dict[str, Any], words: list[str], unknown: str) -> None:
    """Keywords take what permits some use, lists everything; what is asked for drops what is unknown."""
    spec = resolve_spec(with_settings(), JobRequest(**asked))
    assert (spec.license, spec.license_unknown) == (words, unknown)


def test_a_licence_that_is_not_known_is_refused_at_once() -> None:
    """The nearest one is named."""
    with pytest.raises(errors.ValidationError, match=r"there is no licence 'by-as'; did you mean by-sa\?"):
        resolve_spec(with_settings(), JobRequest(keywords=["cat"], license=["by-as"]))


def test_a_source_that_cannot_be_asked_is_refused_at_once() -> None:
    """An unknown one, and one that wants a contact that is not set."""
    with pytest.raises(errors.PermanentError, match="flicker"):
        resolve_spec(with_settings(), JobRequest(keywords=["cat"], sources=["flicker"]))
    with pytest.raises(errors.PermanentError, match="contact"):
        resolve_spec(with_settings(fetch__contact=""), JobRequest(keywords=["cat"], sources=["wikimedia"]))


# lists


async def test_a_list_is_copied_into_the_store(resources: Resources, tmp_path: Path) -> None:
    """A resumed job reads what the first run read, whatever becomes of the file."""
    (tmp_path / "urls.csv").write_text("url\nhttps://example.org/a\n")
    listed = await store_list(resources, tmp_path / "urls.csv", ListSpec(key="", suffix=".csv", url_column="url"))
    (tmp_path / "urls.csv").unlink()
    assert (listed.url_column, listed.suffix) == ("url", ".csv")
    assert await resources.store.get(listed.key) == b"url\nhttps://example.org/a\n"


async def test_urls_of_a_request_become_a_list(resources: Resources) -> None:
    """One on a line, whatever is in them: a line break in a URL makes no second one."""
    listed = await store_urls(resources, ["https://example.org/a", "https://example.org/b\r\nhttps://evil.example/", "half \ud800"])
    assert (await resources.store.get(listed.key)).decode().splitlines() == [
        "https://example.org/a", "https://example.org/b  https://evil.example/", "half ?",
    ]  # fmt: skip
    assert (listed.suffix, listed.name) == (".txt", "request")


# builds


async def test_a_build_is_a_dataset_a_job_and_its_first_unit(resources: Resources) -> None:
    """Committed, then sent to the builders."""
    spec = JobSpec(keywords=["cat"], max_images=50, min_images=7)
    made = await submit_build(resources, spec, name="cats", priority=5, caller=ANN)
    job = await jobs.get(resources.db, made.job_id, user_id="ann")
    assert (made.resource, made.is_new) == (job.id, True)
    assert (job.kind, job.state, job.target, job.min_images, job.priority, job.request_id) == (
        JobKind.BUILD, JobState.PENDING, 50, 7, 5, "req_1",
    )  # fmt: skip
    assert JobSpec(**job.spec) == spec
    assert (await datasets.get_dataset(resources.db, job.dataset_id, user_id="ann")).name == "cats"
    (unit_id,) = await unit_ids(resources.db, job.id)
    unit = await unit_row(resources.db, unit_id)
    assert (unit.kind, unit.state) == (UnitKind.PLAN, "queued")
    assert await resources.queue.missing([f"{unit_id}:0"]) == []


async def test_the_committed_row_is_the_outbox(resources: Resources, server: FakeServer) -> None:
    """Without Redis a submission succeeds; its unit is pending, and the next wake sends it."""
    server.connected = False
    job_id = (await submit_build(resources, JobSpec(keywords=["cat"]), name="cats")).job_id
    (unit_id,) = await unit_ids(resources.db, job_id)
    assert (await unit_row(resources.db, unit_id)).state == "pending"
    server.connected = True
    await wake(resources)
    assert (await unit_row(resources.db, unit_id)).state == "queued"


async def test_a_submission_that_fails_leaves_nothing(resources: Resources) -> None:
    """Dataset and job are one transaction."""
    nobody = Caller("ann", request_id=object())  # type: ignore[arg-type]
    with pytest.raises(SQLAlchemyError, match="INSERT INTO jobs"):
        await submit_build(resources, JobSpec(keywords=["cat"]), name="cats", caller=nobody)
    assert await count(resources.db, tables.datasets) == 0


# idempotency


async def test_the_same_request_makes_one_job(resources: Resources) -> None:
    """With the same key and body; another body is refused, another user or no key is another job."""
    keyed = Caller("ann", idempotency=("key", body_digest(b"body")))
    spec = JobSpec(keywords=["cat"])
    first = await submit_build(resources, spec, name="cats", caller=keyed)
    again = await submit_build(resources, spec, name="cats", caller=keyed)
    assert (again.resource, again.is_new) == (first.resource, False)
    assert await count(resources.db, tables.jobs) == 1
    with pytest.raises(KeyReused):
        await submit_build(resources, spec, name="cats", caller=Caller("ann", idempotency=("key", body_digest(b"other"))))
    other = await submit_build(resources, spec, name="cats", caller=Caller("bob", idempotency=("key", body_digest(b"body"))))
    assert other.is_new
    assert (await submit_build(resources, spec, name="cats", caller=Caller("ann"))).is_new
    assert await count(resources.db, tables.jobs) == 3


async def test_ten_requests_with_one_key_at_once_make_one_job(resources: Resources) -> None:
    """One makes it, nine get it, none fails."""
    keyed = Caller("ann", idempotency=("key", body_digest(b"body")))
    made = await asyncio.gather(*(submit_build(resources, JobSpec(keywords=["cat"]), name="cats", caller=keyed) for _ in range(10)))
    assert len({submitted.resource for submitted in made}) == 1
    assert [submitted.is_new for submitted in made].count(True) == 1
    assert await count(resources.db, tables.jobs) == 1


async def test_a_key_is_forgotten_with_the_submission_that_failed(resources: Resources) -> None:
    """The client may send the same again once the cause is mended."""
    keyed = Caller("ann", idempotency=("key", "digest"))
    job_id, _ = await finished(resources)
    with pytest.raises(StateConflict, match="nothing to retry"):
        await submit_retry(resources, job_id, caller=keyed)
    assert await api_keys.expire_idempotency(resources.db, older_than_s=-60) == 0


# retries


async def test_a_retry_is_a_new_job_on_the_same_dataset(resources: Resources) -> None:
    """With the spec of the first, the reasons to take up, and its parent's name and priority."""
    job_id, dataset_id = await finished(resources, state=ImageState.FAILED, reason=Reason.TIMEOUT)
    made = await submit_retry(resources, job_id, caller=ANN)
    job = await jobs.get(resources.db, made.job_id, user_id="ann")
    spec = JobSpec(**job.spec)
    assert (job.dataset_id, job.kind, job.target, job.min_images, job.priority) == (dataset_id, JobKind.BUILD, 50, 7, 3)
    assert (spec.parent_job_id, spec.validation.min_width) == (job_id, 99)
    assert spec.retry_reasons is not None
    assert set(spec.retry_reasons) == RETRYABLE


async def test_a_retry_that_makes_no_sense_is_refused(resources: Resources) -> None:
    """While the job runs, where nothing failed for these reasons, of an export, and of somebody else's job."""
    running = await build(resources)
    with pytest.raises(StateConflict, match=f"job {running} is pending; wait for its end, or cancel it, before you retry"):
        await submit_retry(resources, running, caller=ANN)
    job_id, dataset_id = await finished(resources, state=ImageState.FAILED, reason=Reason.HTTP_404)
    with pytest.raises(StateConflict, match=r"nothing to retry: no image of job .* failed with network, timeout"):
        await submit_retry(resources, job_id, frozenset({Reason.TIMEOUT, Reason.NETWORK}), caller=ANN)
    with pytest.raises(errors.NotFoundError):
        await submit_retry(resources, job_id, caller=BOB)
    export = await submit_export(resources, dataset_id, ExportRequest(export_format="files"), caller=ANN)
    async with resources.db.write() as connection:
        await jobs.end(connection, export.job_id, JobState.SUCCEEDED)
    with pytest.raises(errors.ValidationError, match="is of kind export; only a build can be retried"):
        await submit_retry(resources, export.job_id, caller=ANN)


# exports and checks


async def test_an_export_whose_extra_is_not_installed_makes_no_job(resources: Resources, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is that of the request."""
    job_id, dataset_id = await finished(resources)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(errors.ConfigurationError, match=r"install pictrawl\[parquet\]"):
        await submit_export(resources, dataset_id, ExportRequest(export_format="parquet"), caller=ANN)
    latest = await jobs.latest(resources.db)
    assert latest is not None
    assert latest.id == job_id


async def test_an_export_is_a_job_and_its_row(resources: Resources) -> None:
    """The answer names the export; its job is of its own kind and has the same owner."""
    _, dataset_id = await finished(resources)
    asked = ExportRequest(export_format="webdataset", where="label = cat", max_per_label=7, seed=3)
    made = await submit_export(resources, dataset_id, asked, caller=ANN)
    export = await datasets.get_export(resources.db, made.resource, user_id="ann")
    job = await jobs.get(resources.db, made.job_id, user_id="ann")
    assert (export.format, export.state, export.job_id, export.dataset_id) == ("webdataset", "pending", job.id, dataset_id)
    assert (job.kind, job.spec, job.target) == (
        JobKind.EXPORT,
        {"export_format": "webdataset", "storage_tier": "standard", "also": []} | dict(export.options or {}),
        None,
    )
    limits = {"where": "label = cat", "max_per_label": 7, "balance": False, "seed": 3}
    assert limits.items() <= (export.options or {}).items()
    with pytest.raises(errors.ValidationError, match=r'where: position 1: "lable": there is no such name; did you mean label\?'):
        await submit_export(resources, dataset_id, ExportRequest(export_format="files", where="lable = cat"), caller=ANN)


@pytest.mark.parametrize("kind", [CheckKind.INTEGRITY, CheckKind.DUPLICATES])
async def test_a_check_of_a_dataset(resources: Resources, kind: CheckKind) -> None:
    """A job of the check's kind with the options as they were given."""
    _, dataset_id = await finished(resources)
    made = await submit_check(resources, kind, dataset_id=dataset_id, options={"sample": 0.5}, caller=ANN)
    check = await datasets.get_check(resources.db, made.resource, user_id="ann")
    job = await jobs.get(resources.db, made.job_id)
    assert (check.kind, check.options, check.export_id, check.dataset_id) == (kind.value, {"sample": 0.5}, None, dataset_id)
    assert (job.kind.value, job.spec, job.dataset_id) == (kind.value, {"sample": 0.5}, dataset_id)


async def test_a_validation_anew_goes_by_the_last_builds_spec(resources: Resources) -> None:
    """With another level or other sizes; what is not named stays as it was."""
    _, dataset_id = await finished(resources)
    options = {"level": "basic", "min_width": None, "min_height": 5}
    made = await submit_check(resources, CheckKind.VALIDATION, dataset_id=dataset_id, options=options, caller=ANN)
    spec = JobSpec(**(await jobs.get(resources.db, made.job_id)).spec)
    assert (spec.validation.level, spec.validation.min_width, spec.validation.min_height) == ("basic", 99, 5)
    assert spec.keywords == ["cat"]


async def test_an_export_is_verified_on_demand(resources: Resources) -> None:
    """The check belongs to the export, whose id is what the job needs."""
    _, dataset_id = await finished(resources)
    asked = await submit_export(resources, dataset_id, ExportRequest(export_format="files"), caller=ANN)
    export = await datasets.get_export(resources.db, asked.resource)
    made = await submit_check(resources, CheckKind.INTEGRITY, export=export, caller=ANN)
    check = await datasets.get_check(resources.db, made.resource)
    job = await jobs.get(resources.db, made.job_id)
    assert (check.kind, check.export_id, job.kind, job.spec) == ("verify", export.id, JobKind.VERIFY, {"export_id": export.id})


async def test_nobody_works_on_a_foreign_or_an_empty_dataset(resources: Resources) -> None:
    """Not found, and nothing to work on; nothing is written."""
    _, dataset_id = await finished(resources)
    empty = (await job_row(resources.db, await build(resources))).dataset_id
    before = await count(resources.db, tables.jobs)
    for wanted, caller, kind, words in (
        (dataset_id, BOB, errors.NotFoundError, f"no dataset {dataset_id}"),
        ("ds_unknown", ANN, errors.NotFoundError, "no dataset ds_unknown"),
        (empty, ANN, StateConflict, f"dataset {empty} is empty: nothing to work on"),
    ):
        with pytest.raises(kind, match=words):
            await submit_export(resources, wanted, ExportRequest(export_format="files"), caller=caller)
        with pytest.raises(kind, match=words):
            await submit_check(resources, CheckKind.INTEGRITY, dataset_id=wanted, caller=caller)
    assert await count(resources.db, tables.jobs) == before


# steer


async def test_a_job_is_steered_and_woken(resources: Resources) -> None:
    """Paused, its unit waits; told to go on, it is sent at once; cancelled, it ends."""
    job_id = await build(resources)
    (unit_id,) = await unit_ids(resources.db, job_id)
    await set_desired_state(resources, job_id, DesiredState.PAUSED, user_id="ann")
    assert (await unit_row(resources.db, unit_id)).state == "pending"
    await set_desired_state(resources, job_id, DesiredState.RUNNING, user_id="ann")
    assert (await unit_row(resources.db, unit_id)).state == "queued"
    with pytest.raises(errors.NotFoundError):
        await set_desired_state(resources, job_id, DesiredState.CANCELLED, user_id="bob")
    await set_desired_state(resources, job_id, DesiredState.CANCELLED)
    assert (await jobs.get(resources.db, job_id)).state is JobState.CANCELLED


def test_retryable_reasons_are_those_that_may_have_passed() -> None:
    """What an origin or we ourselves refuse for good is not fetched again."""
    assert Reason.TIMEOUT in RETRYABLE
    assert not RETRYABLE & {Reason.HTTP_404, Reason.ROBOTS, Reason.OPT_OUT, Reason.NOT_AN_IMAGE, Reason.BLOCKED_ADDRESS, Reason.POISON}


def test_the_digest_tells_bodies_apart() -> None:
    """SHA-256 in hex, which fits its column."""
    assert body_digest(b"a") != body_digest(b"b")
    assert len(body_digest(b"")) == 64
