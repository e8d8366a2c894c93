"""Which images are kept, and where they go."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image
from sqlalchemy import select

from app.db import tables
from app.db.earlier_splits import ClusterMember
from app.db.image_search import Choice
from app.domain import ImageState
from app.jobs.submit import submit_retry
from app.quotas import Quota
from tests.images.samples import encode, photo
from tests.origin import Origin, image, reply
from tests.workers.bench import Bench, open_bench
from workers.stages.label import assign_splits, by_cluster, choose, spelled_apart, splits_before, with_decided


def item(number: int, search: str, rank: int) -> Choice:
    """A valid image."""
    return Choice(number, f"{number:064x}", None, search, rank)


def test_all_are_kept_without_a_target() -> None:
    """No target, no choice."""
    found = [item(number, "a", number) for number in range(3)]
    assert choose(found, None) == (found, [])
    assert choose(found, Quota(3)) == (found, [])


def test_searches_take_turns() -> None:
    """A keyword with many images does not crowd out one with few; each gives its best ranked first."""
    found = [item(number, "many", number) for number in range(10)] + [item(20, "few", 1), item(21, "few", 0)]
    kept, over = choose(found, Quota(5))
    assert [entry.id for entry in kept] == [0, 21, 1, 20, 2]
    assert len(over) == 7


def test_keywords_take_turns_and_their_searches_within_them() -> None:
    """Two sources of one keyword give no more than the one of another; the remainder goes to the first keyword."""
    found = [item(number, "cat a", number) for number in range(5)] + [item(10 + number, "cat b", number) for number in range(5)]
    found += [item(20 + number, "dog", number) for number in range(5)]
    kept, _ = choose(found, Quota(5), {"dog": 0, "cat a": 1, "cat b": 1})
    assert [entry.id for entry in kept] == [20, 0, 21, 10, 22]


def test_no_keyword_is_kept_beyond_its_number() -> None:
    """Labels have their number each: what one lacks, another does not fill."""
    found = [item(number, "cat", number) for number in range(9)] + [item(20, "dog", 0), item(30, "pup", 0)]
    kept, over = choose(found, Quota(8, ["cat", "dog", "dog"], per_label=4), {"cat": 0, "dog": 1, "pup": 2})
    assert [entry.id for entry in kept] == [0, 20, 30, 1, 2, 3]
    assert len(over) == 5


def test_splits_of_the_list_stand_unless_the_job_asks_for_shares() -> None:
    """An image without a split follows its group, else it is for training."""
    found = [
        Choice(number, group, None, "a", number, split)
        for number, (group, split) in enumerate([("g", None), ("g", "val"), ("h", "test"), ("i", None), ("g", None)])
    ]
    assert assign_splits(found, [None] * 5, {"train": 1.0}, 0) == ["val", "val", "test", "train", "val"]
    assert set(assign_splits(found, [None] * 5, {"val": 1.0}, 0)) == {"val"}


def test_the_first_of_a_cluster_names_its_group() -> None:
    """It stays the first when the cluster grows, whichever of them is kept; a group that the source gave wins."""
    found = [Choice(5, "five", None, None, 0), Choice(6, "album", None, None, 0, has_group=True), Choice(7, "seven", None, None, 0)]
    members = [ClusterMember(2, 5, "two"), ClusterMember(3, 6, "three"), ClusterMember(4, 5, "four"), ClusterMember(9, 7, "nine")]
    assert [entry.group for entry in by_cluster(found, members)] == ["two", "album", "seven"]


def test_a_group_had_the_splits_of_all_its_images() -> None:
    """In an earlier dataset, or in this one where it was labelled before; an image that was left out now counts too."""
    found = [
        Choice(1, "a", None, None, 0, "test", is_kept=True),
        Choice(2, "b", None, None, 0, "test"),
        Choice(3, "c", None, None, 0),
        Choice(4, "c", None, None, 0),
        Choice(5, "d", None, None, 0),
    ]
    members = [ClusterMember(8, 5, "x"), ClusterMember(9, 77, "y")]
    shares = {"train": 0.5, "test": 0.5}
    before = {3: "test", 4: "train", 8: "test", 9: "train"}
    assert splits_before(found, members, before, shares, is_again=False) == {"a": "test", "c": "train", "d": "test"}
    assert splits_before(found, members, before, shares, is_again=True) == {"a": "test", "b": "test", "c": "train", "d": "test"}


SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}


async def splits_of(bench: Bench, urls: list[str], **request: Any) -> dict[str, str]:
    """Build a list; the split of each kept URL."""
    job_id = await bench.submit(urls, splits=SHARES, **request)
    await bench.drive()
    columns = tables.images.c
    query = select(columns.url, columns.split).where(columns.job_id == job_id, columns.state == ImageState.KEPT)
    async with bench.db.read() as connection:
        return {row.url: row.split for row in (await connection.execute(query)).all()}


async def test_a_dataset_that_grows_keeps_its_splits(tmp_path: Path, origin: Origin) -> None:
    """In the same workspace, whatever the order of the list; in a fresh one the same list gives the same splits."""
    urls = [origin.script(f"/{number}.jpg", image(encode(photo(96, 96, seed=number)))) for number in range(30)]
    async with open_bench(tmp_path / "one") as bench:
        first = await splits_of(bench, urls[:24])
        grown = await splits_of(bench, random.Random(1).sample(urls, len(urls)))
    assert (len(first), len(grown)) == (24, 30)
    assert {url: grown[url] for url in first} == first
    assert set(first.values()) == set(SHARES)
    async with open_bench(tmp_path / "two") as bench:
        assert await splits_of(bench, urls[:24]) == first


async def test_images_that_a_retry_brings_move_nothing(bench: Bench, origin: Origin) -> None:
    """They join the dataset of the first job."""
    bodies = [encode(photo(96, 96, seed=number)) for number in range(16)]
    urls = [origin.script(f"/{at}.jpg", *([reply(500)] if at % 4 == 0 else []), image(body)) for at, body in enumerate(bodies)]
    first = await splits_of(bench, urls)
    async with bench.db.read() as connection:
        job_id = (await connection.execute(select(tables.jobs.c.id))).scalar_one()
    await submit_retry(bench.resources, job_id)
    await bench.drive()
    async with bench.db.read() as connection:
        rows = (await connection.execute(select(tables.images.c.url, tables.images.c.split))).all()
    after = {row.url: row.split for row in rows}
    assert (len(first), len(after)) == (12, 16)
    assert {url: after[url] for url in first} == first
    assert None not in after.values()


async def test_a_better_copy_takes_the_split_of_the_image_that_it_replaces(bench: Bench, origin: Origin) -> None:
    """A cluster that gets a larger member keeps its split, also where its first member is another one in the longer list."""
    pictures = [photo(96, 96, seed=number, noise=0.0) for number in range(20)]
    small = [origin.script(f"/{at}.png", image(encode(picture, "PNG"))) for at, picture in enumerate(pictures)]
    scaled = (picture.resize((192, 192), Image.Resampling.BICUBIC) for picture in pictures)
    large = [origin.script(f"/{at}-large.png", image(encode(picture, "PNG"))) for at, picture in enumerate(scaled)]
    first = await splits_of(bench, small)
    assert set(first.values()) == set(SHARES)
    grown = await splits_of(bench, [*large, *small])
    assert set(grown) == {url.replace(".png", "-large.png") for url in first}, "the larger ones are kept"
    assert {url.replace("-large.png", ".png"): split for url, split in grown.items()} == first


def test_labels_that_differ_by_case_are_named() -> None:
    """They stay different classes, which is seldom meant."""
    assert spelled_apart(["Cat", "cat", None, "dog", "cat", "STRASSE", "Straße"]) == ["Cat", "STRASSE", "Straße", "cat"]
    assert (
        spelled_apart([f"{word}{number}" for number in range(30) for word in "aA"]) == [f"A{n}" for n in sorted(map(str, range(30)))][:20]
    )
    assert spelled_apart(["a", "b"]) == []


def test_what_a_person_keeps_is_beyond_the_target() -> None:
    """It is kept beside the others, in the order of ids; without such an image nothing changes."""
    first, second = Choice(1, "a", "cat", None, 0), Choice(2, "b", "cat", None, 1)
    decided = replace(second, is_decided=True)
    assert with_decided([first], {2: "target"}, [first, decided]) == ([first, decided], {})
    assert with_decided([decided], {1: "target"}, [first, decided]) == ([decided], {1: "target"})
    assert with_decided([first], {2: "target"}, [first, second]) == ([first], {2: "target"})
