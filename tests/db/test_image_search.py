"""Tests of app.db.image_search: each page is read in the order of an index, whatever it is narrowed down to."""

import itertools
import random
from typing import Any

import pytest
from sqlalchemy import select

from app.db import Database, image_search, images, tables
from app.db.image_search import Choice, Fingerprint, ImageFilter
from app.domain import ImageState, Reason
from tests.db.builders import add_images, add_job, all_rows, explained, pages_of, statements
from tests.db.test_images import dataset_of, set_all

STATES = [ImageState.KEPT, ImageState.FAILED, ImageState.DEFERRED]


async def fill(db: Database) -> tuple[list[str], list[str]]:
    """Three datasets of two users, the second with two jobs, and images of every kind among them. Returns datasets and jobs."""
    jobs = [await add_job(db, user_id=user) for user in ("ann", "bob", "bob")]
    datasets = [await dataset_of(db, job) for job in jobs]
    jobs.append(await add_job(db, user_id="bob", dataset_id=datasets[1]))
    rng = random.Random(9)
    for turn, job in itertools.product(range(3), jobs):
        for image_id in await add_images(db, job, 8, first=100 * turn + 1000 * jobs.index(job)):
            state = rng.choice(STATES)
            reason = rng.choice([Reason.TIMEOUT, Reason.HTTP_404]) if state is not ImageState.KEPT else None
            await set_all(db, [image_id], state=state, reason=reason, label=rng.choice(["cat", None]))
    return datasets, jobs


async def test_pages_hold_what_a_look_at_every_row_finds(any_database: Database) -> None:
    """Any filter, of any user or none, in pages of three: the same images in the same order, without gap and without overlap."""
    datasets, jobs = await fill(any_database)
    rows = await all_rows(any_database, select(tables.images).order_by(tables.images.c.id))
    owners = dict(zip(datasets, ("ann", "bob", "bob"), strict=True))
    choices: dict[str, list[Any]] = {
        "job_id": [None, jobs[0], jobs[3], "job_none"],
        "dataset_id": [None, datasets[1], "ds_none"],
        "state": [None, *STATES[:2]],
        "reason": [None, Reason.TIMEOUT],
        "label": [None, "cat"],
    }
    for number, values in enumerate(itertools.product(*choices.values())):
        wanted = dict(zip(choices, values, strict=True))
        user_id = (None, "ann", "bob", "carol", "bob")[number % 5]  # each choice meets each user, as no number of choices has the factor 5
        expected = [
            row.id
            for row in rows
            if user_id in (None, owners[row.dataset_id]) and all(v in (None, getattr(row, k)) for k, v in wanted.items())
        ]
        pages = pages_of(lambda **k: image_search.page(any_database, **k), wanted=ImageFilter(**wanted), user_id=user_id, limit=3)
        assert [image.id for page in [page async for page in pages] for image in page.items] == expected


