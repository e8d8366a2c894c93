"""What is removed on request leaves rows, store and exports, and does not return: not by its URL, not by its bytes, not as a near copy."""

import hashlib
import io
from collections.abc import Callable, Sequence

import pytest
from PIL import Image, ImageEnhance, ImageFilter
from sqlalchemy import update

import errors
from app.datasets.forget import MAX_ASKED, TombstoneIndex, forget, release_blobs
from app.db import datasets, images, tables, tombstones, versions
from app.db.image_search import Likeness
from app.db.tombstones import EVERYBODY, NewTombstone, Tombstone
from app.domain import ImageState, Reason, StoredImage
from app.storage import MissingObject, paths
from tests.images.samples import encode, photo
from tests.origin import Origin, image
from tests.workers.bench import Bench
from tests.workers.stages.test_reuse import built, pictures, requested, rows_of, serve

EDITS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "low_quality": lambda picture: picture,
    "half_size": lambda picture: picture.resize((picture.width // 2, picture.height // 2)),
    "brighter": lambda picture: ImageEnhance.Brightness(picture).enhance(1.15),
    "pale": lambda picture: ImageEnhance.Color(picture).enhance(0.6),
    "grey": lambda picture: picture.convert("L").convert("RGB"),
    "soft": lambda picture: picture.filter(ImageFilter.GaussianBlur(1)),
    "contrast": lambda picture: ImageEnhance.Contrast(picture).enhance(1.2),
    "cropped": lambda picture: picture.crop((2, 2, picture.width - 2, picture.height - 2)),
}
"""Eight edits that leave a near copy of a picture, as the perceptual hash sees it."""


def edited(body: bytes) -> list[bytes]:
    """Near copies of a picture, one of each edit."""
    picture = Image.open(io.BytesIO(body)).convert("RGB")
    copies = []
    for edit in EDITS.values():
        buffer = io.BytesIO()
        edit(picture).save(buffer, "JPEG", quality=60)
        copies.append(buffer.getvalue())
    return copies


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


async def has_blob(bench: Bench, sha256: str | None) -> bool:
    try:
        await bench.resources.store.get(paths.blob(str(sha256)))
    except MissingObject:
        return False
    return True


async def forgotten_rows(bench: Bench, job_id: str) -> list[StoredImage]:
    return [row for row in await rows_of(bench, job_id) if row.state is ImageState.TOMBSTONED]


async def test_a_forgotten_url_leaves_the_store_its_datasets_and_their_exports(bench: Bench, origin: Origin) -> None:
    """Of two builds that share it; the other images of both stay."""
    urls = serve(origin, pictures(4))
    jobs = [await built(bench, urls[:3]), await built(bench, urls[1:])]
    gone = (await rows_of(bench, jobs[0]))[1]
    found = await forget(bench.resources, [urls[1]], user_id="local", reason="a person asked")
    assert (dict(found.images), found.tombstones, found.blobs) == ({"url": 2}, 1, 1)
    assert len(found.datasets) == len(found.exports) == 2
    assert not await has_blob(bench, gone.sha256)
    for job_id in jobs:
        (row,) = await forgotten_rows(bench, job_id)
        assert (row.url, row.reason, row.sha256, row.phash, row.split) == (urls[1], Reason.TOMBSTONED, None, None, None)
        assert str(row.detail).startswith("removed on request (tomb_")
        assert str(row.detail).endswith(": a person asked")
        assert sum(other.state is ImageState.KEPT for other in await rows_of(bench, job_id)) == 2
        (made,) = await datasets.exports_of_job(bench.db, job_id)
        assert (made.state, made.prefix) == ("withdrawn", None)
        assert [item async for item in bench.resources.store.list(paths.export(made.id))] == []


async def test_an_export_without_the_image_stays(bench: Bench, origin: Origin) -> None:
    """A dataset that left the image out has exports of its version without it; those of an earlier version may hold it."""
    urls = serve(origin, pictures(3))
    job_id = await built(bench, urls)
    row, other, _ = await rows_of(bench, job_id)
    async with bench.db.write() as connection:
        await images.update_many(connection, [{"id": row.id, "state": ImageState.REJECTED, "reason": Reason.OVER_TARGET}])
    would = await forget(bench.resources, [str(row.id)], user_id="local", dry_run=True)
    assert (would.datasets, would.exports) == ([row.dataset_id], [])
    (made,) = await datasets.exports_of_job(bench.db, job_id)
    async with bench.db.write() as connection:
        await connection.execute(update(tables.exports).values(version="0.9.0"))
    would = await forget(bench.resources, [str(row.id)], user_id="local", dry_run=True)
    assert [export.id for export in would.exports] == [made.id]
    assert len((await forget(bench.resources, [str(other.id)], user_id="local", dry_run=True)).exports) == 1


async def test_a_dataset_without_the_image_is_another_version(bench: Bench, origin: Origin) -> None:
    """A major one, as a record was removed; one that kept a copy of it only as a duplicate stays what it is."""
    urls = serve(origin, pictures(3))
    job_id = await built(bench, urls)
    dataset_id = (await bench.job(job_id)).dataset_id
    await forget(bench.resources, urls[:1], user_id="local")
    found = await versions.of_lineage(bench.db, dataset_id)
    assert [(version.number, version.kind, version.images) for version in found] == [("2.0.0", "forget", 2), ("1.0.0", "build", 3)]
    assert found[0].changes == {"added": 0, "removed": 1, "changed": 0, "relabelled": 0, "resplit": 0}
    await forget(bench.resources, urls[1:], user_id="local")
    assert [version.number for version in await versions.of_lineage(bench.db, dataset_id)] == ["2.0.0", "1.0.0"]


@pytest.mark.exhaustive
async def test_a_forgotten_picture_does_not_return_in_ten_builds(bench: Bench, origin: Origin) -> None:
    """Nor do eight edits of it, nor its bytes under another URL; a different picture is kept every time."""
    (body, other) = pictures(2)
    (first,) = serve(origin, [body])
    await built(bench, [first])
    await forget(bench.resources, [first], user_id="local")
    requested(origin)
    copies = [origin.script(f"/copy-{number}.jpg", image(copy)) for number, copy in enumerate([body, *edited(body)])]
    fresh = origin.script("/other.jpg", image(other))
    for number in range(10):
        job_id = await built(bench, [first, *copies, fresh], refresh=number % 2 == 1)
        rows = await rows_of(bench, job_id)
        assert [row.url for row in rows if row.state is ImageState.KEPT] == [fresh]
        assert {row.state for row in rows if row.url != fresh} == {ImageState.TOMBSTONED}
        assert {row.sha256 for row in rows if row.url != fresh} == {None}
    assert "/0.jpg" not in requested(origin)
    held = {item.key.rpartition("/")[2] async for item in bench.resources.store.list("blobs/")}
    assert held == {digest(other)}


async def test_near_copies_that_are_there_go_too_unless_exactly_this_was_meant(bench: Bench, origin: Origin) -> None:
    """A duplicate that was left out would come back in its place."""
    (body,) = pictures(1)
    urls = serve(origin, [body, *edited(body)[:2]])
    job_id = await built(bench, urls, dedupe="none")
    would = await forget(bench.resources, [digest(body)], user_id="local", is_exact=True, dry_run=True)
    assert (dict(would.images), would.blobs) == ({"url": 1}, 0)
    assert await forgotten_rows(bench, job_id) == []
    exact = await forget(bench.resources, [digest(body)], user_id="local", is_exact=True)
    assert dict(exact.images) == {"url": 1}
    assert len(await forgotten_rows(bench, job_id)) == 1
    near = await forget(bench.resources, [str((await rows_of(bench, job_id))[1].id)], user_id="local")
    assert dict(near.images) == {"url": 1, "near": 1}
    assert {row.state for row in await rows_of(bench, job_id)} == {ImageState.TOMBSTONED}


async def test_a_dry_run_finds_the_same_and_removes_nothing(bench: Bench, origin: Origin) -> None:
    """Neither a row nor bytes; no tombstone is left."""
    urls = serve(origin, pictures(2))
    job_id = await built(bench, urls)
    would = await forget(bench.resources, urls[:1], user_id="local", dry_run=True)
    assert (dict(would.images), len(would.exports)) == ({"url": 1}, 1)
    assert await forgotten_rows(bench, job_id) == []
    assert (await tombstones.page(bench.db)).items == []
    did = await forget(bench.resources, urls[:1], user_id="local")
    assert (did.images, did.datasets) == (would.images, would.datasets)


async def test_what_was_never_downloaded_is_not_requested(bench: Bench, origin: Origin) -> None:
    """However its URL is spelled; a digest is recognised once the bytes came, and they are not stored."""
    bodies = pictures(3)
    urls = serve(origin, bodies)
    found = await forget(bench.resources, [urls[0].replace("http://", "HTTP://") + "#top", digest(bodies[1]).upper()], user_id="local")
    assert (found.tombstones, found.images.total()) == (2, 0)
    job_id = await built(bench, urls)
    states = [row.state for row in await rows_of(bench, job_id)]
    assert states == [ImageState.TOMBSTONED, ImageState.TOMBSTONED, ImageState.KEPT]
    assert "/0.jpg" not in requested(origin)
    assert not await has_blob(bench, digest(bodies[1]))


async def test_a_tombstone_of_one_user_leaves_others_alone_and_one_of_everybody_does_not(bench: Bench, origin: Origin) -> None:
    """Bytes stay while somebody's row needs them."""
    urls = serve(origin, pictures(1))
    mine, theirs = await built(bench, urls), await built(bench, urls, user_id="ann")
    sha256 = (await rows_of(bench, mine))[0].sha256
    found = await forget(bench.resources, urls, user_id="local")
    assert (found.images.total(), found.blobs) == (1, 0)
    assert await forgotten_rows(bench, theirs) == []
    assert await has_blob(bench, sha256)
    everybody = await forget(bench.resources, urls, user_id=EVERYBODY)
    assert (everybody.images.total(), everybody.blobs) == (1, 1)
    again = await built(bench, urls, user_id="bob")
    assert len(await forgotten_rows(bench, again)) == 1


async def test_asking_twice_changes_nothing_more(bench: Bench, origin: Origin) -> None:
    """The first tombstone stays, with its reason."""
    urls = serve(origin, pictures(1))
    await built(bench, urls)
    await forget(bench.resources, urls, user_id="local", reason="first")
    second = await forget(bench.resources, urls, user_id="local", reason="second")
    assert (second.images.total(), second.exports) == (0, [])
    found = (await tombstones.page(bench.db, user_id="local")).items
    assert {item.reason for item in found if item.phash} == {"first"}


async def test_a_tombstone_that_was_taken_back_holds_no_more(bench: Bench, origin: Origin) -> None:
    """What it named is requested again."""
    urls = serve(origin, pictures(1))
    await forget(bench.resources, urls, user_id="local")
    (item,) = (await tombstones.page(bench.db)).items
    with pytest.raises(errors.NotFoundError, match="no tombstone"):
        await tombstones.get(bench.db, item.id, user_id="ann")
    await tombstones.remove(bench.db, item.id)
    job_id = await built(bench, urls)
    assert [row.state for row in await rows_of(bench, job_id)] == [ImageState.KEPT]


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        (["cat"], errors.ValidationError, "'cat' is no URL, digest or image"),
        (["999"], errors.NotFoundError, "image 999"),
        (["9" * 40], errors.NotFoundError, "image"),
        (["0"] * (MAX_ASKED + 1), errors.ValidationError, "at most 100,000 at once"),
    ],
)
async def test_what_names_nothing_is_refused(bench: Bench, asked: Sequence[str], error: type[Exception], words: str) -> None:
    """Before anything is written."""
    with pytest.raises(error, match=words):
        await forget(bench.resources, asked, user_id="local")
    assert (await tombstones.page(bench.db)).items == []


