"""Ids by their beginning, and datasets by name."""

import os
import re
from typing import NamedTuple

import pytest
from sqlalchemy import insert

import errors
from app.db import Database, api_keys, datasets, lookup, tables, versions
from app.job_states import JobKind, UnitState
from tests.db import builders


class Made(NamedTuple):
    """Two datasets of one name with a job each, and what the ids of the jobs have in common."""

    datasets: tuple[str, str]
    jobs: tuple[str, str]

    @property
    def common(self) -> str:
        """What both begin with."""
        return os.path.commonprefix(self.jobs)  # noqa: RUF071 - of characters


@pytest.fixture
async def made(any_database: Database) -> Made:
    """The second one of each is newer."""
    async with any_database.write() as connection:
        older = await datasets.create_dataset(connection, user_id="local", name="100% birds")
        newer = await datasets.create_dataset(connection, user_id="local", name="100% birds")
    first, second = [await builders.add_job(any_database, dataset_id=dataset_id) for dataset_id in (older, newer)]
    await builders.change(any_database, tables.datasets, older, created_at=1.0)
    return Made((older, newer), (first, second))


async def test_a_job_is_found_by_id_beginning_and_name(any_database: Database, made: Made) -> None:
    """A name means the newest dataset's newest build."""
    for job_id in made.jobs:
        assert await lookup.job_id(any_database, job_id) == job_id
        assert await lookup.job_id(any_database, job_id[: len(made.common) + 1]) == job_id
    assert await lookup.job_id(any_database, "100% birds") == made.jobs[1]


async def test_a_name_means_the_build_whatever_was_done_later(any_database: Database, made: Made) -> None:
    """Retry, resume and explain are about the build, not about an export after it."""
    export = await builders.add_job(any_database, dataset_id=made.datasets[1], kind=JobKind.EXPORT)
    await builders.change(any_database, tables.jobs, export, created_at=2e9)
    assert await lookup.job_id(any_database, "100% birds") == made.jobs[1]


async def test_a_dataset_is_found_by_id_and_name(any_database: Database, made: Made) -> None:
    """Of several with one name the newest."""
    assert await lookup.dataset_id(any_database, made.datasets[0]) == made.datasets[0]
    assert await lookup.dataset_id(any_database, "100% birds") == made.datasets[1]


async def test_a_name_of_several_is_refused_where_only_one_may_be_meant(any_database: Database, made: Made) -> None:
    """The message names the ids, of which each is taken; so is a name that only one has."""
    refused = f"several datasets are named 100% birds: {', '.join(sorted(made.datasets))}; write the id"
    with pytest.raises(errors.ValidationError, match=re.escape(refused)):
        await lookup.dataset_id(any_database, "100% birds", only=True)
    with pytest.raises(errors.ValidationError, match=re.escape(f"several builds are named 100% birds: {', '.join(sorted(made.jobs))};")):
        await lookup.job_id(any_database, "100% birds", only=True)
    assert await lookup.dataset_id(any_database, made.datasets[0], only=True) == made.datasets[0]
    assert await lookup.job_id(any_database, made.jobs[0], only=True) == made.jobs[0]
    await builders.change(any_database, tables.datasets, made.datasets[0], name="other")
    assert await lookup.dataset_id(any_database, "other", only=True) == made.datasets[0]
    assert await lookup.job_id(any_database, "other", only=True) == made.jobs[0]


async def test_what_names_nothing_or_several_is_refused(any_database: Database, made: Made) -> None:
    """The message names the ids that begin so, or where to look. What all ids share is no beginning, and % is a character."""
    several = f"several jobs begin with {made.common}: {', '.join(sorted(made.jobs))}; write more of the id"
    with pytest.raises(errors.ValidationError, match=re.escape(several)):
        await lookup.job_id(any_database, made.common)
    for text in ("job_", "job_%", "job_zz", "birds", "", "%", "_"):
        with pytest.raises(errors.NotFoundError, match="pictrawl jobs ls"):
            await lookup.job_id(any_database, text)
    with pytest.raises(errors.NotFoundError, match="no dataset ds_0x; pictrawl datasets ls"):
        await lookup.dataset_id(any_database, "ds_0x")


async def test_dead_units_are_found_by_their_beginning(any_database: Database) -> None:
    """Only dead ones; any other text is left to the command, which says what it is."""
    job_id = await builders.add_job(any_database, 3)
    first, second, alive = await builders.unit_ids(any_database, job_id)
    for unit_id in (first, second):
        await builders.change(any_database, tables.units, unit_id, state=UnitState.DEAD)
    common = os.path.commonprefix([first, second])  # noqa: RUF071 - of characters
    with pytest.raises(errors.ValidationError, match=f"several dead units begin with {common}: {first}, {second}; write more of the id"):
        await lookup.dead_unit_id(any_database, common)
    await builders.change(any_database, tables.units, second, state=UnitState.DONE)
    assert await lookup.dead_unit_id(any_database, common) == first
    for text in (first, alive, alive[:-1], "unit_", "unit_zz"):
        assert await lookup.dead_unit_id(any_database, text) == text


