"""Rows of one URL become one image with all they say."""

import json
from typing import Any

import pytest

from app.boxes import MAX_BOXES
from app.db import image_search, new_id
from app.db.image_search import ImageFilter
from app.db.list_rows import ListRow
from app.domain import ImageState, Reason, StoredImage
from app.jobs.settle import resolve_spec
from app.jobs.submit import submit_build
from app.spec import JobRequest, ListSpec
from app.storage import paths
from tests.images.samples import encode, photo
from tests.origin import Origin, image
from tests.workers.bench import Bench
from workers.stages import merge_rows
from workers.stages.merge_rows import MergedImage


def merged(*rows: tuple[list[str], list[str], dict[str, Any]]) -> MergedImage:
    """An image with these rows: captions, labels, further columns."""
    item = MergedImage(1, ImageState.VALID)
    for line, row in enumerate(rows, 2):
        item.add(ListRow(1, ImageState.VALID, line, *row))
    return item


def test_captions_are_kept_once_and_further_columns_at_their_first_value() -> None:
    """In the order of the list."""
    item = merged((["a"], [], {"x": 1}), (["b", "a"], [], {"x": 2, "y": 3}), ([], [], {}))
    texts = {"caption": "a", "captions": ["a", "b"], "label": None, "labels": None}
    assert item.change() == texts | {"id": 1, "extra": {"x": 1, "y": 3}, "boxes": None}


def box(label: str, x: float) -> dict[str, Any]:
    """A box as the database has it."""
    return {"label": label, "x": x, "y": 0.0, "width": 5.0, "height": 5.0}


def test_boxes_of_all_rows_are_kept_once() -> None:
    """A list may have a row for each box, and a row twice; there is a limit."""
    item = MergedImage(1, ImageState.VALID)
    for boxes in ([box("a", 1.0)], [box("b", 2.0), box("a", 1.0)], [], [box("b", 2.0)]):
        item.add(ListRow(1, ImageState.VALID, 2, [], [], {}, boxes))
    assert item.change()["boxes"] == [box("a", 1.0), box("b", 2.0)]
    item.add(ListRow(1, ImageState.VALID, 3, [], [], {}, [box("c", float(x)) for x in range(MAX_BOXES)]))
    assert len(item.boxes) == MAX_BOXES


async def test_a_list_with_a_row_for_each_box_gives_its_image_all_of_them(bench: Bench, origin: Origin) -> None:
    """Whether the rows are on one page or not, and also where they say nothing else."""
    origin.script("/0.jpg", image(encode(photo())))
    origin.script("/1.jpg", image(encode(photo(seed=1))))
    rows: list[dict[str, Any]] = [
        {"url": origin.url(f"/{number % 2}.jpg"), "boxes": [box(f"c{number}", float(number))]} for number in range(1, 6)
    ]
    found = await built(bench, rows)
    assert found["0.jpg"].boxes == [box("c2", 2.0), box("c4", 4.0)]
    assert found["1.jpg"].boxes == [box("c1", 1.0), box("c3", 3.0), box("c5", 5.0)]


@pytest.mark.parametrize(
    ("labels", "kept", "conflict"),
    [
        ([["cat"], ["cat"], []], ["cat"], None),
        ([["Cat"], ["cat"]], ["Cat"], None),
        ([["cat", "dog"], ["dog", "cat"]], ["cat", "dog"], None),
        ([[], ["cat"], ["dog"]], ["cat", "dog"], "cat (line 3), dog (line 4)"),
        ([["cat"], ["cat", "dog"]], ["cat", "dog"], "cat (line 2), cat+dog (line 3)"),
    ],
)
def test_labels_differ_only_between_rows(labels: list[list[str]], kept: list[str], conflict: str | None) -> None:
    """Several labels in one row belong together; case makes no difference; a row without a label contradicts none."""
    item = merged(*(([], row, {}) for row in labels))
    change = item.change()
    assert (change["label"], change["labels"]) == (kept[0], kept if len(kept) > 1 else None)
    assert item.conflict == (conflict and f"the list gives its URL different labels: {conflict}")


def test_a_hostile_list_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Captions beyond the limit are counted, not held; labels in a message are few."""
    monkeypatch.setattr(merge_rows, "MAX_TEXTS", 3)
    item = merged(*(([f"c{number}"], [], {}) for number in range(5)))
    assert (list(item.captions), item.dropped) == (["c0", "c1", "c2"], 2)
    monkeypatch.setattr(merge_rows, "MAX_TEXTS", 100)
    assert str(merged(*(([], [f"l{number}"], {}) for number in range(9))).conflict).endswith("l4 (line 6) and 4 more")


async def built(bench: Bench, rows: list[dict[str, Any]], **request: Any) -> dict[str, StoredImage]:
    """Build a list; return its images by the last part of their URLs."""
    key = paths.url_list(new_id("list"), ".jsonl")
    await bench.context.store.put(key, "\n".join(map(json.dumps, rows)).encode())
    spec = resolve_spec(bench.resources, JobRequest(urls=["x"], **request), url_list=ListSpec(key=key, suffix=".jsonl"))
    job_id = (await submit_build(bench.resources, spec, name="rows")).job_id
    await bench.drive()
    found = (await image_search.page(bench.db, ImageFilter(job_id=job_id))).items
    return {item.url.rsplit("/", 1)[1]: item for item in found}


@pytest.mark.parametrize("policy", ["keep-first", "drop"])
async def test_a_build_keeps_every_caption_and_reports_labels_that_differ(bench: Bench, origin: Origin, policy: str) -> None:
    """Rows of one URL far apart, in other spellings of it, among more rows than a page has; dropped only if the job says so."""
    for number in range(2):
        origin.script(f"/{number}.jpg", image(encode(photo(seed=number))))
    rows: list[dict[str, Any]] = [{"url": origin.url("/0.jpg"), "caption": "a", "score": 1}, {"url": origin.url("/1.jpg"), "label": "x"}]
    rows += [{"url": "ftp://nothing", "caption": "again"}] * 210
    rows += [{"url": origin.url("/0.jpg#f"), "label": "cat", "caption": "b"}, {"url": origin.url("/0.jpg"), "label": "dog", "more": True}]
    found = await built(bench, rows, label_conflicts=policy)
    one, other = found["0.jpg"], found["1.jpg"]
    assert (one.caption, one.captions, one.label, one.labels) == ("a", ["a", "b"], "cat", ["cat", "dog"])
    assert one.extra == {"score": 1, "more": True}
    assert (one.state, one.reason) == ((ImageState.KEPT, ImageState.REJECTED)[policy == "drop"], Reason.LABEL_CONFLICT)
    assert str(one.detail).endswith("the list gives its URL different labels: cat (line 213), dog (line 214)")
    assert (other.state, other.reason, other.label, other.captions) == (ImageState.KEPT, None, "x", None)


async def test_a_label_of_the_job_settles_labels_that_differ(bench: Bench, origin: Origin) -> None:
    """--label replaces those of the list."""
    origin.script("/0.jpg", image(encode(photo(seed=0))))
    rows = [{"url": origin.url("/0.jpg"), "label": label} for label in ("cat", "dog")]
    one = (await built(bench, rows, label="pet", label_conflicts="drop"))["0.jpg"]
    assert (one.state, one.reason, one.label) == (ImageState.KEPT, None, "pet")