def likeness(number: int, **values: str | None) -> Likeness:
    given: dict[str, str | None] = {"url_key": f"u{number}", "sha256": f"s{number}", "phash": None, "out_sha256": None}
    return Likeness(id=number, dataset_id="ds_1", state=ImageState.KEPT, **(given | values))


def tombstone(**values: str | None) -> Tombstone:
    given: dict[str, str | None] = {"url": None, "url_key": None, "sha256": None, "phash": None, "reason": None}
    return Tombstone(id="tomb_1", user_id="local", image_id=None, created_at=0.0, **(given | values))


def test_images_are_found_by_url_then_digest_then_hash() -> None:
    """A digest of an exported form counts; 6 bits are near, 7 are not."""
    index = TombstoneIndex([tombstone(url_key="u1"), tombstone(sha256="s2"), tombstone(phash="0" * 16)], 6)
    found = index.find(
        [
            likeness(1, sha256="s2", phash="0" * 16),
            likeness(2, phash="0" * 16),
            likeness(3, out_sha256="s2"),
            likeness(4, phash="000000000000003f"),
            likeness(5, phash="000000000000007f"),
            likeness(6),
        ]
    )
    assert [(item.image.id, item.how) for item in found] == [(1, "url"), (2, "digest"), (3, "digest"), (4, "near")]
    assert TombstoneIndex([], 6).find([likeness(1, phash="0" * 16)]) == []


async def test_bytes_that_a_row_needs_are_not_released(bench: Bench, origin: Origin) -> None:
    """Nor is anything said of those that are not there."""
    job_id = await built(bench, serve(origin, pictures(1)))
    (row,) = await rows_of(bench, job_id)
    assert await release_blobs(bench.db, bench.resources.store, [str(row.sha256)]) == 0
    assert await has_blob(bench, row.sha256)


async def test_alike_tombstones_are_one(bench: Bench) -> None:
    """Those that differ in what they name are not."""
    new = [NewTombstone(url="u", url_key="k"), NewTombstone(url="u", url_key="k", reason="again"), NewTombstone(sha256="d")]
    async with bench.db.write() as connection:
        assert len(await tombstones.add(connection, "local", new)) == 2
        assert len(await tombstones.add(connection, "local", [*new, NewTombstone(url="u", url_key="k", phash="0" * 16)])) == 3
    assert len((await tombstones.page(bench.db)).items) == 3


def test_encode_is_a_photo() -> None:
    """The edits are of a picture with enough detail for its hash."""
    assert len(set(edited(encode(photo(seed=1))))) == len(EDITS)