async def test_keys_in_force_are_found_by_their_beginning(any_database: Database) -> None:
    """A revoked key makes no beginning ambiguous."""
    for key_id in ("key_aa01", "key_aa02"):
        await api_keys.add_key(any_database, key_id=key_id, user_id="local", name="x", digest="0")
    with pytest.raises(errors.ValidationError, match="several API keys begin with key_aa: key_aa01, key_aa02; write more of the id"):
        await lookup.key_id(any_database, "key_aa")
    await api_keys.revoke_key(any_database, "key_aa01")
    assert [await lookup.key_id(any_database, text) for text in ("key_a", "key_aa01", "key_")] == ["key_aa02", "key_aa01", "key_"]


async def test_chunks_of_a_job_are_found_by_their_beginning(any_database: Database) -> None:
    """Those of other jobs are none."""
    job_id = await builders.add_job(any_database)
    async with any_database.write() as connection:
        for chunk_id in ("chunk_01", "chunk_02"):
            await connection.execute(insert(tables.chunks).values(id=chunk_id, job_id=job_id, size=1, created_at=1.0))
    assert await lookup.chunk_id(any_database, job_id, "chunk_02") == "chunk_02"
    assert await lookup.chunk_id(any_database, await builders.add_job(any_database), "chunk_02") is None
    with pytest.raises(errors.ValidationError, match="several chunks begin with chunk_0: chunk_01, chunk_02; write more of the id"):
        await lookup.chunk_id(any_database, job_id, "chunk_0")


async def add_version(db: Database, dataset_id: str, lineage_id: str, number: str) -> None:
    """Record a version of a dataset."""
    parts = dict(zip(("major", "minor", "patch"), map(int, number.split(".")), strict=True))
    facts = {"lineage_id": lineage_id, "kind": "build", "digest": "0" * 64, "images": 1, "size_bytes": 1}
    async with db.write() as connection:
        await versions.add(connection, {"dataset_id": dataset_id} | parts | facts)


async def test_a_name_means_the_newest_version(any_database: Database) -> None:
    """Not a dataset that is being made of it; each version has its name, beside the id of any of them."""
    async with any_database.write() as connection:
        first = await datasets.create_dataset(connection, user_id="local", name="c@ts")
        second, third = [await datasets.create_dataset(connection, user_id="local", name="c@ts", lineage_id=first) for _ in range(2)]
    for place, dataset_id in enumerate((first, second, third)):
        await builders.change(any_database, tables.datasets, dataset_id, created_at=float(place))
    for dataset_id, number in ((first, "1.0.0"), (second, "1.1.0"), (second, "2.0.0")):
        await add_version(any_database, dataset_id, first, number)
    assert await lookup.dataset_id(any_database, "c@ts") == second
    assert await lookup.dataset_id(any_database, "c@ts@1.0.0") == first
    assert await lookup.dataset_id(any_database, f"{third}@2.0.0") == second
    with pytest.raises(errors.NotFoundError, match=r"version 1\.1\.0 of c@ts was changed in place"):
        await lookup.dataset_id(any_database, "c@ts@1.1.0")
    with pytest.raises(errors.NotFoundError, match=r"has no version 3\.0\.0"):
        await lookup.dataset_id(any_database, "c@ts@3.0.0")
    with pytest.raises(errors.NotFoundError, match=r"no dataset dogs@1\.0\.0"):
        await lookup.dataset_id(any_database, "dogs@1.0.0")
    with pytest.raises(errors.ValidationError, match=f"c@ts has 3 versions: {third}, c@ts@2.0.0, c@ts@1.0.0"):
        await lookup.dataset_id(any_database, "c@ts", only=True)


async def test_a_rebuilt_dataset_takes_no_name_away(any_database: Database, made: Made) -> None:
    """It has the name of the original, which may be here; where it is the only one, the name means it."""
    spec = {"lock": {"key": "lists/list_1.jsonl", "packing": "", "digest": "0" * 64, "header": {}}}
    for name in ("100% birds", "cats"):
        async with any_database.write() as connection:
            rebuilt = await datasets.create_dataset(connection, user_id="local", name=name)
        job_id = await builders.add_job(any_database, dataset_id=rebuilt)
        await builders.change(any_database, tables.jobs, job_id, spec=spec)
        assert await lookup.dataset_id(any_database, name) == (made.datasets[1] if name != "cats" else rebuilt)
