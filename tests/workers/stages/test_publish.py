"""Tests of workers.stages.publish: an export goes to an object store over real sockets, and goes on after whatever stops it."""

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from app.db import tables, units
from app.db.rows import Export, Unit, as_unit
from app.export_spec import ExportRequest
from app.exports.destination import Delivery
from app.exports.outgoing import OutgoingFile, Sent
from app.job_states import WAITING_UNIT_STATES, CheckKind, DesiredState, JobState, UnitKind, UnitState
from app.jobs import control, submit
from app.settings.secret_value import SecretValue
from app.spec import JobSpec
from app.storage import MANIFEST
from tests.db.builders import claimed
from tests.hub import DROP_AFTER, TOKEN, HubServer, serve_hub
from tests.images.samples import encode, photo
from tests.object_store import BucketServer, StoredObject
from tests.origin import Origin, image
from tests.workers.bench import Bench, open_bench
from tests.workers.proof import bucket_environment, change_unit
from workers.stages.publish import Progress
from workers.unit import ClaimedUnit, StopReason

URL = "s3://bucket/set"


@pytest.fixture
async def server() -> AsyncIterator[BucketServer]:
    """An object store."""
    async with bucket_environment() as found:
        yield found


@pytest.fixture
async def bench(server: BucketServer, tmp_path: Path, origin: Origin) -> AsyncIterator[Bench]:
    """A bench whose database holds a dataset of four images."""
    async with open_bench(tmp_path) as opened:
        for number in range(4):
            origin.script(f"/{number}.jpg", image(encode(photo(seed=number))))
        await opened.submit([origin.url(f"/{number}.jpg") for number in range(4)], dedupe="exact")
        await opened.drive()
        yield opened


async def rows(bench: Bench, table: Any) -> Sequence[Any]:
    async with bench.db.read() as connection:
        return (await connection.execute(select(table).order_by(table.c.created_at, table.c.id))).all()


async def newest(bench: Bench) -> Export:
    """The export that was asked for last."""
    return Export(**(await rows(bench, tables.exports))[-1]._mapping)


async def asked(bench: Bench, **delivery: Any) -> str:
    """Ask for an export to the bucket; return its job's id."""
    dataset_id = (await newest(bench)).dataset_id
    request = ExportRequest(export_format="files")
    return (await submit.submit_export(bench.resources, dataset_id, request, delivery=Delivery(URL, **delivery))).job_id


async def publishing(bench: Bench) -> Unit:
    """The unit that sends."""
    return next(as_unit(row) for row in reversed(await rows(bench, tables.units)) if row.kind == UnitKind.PUBLISH)


async def test_an_export_is_sent_after_it_was_verified(bench: Bench, server: BucketServer) -> None:
    """Its row says where to, how much, and when all of it was there."""
    job = await bench.job(await asked(bench))
    await bench.drive(until=UnitKind.PUBLISH)
    assert ((await newest(bench)).state, (await newest(bench)).delivered_at) == ("ready", None)
    await bench.drive()
    export = await newest(bench)
    assert (await bench.job(job.id)).state is JobState.SUCCEEDED
    stored = {info.key async for info in bench.context.store.list(str(export.prefix))}
    assert server.stored() == {key.replace(str(export.prefix), "set") for key in stored}
    assert json.loads(server.buckets["bucket"][f"set/{MANIFEST}"].body)["samples"] == 4
    assert export.destination == URL
    assert export.delivered_at is not None
    size = sum(len(item.body) for item in server.buckets["bucket"].values())
    done = {"files": len(stored), "size_bytes": size, "all_files": len(stored), "all_bytes": size}
    assert export.delivery == {"overwrite": False, "private": True} | done