async def test_many_datasets_are_looked_into_a_few_at_a_time(any_database: Database) -> None:
    """A user with more places than one statement takes still gets the first images, and the next."""
    ids: list[int] = []
    for _ in range(image_search.PLACES // len(ImageState) + 2):
        ids += await add_images(any_database, await add_job(any_database, user_id="ann"), 2)
    pages = pages_of(lambda **k: image_search.page(any_database, ImageFilter(), user_id="ann", **k), limit=5)
    assert [image.id for page in [page async for page in pages] for image in page.items] == ids


BY_STATE = "ix_images_job (job_id=? AND state=? AND id>?)"
BY_SOURCE = "ix_images_source (dataset_id=? AND source=? AND id>?)"
BY_DATASET = "ix_images_dataset (dataset_id=? AND state=? AND id>?)"


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ({"job_id": "JOB"}, BY_STATE),
        ({"job_id": "JOB", "state": ImageState.FAILED}, BY_STATE),
        ({"job_id": "JOB", "dataset_id": "DS"}, BY_STATE),
        ({"job_id": "JOB", "state": ImageState.FAILED, "source": "list"}, BY_STATE),
        ({"job_id": "JOB", "reason": Reason.TIMEOUT}, "ix_images_reason (dataset_id=? AND reason=? AND id>?)"),
        ({"job_id": "JOB", "state": ImageState.FAILED, "reason": Reason.TIMEOUT}, "ix_images_reason (dataset_id=? AND reason=? AND id>?)"),
        ({"job_id": "JOB", "source": "list"}, BY_SOURCE),
        ({"dataset_id": "DS", "source": "list"}, BY_SOURCE),
        ({"dataset_id": "DS", "label": "cat"}, "ix_images_label (dataset_id=? AND state=? AND label=? AND id>?)"),
        ({"dataset_id": "DS", "split": "train"}, "ix_images_split (dataset_id=? AND state=? AND split=? AND id>?)"),
        ({"dataset_id": "DS", "state": ImageState.KEPT, "label": "cat"}, "ix_images_label (dataset_id=? AND state=? AND label=? AND id>?)"),
        ({"dataset_id": "DS"}, BY_DATASET),
        ({"dataset_id": "DS", "state": ImageState.KEPT}, BY_DATASET),
        ({"dataset_id": "DS", "reason": Reason.TIMEOUT}, "ix_images_reason (dataset_id=? AND reason=? AND id>?)"),
        ({"state": ImageState.KEPT}, BY_DATASET),
        ({"reason": Reason.TIMEOUT}, "ix_images_reason (dataset_id=? AND reason=? AND id>?)"),
        ({}, BY_DATASET),
    ],
)
async def test_a_page_is_read_in_the_order_of_an_index(database: Database, wanted: dict[str, Any], index: str) -> None:
    """The API's pages: each place is a range of one index that begins at the cursor, and at most a page of each is read."""
    job_id = await add_job(database, user_id="ann")
    names = {"JOB": job_id, "DS": await dataset_of(database, job_id)}
    ids = await add_images(database, job_id, 1)
    with statements(database) as seen:
        cursor = image_search.paging.encode(ids[0])
        chosen = ImageFilter(**{name: names.get(value, value) for name, value in wanted.items()})
        await image_search.page(database, chosen, user_id="ann", cursor=cursor)
    plan = await explained(database, next(statement for statement in seen if "FROM images" in statement))
    searched = [step.split(" INDEX ")[1] for step in plan.splitlines() if step.startswith("SEARCH images USING") and " INDEX " in step]
    assert set(searched) == {index}, plan
    assert "SCAN images" not in plan


async def test_images_are_found_by_key_and_digest(any_database: Database) -> None:
    """By the key of a URL's normal form, and by the digest of the original or of what leaves; newest first."""
    first, second = await add_job(any_database), await add_job(any_database)
    (a,), (b,) = await add_images(any_database, first), await add_images(any_database, second)
    (c,) = await add_images(any_database, second, first=9)
    await set_all(any_database, [a], sha256="aa" * 32)
    await set_all(any_database, [c], out_sha256="aa" * 32)
    one, other = (images.url_digest(f"https://example.org/{number}.jpg") for number in (0, 9))
    for keys, ids in (([one], [b, a]), ([other], [c]), ([one, other], [c, b, a]), ([], [])):
        assert [image.id for image in await image_search.by_url_keys(any_database, keys)] == ids
    for digest, ids in (("aa" * 32, [c, a]), ("bb" * 32, [])):
        assert [image.id for image in await image_search.by_digest(any_database, digest)] == ids


WANTED = [ImageState.VALID, ImageState.KEPT]


@pytest.fixture
async def three(any_database: Database) -> tuple[str, list[int]]:
    """A dataset of two images with bytes, one valid and one kept, and one without."""
    job_id = await add_job(any_database)
    ids = await add_images(any_database, job_id, 3, changes={"state": ImageState.VALID})
    known: dict[str, Any] = {"phash": "0f" * 8, "width": 30, "height": 20, "size_bytes": 99, "group_id": "g", "label": "cat"}
    await set_all(any_database, ids[:1], sha256="aa" * 32, state=ImageState.KEPT, **known)
    await set_all(any_database, ids[1:2], sha256="bb" * 32)
    return await dataset_of(any_database, job_id), ids


async def test_fingerprints_are_of_images_with_bytes(any_database: Database, three: tuple[str, list[int]]) -> None:
    """By id, in the wanted states, with pixels and size as numbers even where they are not known."""
    dataset_id, (a, b, _no_bytes) = three
    async with any_database.read() as connection:
        found = await image_search.fingerprints(connection, dataset_id, WANTED)
        kept = await image_search.fingerprints(connection, dataset_id, [ImageState.KEPT])
    assert found == [
        Fingerprint(a, ImageState.KEPT, "aa" * 32, "0f" * 8, 600, 99, label="cat"),
        Fingerprint(b, ImageState.VALID, "bb" * 32, None, 0, 0),
    ]
    assert kept == found[:1]


