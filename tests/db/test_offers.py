"""Tests of app.db.offers: names of pictures, offers on rows, in few statements. On SQLite and PostgreSQL."""

from dataclasses import replace

from sqlalchemy import select

from app.db import Database, images, offers, tables
from app.db.rows import NewUnit
from app.discovery.offers import Change
from app.domain import Candidate, ImageState, Reason
from app.job_states import UnitKind
from tests.db.builders import add_job, all_rows, candidates, dataset_of, statements


async def add(db: Database, job_id: str, found: list[tuple[str, Candidate]]) -> None:
    """Add candidates of a search to a job's dataset."""
    async with db.write() as connection:
        await images.add_candidates(
            connection, dataset_id=await dataset_of(db, job_id), job_id=job_id, search_id="srch_1", chunks=[(None, found)]
        )


def named(number: int) -> list[tuple[str, Candidate]]:
    """Candidates, each with two identities."""
    return [(url, replace(item, identities=(f"flickr:{at}", f"sha1:{at:040x}"))) for at, (url, item) in enumerate(candidates(number))]


async def test_names_are_written_with_the_candidates_and_found(any_database: Database) -> None:
    """By identity and by the key of the URL, within one dataset; many in few statements."""
    job_id = await add_job(any_database, [NewUnit(UnitKind.PLAN)])
    other = await add_job(any_database, [NewUnit(UnitKind.PLAN)])
    found = named(600)
    with statements(any_database) as made:
        await add(any_database, job_id, found)
    assert sum("image_identities" in statement for statement in made) <= 3
    keys = [images.url_digest(url) for url, _ in found]
    async with any_database.read() as connection:
        dataset_id = await dataset_of(any_database, job_id)
        with statements(any_database) as made:
            known = await offers.find(connection, dataset_id, [*keys, *(f"flickr:{at}" for at in range(600)), "flickr:9999", "nothing"])
        assert len(made) == 4
        assert await offers.find(connection, await dataset_of(any_database, other), keys) == {}
    assert len(known) == 1200
    assert known["flickr:17"] == known[keys[17]]


async def test_candidates_without_names_cost_no_statement(any_database: Database) -> None:
    """A list pays nothing for identities."""
    job_id = await add_job(any_database, [NewUnit(UnitKind.PLAN)])
    with statements(any_database) as made:
        await add(any_database, job_id, candidates(50))
    assert not any("image_identities" in statement for statement in made)


async def test_a_name_stays_with_its_first_image(any_database: Database) -> None:
    """Two images that turn out to share one keep what they have."""
    job_id = await add_job(any_database, [NewUnit(UnitKind.PLAN)])
    await add(any_database, job_id, named(2))
    dataset_id = await dataset_of(any_database, job_id)
    async with any_database.write() as connection:
        known = await offers.find(connection, dataset_id, ["flickr:0", "flickr:1"])
        await offers.add_identities(connection, dataset_id, [(known["flickr:1"], ["flickr:0", "md5:x"])])
        again = await offers.find(connection, dataset_id, ["flickr:0", "md5:x"])
    assert again == {"flickr:0": known["flickr:0"], "md5:x": known["flickr:1"]}


async def test_a_change_is_written_and_a_refused_image_is_out(any_database: Database) -> None:
    """Whatever it was: a failure might be fetched by a retry, a duplicate take the place of another. What was removed stays so."""
    job_id = await add_job(any_database, [NewUnit(UnitKind.PLAN)])
    await add(any_database, job_id, named(5))
    async with any_database.write() as connection:
        found = await offers.find(connection, await dataset_of(any_database, job_id), [f"flickr:{at}" for at in range(5)])
        first, failed, duplicate, corrupt, removed = (found[f"flickr:{at}"] for at in range(5))
        await images.update_alike(connection, [failed], {"state": ImageState.FAILED, "reason": Reason.HTTP_404})
        await images.update_alike(
            connection, [duplicate], {"state": ImageState.DUPLICATE, "reason": Reason.DUPLICATE_EXACT, "duplicate_of": first}
        )
        await images.update_alike(connection, [corrupt], {"state": ImageState.REJECTED, "reason": Reason.CORRUPT})
        await images.update_alike(connection, [removed], {"state": ImageState.TOMBSTONED, "reason": Reason.TOMBSTONED})
        change = Change({"offers": [{"source": "x", "url": "y"}], "license": "CC-BY-NC-2.0", "license_raw": "a | b"}, "left out")
        assert await offers.change(connection, dict.fromkeys(found.values(), change)) == 4
        assert (await offers.load(connection, [first]))[first].offers == [{"source": "x", "url": "y"}]
    c = tables.images.c
    query = select(c.state, c.reason, c.detail, c.evidence, c.license, c.duplicate_of).order_by(c.id)
    assert [tuple(row) for row in await all_rows(any_database, query)] == [
        *[("rejected", "licence", "left out", "a | b", "CC-BY-NC-2.0", None)] * 4,
        ("tombstoned", "tombstoned", None, None, "CC-BY-NC-2.0", None),
    ]


async def test_no_stage_brings_a_refused_image_back(any_database: Database) -> None:
    """What a stage decided before the refusal is not written; other images of the same statement are."""
    job_id = await add_job(any_database, [NewUnit(UnitKind.PLAN)])
    await add(any_database, job_id, named(2))
    async with any_database.write() as connection:
        known = await offers.find(connection, await dataset_of(any_database, job_id), ["flickr:0", "flickr:1"])
        refused, other = known["flickr:0"], known["flickr:1"]
        await offers.change(connection, {refused: Change({"license_raw": "a"}, "left out")})
        kept = {"state": ImageState.KEPT, "reason": None, "detail": None}
        await images.update_many(connection, [kept | {"id": other}, kept | {"id": refused}])
        await images.update_alike(connection, [refused, other], {"split": "train"})
    c = tables.images.c
    found = await all_rows(any_database, select(c.state, c.reason, c.detail, c.split).order_by(c.id))
    assert [tuple(row) for row in found] == [("rejected", "licence", "left out", None), ("kept", None, None, "train")]