async def test_a_build_sends_its_dataset(bench: Bench, server: BucketServer, origin: Origin) -> None:
    """As the command line asks for it: the destination is in the job's spec. Another dataset there is refused without --overwrite."""
    spec = (await bench.job((await newest(bench)).job_id)).spec
    for name, overwrite in (("first", False), ("second", True)):
        wanted = JobSpec(**spec).model_copy(update={"destination": URL, "overwrite": overwrite})
        job_id = (await submit.submit_build(bench.resources, wanted, name=name)).job_id
        await bench.drive()
        assert (await bench.job(job_id)).state is JobState.SUCCEEDED
        assert json.loads(server.buckets["bucket"][f"set/{MANIFEST}"].body)["dataset"]["name"] == name


async def test_what_refuses_ends_the_unit_and_resume_goes_on(bench: Bench, server: BucketServer) -> None:
    """The row and the job say what to do; nothing there looks whole; nothing is sent twice."""
    server.fault = lambda method, key, _: 403 if method == "PUT" and key.endswith("SHA256SUMS") else 0
    job_id = await asked(bench)
    await bench.drive()
    job, export = await bench.job(job_id), await newest(bench)
    assert job.state is JobState.FAILED
    said = (
        f"not delivered: put {URL}/SHA256SUMS: refused with 403 Forbidden; check the credentials that the worker has in AWS_*, "
        f"and what they allow; `pictrawl resume {job_id}` then goes on"
    )
    assert (export.state, export.error, export.delivered_at) == ("ready", said, None)
    assert job.error == said
    assert f"set/{MANIFEST}" not in server.stored()
    server.fault = lambda *_: 0
    await control.revive(bench.db, job_id)
    await bench.drive()
    export = await newest(bench)
    assert ((await bench.job(job_id)).state, export.error) == (JobState.SUCCEEDED, None)
    assert export.delivered_at is not None
    assert {key: n for key, n in server.requests("PUT").items() if n > 1} == {"set/SHA256SUMS": 2}


async def test_a_build_that_resumes_repeats_no_stage_to_deliver(bench: Bench, server: BucketServer) -> None:
    """Its dataset is exported already: only the sending is left."""
    spec = JobSpec(**(await bench.job((await newest(bench)).job_id)).spec).model_copy(update={"destination": URL})
    server.fault = lambda method, *_: 403 if method == "PUT" else 0
    job_id = (await submit.submit_build(bench.resources, spec, name="again")).job_id
    await bench.drive()
    before = [row.kind for row in await rows(bench, tables.units) if row.job_id == job_id]
    server.fault = lambda *_: 0
    await control.revive(bench.db, job_id)
    await bench.drive()
    after = [row.kind for row in await rows(bench, tables.units) if row.job_id == job_id]
    assert (await bench.job(job_id)).state is JobState.SUCCEEDED
    assert sorted(after) == sorted([*before, UnitKind.FINALIZE])
    assert len([row for row in await rows(bench, tables.exports) if row.job_id == job_id]) == 1


async def test_somebody_elses_files_are_named(bench: Bench, server: BucketServer) -> None:
    """With the way out; the unit does not try again."""
    server.buckets["bucket"]["set/mine.txt"] = StoredObject(b"mine")
    await asked(bench)
    await bench.drive()
    assert "set holds 1 objects that are not of this export: mine.txt" in str((await newest(bench)).error)
    assert server.stored() == {"set/mine.txt"}


@pytest.mark.parametrize("status", [507, 503])
async def test_what_is_full_or_fails_is_tried_again_later(bench: Bench, server: BucketServer, status: int) -> None:
    """The unit is released for a minute and the job says what it waits for; then it goes on where it was."""
    server.fault = lambda method, key, _: status if method == "PUT" and key.endswith(".md") else 0
    job_id = await asked(bench)
    await bench.drive()
    job, unit = await bench.job(job_id), await publishing(bench)
    assert (job.is_final, unit.state) == (False, UnitState.PENDING)
    assert f"storage failed (put {URL}/" in str(job.waiting_for)
    assert str(status) in str(job.waiting_for)
    server.fault = lambda *_: 0
    await change_unit(bench, unit.id, not_before=0.0)
    await bench.drive()
    assert (await bench.job(job_id)).state is JobState.SUCCEEDED
    sent = server.requests("PUT")
    assert all(key.endswith(".md") for key, times in sent.items() if times > 1)


