"""Decisions of people in a lock: they travel without who made them, and later versions of the rebuilt dataset obey."""

from pathlib import Path

import pytest

import errors
from app.datasets import lock
from app.datasets.lock_format import LockedRejection, Sealer
from app.datasets.lock_reading import check_lock, read_rejections
from app.datasets.review import Decision
from app.datasets.update import submit_into
from app.db import reviews
from app.jobs.settle import resolve_spec, store_urls
from app.review_actions import ReviewAction
from app.spec import JobRequest
from tests.datasets import locks
from tests.datasets.test_review import BLANK, KEEP, REJECT, bench, by_path, decided, labelled, library, seen
from tests.datasets.test_update import Library, built, updated
from tests.workers.bench import Bench, open_bench

__all__ = ["bench", "library"]


async def reviewed(bench: Bench, library: Library) -> str:
    """A dataset in which one is rejected, one kept against its check, one relabelled."""
    library.pictures["/blank.png"] = BLANK
    dataset_id = await built(bench, labelled([*library.hang(range(5)), library.url("/blank.png")]))
    rows = await by_path(bench, dataset_id)
    await decided(bench, dataset_id, REJECT, seen(rows["0.jpg"]))
    await decided(bench, dataset_id, KEEP, seen(rows["blank.png"]))
    await decided(bench, dataset_id, Decision(ReviewAction.RELABEL, "dog"), seen(rows["1.jpg"]))
    return dataset_id


async def written(bench: Bench, dataset_id: str, path: Path) -> Path:
    await lock.write_lock((await lock.open_lock(bench.resources, dataset_id)).lines(), path)
    return path


async def test_a_rebuild_and_its_update_obey(bench: Bench, library: Library, tmp_path: Path) -> None:
    """Elsewhere: what was rejected is a row that is never fetched, a check takes nothing out, labels stay; nobody is named."""
    dataset_id = await reviewed(bench, library)
    path = await written(bench, dataset_id, tmp_path / "cats.lock")
    assert b"local" not in path.read_bytes()
    async with open_bench(tmp_path / "elsewhere", {"fetch.per_host": 16}) as other:
        job_id = await locks.rebuilt(other, check_lock(path, "1.0"))
        rebuilt = (await other.job(job_id)).dataset_id
        rows = await by_path(other, rebuilt)
        assert (await other.job(job_id)).state == "succeeded"
        assert {name: (row.state.value, row.reviewed) for name, row in rows.items()} == {
            "0.jpg": ("rejected", "reject"),
            "1.jpg": ("kept", "relabel"),
            "2.jpg": ("kept", None),
            "3.jpg": ("kept", None),
            "4.jpg": ("kept", None),
            "blank.png": ("kept", "keep"),
        }
        assert (rows["1.jpg"].label, rows["0.jpg"].reviewed_by, rows["0.jpg"].fetched_at) == ("dog", None, None)
        assert [(item.action, item.user_id) for item in await reviews.of_image(other.db, rows["0.jpg"].id)] == [("reject", None)]
        library.pictures["/copy.jpg"] = library.pictures["/0.jpg"]
        new = [*labelled([library.url("/0.jpg"), library.url("/copy.jpg"), *library.hang([9])])]
        more = await into(other, rebuilt, new)
        now = await by_path(other, more)
        assert {name: now[name].state.value for name in ("0.jpg", "copy.jpg", "9.jpg", "blank.png")} == {
            "0.jpg": "rejected",
            "copy.jpg": "rejected",
            "9.jpg": "kept",
            "blank.png": "kept",
        }
        again = (await other.job(await updated(other, more))).dataset_id
        now = await by_path(other, again)
        assert (now["blank.png"].state, now["0.jpg"].state, now["1.jpg"].label) == ("kept", "rejected", "dog")


async def into(bench: Bench, dataset_id: str, urls: list[object]) -> str:
    """Add a list to a dataset; return the id of the version that was made."""
    request = JobRequest(urls=urls)
    spec = resolve_spec(bench.resources, request, url_list=await store_urls(bench.resources, urls))  # type: ignore[arg-type]
    made = await submit_into(bench.resources, request, spec, dataset_id)
    await bench.drive()
    return (await bench.job(made.job_id)).dataset_id


async def test_a_lock_without_reviews_is_as_before(bench: Bench, library: Library, tmp_path: Path) -> None:
    """Earlier versions of pictrawl read it; one with reviews says that it needs a newer one."""
    dataset_id = await built(bench, library.hang(range(2)))
    plain = await written(bench, dataset_id, tmp_path / "plain.lock")
    assert plain.read_bytes().startswith(b'{"pictrawl_lock":1,')
    assert b'"review"' not in plain.read_bytes()
    rows = await by_path(bench, dataset_id)
    await decided(bench, dataset_id, KEEP, seen(rows["0.jpg"]))
    assert (await written(bench, dataset_id, tmp_path / "reviewed.lock")).read_bytes().startswith(b'{"pictrawl_lock":2,')


async def test_what_was_taken_out_is_sealed(bench: Bench, library: Library, tmp_path: Path) -> None:
    """A changed, a broken or a displaced line is found before anything is made of the lock."""
    path = await written(bench, await reviewed(bench, library), tmp_path / "cats.lock")
    checked = check_lock(path, "1.0")
    (rejected,) = read_rejections(path, "", skip=checked.header.images)
    assert str(rejected.url).endswith("/0.jpg")
    lines = path.read_bytes().splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith(b'{"rejected"'))
    for changed, words in (
        (lines[:at] + lines[at + 1 :], "was changed: its lines have the digest"),
        ([*lines[:at], lines[at].replace(b'"sha256":"', b'"sha256":"z'), *lines[at + 1 :]], f"line {at + 1} sha256"),
        ([*lines[: at - 1], lines[at], lines[at - 1], *lines[at + 1 :]], "is an image behind those that a person took out"),
        ([*lines[:at], b'{"rejected":1}', *lines[at + 1 :]], "must be an object"),
    ):
        path.write_bytes(b"\n".join(changed) + b"\n")
        with pytest.raises(errors.ValidationError, match=words):
            check_lock(path, "1.0")


@pytest.mark.parametrize("place", [{}, {"url": "https://h.test/a.jpg", "path": "a.jpg"}, {"url": "no url"}, {"path": "../a.jpg"}])
def test_a_rejection_has_one_usable_place(place: dict[str, str]) -> None:
    """A URL or a path inside the folder."""
    with pytest.raises(ValueError, match=r"must have a url or a path|is no URL|leads out"):
        LockedRejection(**place, sha256="a" * 64, source="list", at=1.0)  # type: ignore[arg-type]
    assert Sealer().rejection(LockedRejection(path="a.jpg", sha256="a" * 64, source="folder", at=1.0)).startswith(b'{"rejected":')