async def test_fingerprints_have_the_label_that_would_be_kept(any_database: Database, three: tuple[str, list[int]]) -> None:
    """The job's, else its own, else that of its search; colours and redirects are there where they are known."""
    dataset_id, (a, _b, _no_bytes) = three
    await set_all(any_database, [a], colour_grid="01ff" * 24, final_url="https://moved.example/x.jpg")
    async with any_database.read() as connection:
        first, second = await image_search.fingerprints(connection, dataset_id, WANTED, search_labels={"srch_a": "dog"})
        assert [item.label for item in (first, second)] == ["cat", "dog"]
        assert (first.colours, second.colours) == (b"\x01\xff" * 24, None)
        assert (first.redirected_to is not None, second.redirected_to) == (True, None)
        assert [item.label for item in await image_search.fingerprints(connection, dataset_id, WANTED, label="pet")] == ["pet", "pet"]


async def test_rejected_images_are_compared_only_if_their_picture_was_the_reason(
    any_database: Database, three: tuple[str, list[int]]
) -> None:
    """One whose own URL has several labels was decided before: it stays, and contradicts any label."""
    dataset_id, (a, b, _no_bytes) = three
    for reason, other_id, expected in (
        (Reason.PLACEHOLDER, b, [(False, "cat")]),
        (Reason.LABEL_CONFLICT, b, [(False, "cat")]),
        (Reason.LABEL_CONFLICT, None, [(True, image_search.SEVERAL_LABELS)]),
        (Reason.BLURRY, None, []),
    ):
        await set_all(any_database, [a], state=ImageState.REJECTED, reason=reason, duplicate_of=other_id)
        async with any_database.read() as connection:
            found = await image_search.fingerprints(connection, dataset_id, [ImageState.REJECTED])
        assert [(item.is_settled, item.label) for item in found] == expected


async def test_links_are_read_by_id(any_database: Database, three: tuple[str, list[int]]) -> None:
    """With what is known of the URL before its bytes."""
    _, (a, b, _no_bytes) = three
    await set_all(any_database, [a], caption="a cat", final_url="https://moved.example/x.jpg")
    async with any_database.read() as connection:
        found = {link.id: link for link in await image_search.links(connection, [a, b])}
    assert (found[a].caption, found[a].label, found[a].final_url) == ("a cat", "cat", "https://moved.example/x.jpg")
    assert (found[b].caption, found[b].label, found[b].final_url) == (None, None, None)


async def test_an_image_without_a_group_is_its_own(any_database: Database, three: tuple[str, list[int]]) -> None:
    """What stays in one split is what its source called a group, else the same bytes."""
    dataset_id, (a, b, _no_bytes) = three
    async with any_database.read() as connection:
        found = await image_search.choices(connection, dataset_id, WANTED)
    kept, valid = found
    assert kept == Choice(a, "g", "cat", "srch_a", 0, is_kept=True, has_group=True, sha256="aa" * 32)
    assert valid == Choice(b, "bb" * 32, None, "srch_a", 1, is_kept=False, sha256="bb" * 32)


async def test_pages_lose_nothing(any_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the last page is full, half full or empty, every image comes once, by id whatever its state."""
    monkeypatch.setattr(image_search, "PAGE", 2)
    job_id = await add_job(any_database)
    ids = await add_images(any_database, job_id, 7, changes={"state": ImageState.VALID, "sha256": "cc" * 32})
    await set_all(any_database, ids[1:7:2], state=ImageState.KEPT)
    dataset_id = await dataset_of(any_database, job_id)
    async with any_database.read() as connection:
        for states, expected in ((WANTED, ids), ([ImageState.VALID], ids[::2]), ([ImageState.DUPLICATE], [])):
            assert [item.id for item in await image_search.fingerprints(connection, dataset_id, states)] == expected
            assert [item.id for item in await image_search.choices(connection, dataset_id, states)] == expected


async def test_a_scan_reads_in_the_order_of_an_index(database: Database) -> None:
    """Nothing is sorted, and no row is read that does not belong to the page."""
    with statements(database) as seen:
        async with database.read() as connection:
            await image_search.fingerprints(connection, "ds_1", WANTED)
    plans = [await explained(database, statement) for statement in seen if "FROM images" in statement]
    assert plans == ["SEARCH images USING INDEX ix_images_dataset (dataset_id=? AND state=? AND id>?)"] * 2