async def test_a_unit_that_runs_twice_sends_once(bench: Bench, server: BucketServer) -> None:
    """A kill after the last file and before the row is written: the next owner finds everything there."""
    await asked(bench)
    await bench.drive(until=UnitKind.PUBLISH)
    (delivery,) = await bench.due()
    await bench.run(delivery)
    await change_unit(bench, delivery.unit_id, state=UnitState.PENDING, finished_at=None)
    before = len(server.log)
    await bench.run((await bench.due())[0])
    assert {method for method, _ in server.log[before:]} <= {"GET", "HEAD"}


@pytest.mark.parametrize("how", [StopReason.DRAIN, StopReason.PAUSED])
async def test_a_stop_in_order_leaves_what_was_sent(bench: Bench, server: BucketServer, how: StopReason) -> None:
    """The unit is released, and no manifest is there yet; the next run sends the rest."""
    job_id = await asked(bench)
    await bench.drive(until=UnitKind.PUBLISH)

    def stop(method: str, key: str, _: int) -> int:
        for work in list(bench.leases._held.values()):
            work.request_stop(how)
        return 0

    server.fault = lambda *call: stop(*call) if call[0] == "PUT" else 0
    await bench.run((await bench.due())[0])
    assert (await publishing(bench)).state in WAITING_UNIT_STATES
    assert f"set/{MANIFEST}" not in server.stored()
    server.fault = lambda *_: 0
    await bench.drive()
    assert (await bench.job(job_id)).state is JobState.SUCCEEDED


async def test_a_cancelled_job_leaves_nothing_that_looks_whole(bench: Bench, server: BucketServer) -> None:
    """Its unit stops at once."""
    job_id = await asked(bench)
    await bench.drive(until=UnitKind.PUBLISH)
    await control.set_desired_state(bench.db, job_id, DesiredState.CANCELLED)
    await bench.drive()
    assert (await bench.job(job_id)).state is JobState.CANCELLED
    assert server.stored() == set()


async def test_who_has_lost_the_lease_sends_nothing_more(bench: Bench) -> None:
    """Nor writes a figure beside its successor."""
    await asked(bench)
    await bench.drive(until=UnitKind.PUBLISH)
    (delivery,) = await bench.due()
    unit = ClaimedUnit(bench.context, await claimed(bench.db, delivery.unit_id, owner="wrk_test"))
    progress = Progress(unit, await newest(bench), {}, clock=iter((10.0, 0.0)).__next__)  # no figure is due
    unit.lease_deadline = 0.0
    with pytest.raises(units.LeaseLost):
        await progress(Sent(1, 10))


async def test_how_far_it_is_is_written_once_a_second(bench: Bench, tmp_path: Path) -> None:
    """What was there before counts as there, and not as sent. A database that is away costs the figure only."""
    await asked(bench)
    await bench.drive(until=UnitKind.PUBLISH)
    (delivery,) = await bench.due()
    unit = ClaimedUnit(bench.context, await claimed(bench.db, delivery.unit_id, owner="wrk_test"))
    files = {str(number): OutgoingFile(str(number), tmp_path, 10, "d") for number in range(4)}
    progress = Progress(unit, await newest(bench), files, clock=iter((0.0, 0.5, 1.0, 1.5, 2.0)).__next__)
    written = []
    for number in range(4):
        await progress(Sent(1, 10, is_new=number > 0))
        written.append(((await newest(bench)).delivery or {}).get("files"))
    assert written == [1, 1, 3, 3]
    assert (progress.sent_files, progress.sent_bytes, progress.delivery["all_bytes"]) == (3, 30, 40)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A Hub, by the environment as huggingface_hub reads it when it is imported."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    with serve_hub() as server:
        yield server


@pytest.fixture
async def hub_bench(hub: HubServer, bench: Bench) -> Bench:
    """A bench with a dataset whose settings name the Hub."""
    settings = bench.resources.settings
    access = settings.hub.model_copy(update={"endpoint": hub.endpoint, "token": SecretValue(value=SecretStr(TOKEN))})
    resources = replace(bench.resources, settings=settings.model_copy(update={"hub": access}))
    return Bench(replace(bench.context, resources=resources), bench.leases)


async def asked_for_hub(bench: Bench) -> str:
    """Ask for an export to the Hub; return its job's id."""
    request, delivery = ExportRequest(export_format="imagefolder"), Delivery("hf://org/set", private=False)
    return (await submit.submit_export(bench.resources, (await newest(bench)).dataset_id, request, delivery=delivery)).job_id


HUB_WARNING = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # huggingface_hub says so to its own HTTP client


@HUB_WARNING
async def test_an_export_is_pushed_to_the_hub(hub_bench: Bench, hub: HubServer) -> None:
    """Public as asked; the row says where it is to be seen; the token is in no row."""
    job_id = await asked_for_hub(hub_bench)
    await hub_bench.drive()
    export = await newest(hub_bench)
    assert (await hub_bench.job(job_id)).state is JobState.SUCCEEDED
    stored = {info.key.removeprefix(f"{export.prefix}/") async for info in hub_bench.context.store.list(str(export.prefix))}
    assert hub.files().keys() == stored
    assert hub.private == {"org/set": False}
    assert (export.delivery or {})["url"] == f"{hub.endpoint}/datasets/org/set"
    assert TOKEN not in str([tuple(row) for table in (tables.exports, tables.units, tables.jobs) for row in await rows(hub_bench, table)])


@HUB_WARNING
async def test_a_limit_of_the_hub_is_waited_for_by_the_unit(hub_bench: Bench, hub: HubServer) -> None:
    """For as long as the Hub asks, and the job says so; then the rest is sent."""
    hub.fault = lambda _, path, __: (429, {"Retry-After": "300"}) if "/commit/" in path else 0
    job_id = await asked_for_hub(hub_bench)
    await hub_bench.drive(until=UnitKind.PUBLISH)
    before = await hub_bench.db.now()
    await hub_bench.drive()
    unit, job = await publishing(hub_bench), await hub_bench.job(job_id)
    assert 295 <= unit.not_before - before <= 360
    assert job.waiting_for == "commit hf://org/set: the Hub answered 429: as asked; it asks to wait for 300 s"
    hub.fault = lambda *_: 0
    await change_unit(hub_bench, unit.id, not_before=0.0)
    await hub_bench.drive()
    assert (await hub_bench.job(job_id)).state is JobState.SUCCEEDED


@HUB_WARNING
async def test_a_commit_whose_answer_is_lost_counts(hub_bench: Bench, hub: HubServer) -> None:
    """The unit rests for a minute; the next run finds what it had committed."""
    hub.fault = lambda _, path, times: DROP_AFTER if "/commit/" in path and times == 1 else 0
    job_id = await asked_for_hub(hub_bench)
    await hub_bench.drive()
    assert "storage failed (commit hf://org/set: " in str((await hub_bench.job(job_id)).waiting_for)
    await change_unit(hub_bench, (await publishing(hub_bench)).id, not_before=0.0)
    await hub_bench.drive()
    assert (await hub_bench.job(job_id)).state is JobState.SUCCEEDED
    added = [path for commit in hub.commits for _, path in commit]
    assert len(added) == len(set(added))


async def test_a_hub_that_refuses_says_which_credentials(hub_bench: Bench, hub: HubServer) -> None:
    """And how to go on."""
    hub.fault = lambda *_: 403
    job_id = await asked_for_hub(hub_bench)
    await hub_bench.drive()
    said = str((await newest(hub_bench)).error)
    assert "check the credentials that the worker has in HF_TOKEN" in said
    assert f"`pictrawl resume {job_id}` then goes on" in said


async def test_a_check_of_an_export_does_not_send_it_again(bench: Bench, server: BucketServer) -> None:
    """Only the job that wrote it does."""
    await asked(bench)
    await bench.drive()
    before = len(server.log)
    await submit.submit_check(bench.resources, CheckKind.INTEGRITY, export=await newest(bench))
    await bench.drive()
    assert len(server.log) == before
