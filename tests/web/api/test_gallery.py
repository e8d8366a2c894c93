"""Tests of app.web.api.gallery: a dataset's images by any filter and order, with counts."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.domain import ImageState, Reason
from app.gallery.fields import CATEGORIES
from app.gallery.filters import RANGED
from app.gallery.gallery import Gallery
from app.resources import Resources
from app.web.api.gallery import GalleryQuery
from tests.web import seeds
from tests.web.conftest import Connect


@pytest.fixture
async def path(resources: Resources) -> str:
    """The images of a dataset: three kept ones and one that failed."""
    job = await seeds.build(resources)
    for number, label in enumerate(["lynx", "lynx", None]):
        values: dict[str, Any] = {"label": label, "width": 100 * (number + 1), "measures": {"sharpness": 3.0 - number}}
        await seeds.image(resources, job, f"{number}.jpg", bytes([number]), **values)
    await seeds.image(resources, job, "f.jpg", state=ImageState.FAILED, reason=Reason.HTTP_404)
    return f"/v1/datasets/{job.dataset_id}/images"


async def test_images_are_filtered_sorted_counted_and_paged(client: httpx.AsyncClient, path: str) -> None:
    """Each facet says what another choice in it would find."""
    query = {"label": ["lynx", ""], "max_width": 300, "where": "sharpness > 0", "text": "JPG", "sort": "-width", "limit": 2}
    first = (await client.get(path, params=query)).json()
    assert [image["width"] for image in first["items"]] == [300, 200]
    assert (first["total"], first["is_counting"], first["is_current"]) == (3, False, True)
    assert first["facets"]["label"] == {"values": [{"value": "lynx", "count": 2}, {"value": None, "count": 1}], "more": 0}
    assert set(first["facets"]) == set(CATEGORIES)
    assert first["as_of"].endswith("Z")
    rest = (await client.get(path, params=query | {"cursor": first["next_cursor"], "counts": False})).json()
    assert ([image["width"] for image in rest["items"]], rest["total"], rest["facets"], rest["next_cursor"]) == ([100], None, None, None)
    assert [image["reason"] for image in (await client.get(path, params={"reason": "http_404"})).json()["items"]] == ["http_404"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"state": "lost"}, "state: must be spare, pending"),
        ({"reason": "bad luck"}, "reason: "),
        ({"colour": "red"}, "colour: is not known here"),
        ({"min_widht": 3}, "min_widht: is not known here; did you mean min_width?"),
        ({"min_width": "wide"}, "min_width: must be a number"),
        ({"min_width": "nan"}, "min_width: must be a finite number"),
        ({"min_width": 5, "max_width": 4}, "min_width 5 is above max_width 4"),
        ({"label": [str(n) for n in range(101)]}, "label: must have at most 100 items"),
        ({"label": "a\0"}, "label: must not contain NUL"),
        ({"where": "title ~ fox"}, "where asks for title"),
        ({"where": "width >"}, "position 8"),
        ({"sort": "beauty"}, "sort 'beauty' does not exist; there is id, width"),
        ({"sort": "width", "cursor": "x"}, "cursor is not one that this list returned"),
        ({"limit": 0}, "limit: must be at least 1"),
    ],
)
async def test_what_is_no_filter_is_refused_by_name(client: httpx.AsyncClient, path: str, query: dict[str, Any], words: str) -> None:
    """With its value, and what there is."""
    answer = await client.get(path, params=query)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


def test_every_number_has_its_two_limits() -> None:
    """A new measure is not forgotten in the query."""
    assert {name for name in GalleryQuery.model_fields if name[:4] in ("min_", "max_")} == {
        f"{end}_{n}" for end in ("min", "max") for n in RANGED
    }
    assert set(CATEGORIES) <= set(GalleryQuery.model_fields)


async def test_a_large_dataset_is_shown_while_it_is_counted(
    app: FastAPI, client: httpx.AsyncClient, resources: Resources, path: str
) -> None:
    """What no index answers is to be asked for again, with a time."""
    async with Gallery(resources.db, resources.settings.workspace.path / "other", small=2) as app.state.gallery:
        shown = (await client.get(path, params={"state": "kept"})).json()
        assert (len(shown["items"]), shown["is_counting"], shown["total"], shown["as_of"]) == (3, True, None, None)
        refused = await client.get(path, params={"text": "lynx"})
        assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (503, "not-ready", "2")


async def test_a_dataset_that_is_removed_leaves_no_columns(client: httpx.AsyncClient, resources: Resources, path: str) -> None:
    """Nor do images that are removed on request."""
    place = resources.settings.workspace.path / "cache" / "columns"
    image = (await client.get(path)).json()["items"][0]
    assert len(list(place.iterdir())) == 1
    assert (await client.post("/v1/tombstones", json={"targets": [image["url"]], "dry_run": True})).status_code == 200
    assert len(list(place.iterdir())) == 1
    assert (await client.post("/v1/tombstones", json={"targets": [image["url"]]})).status_code == 200
    assert list(place.iterdir()) == []
    assert (await client.get(path, params={"state": "tombstoned"})).json()["total"] == 1
    await seeds.end(resources, image["job_id"], seeds.JobState.SUCCEEDED)
    assert (await client.delete(path.removesuffix("/images"))).status_code == 204
    assert list(place.iterdir()) == []


async def test_a_gallery_is_its_owners(app: FastAPI, connect: Connect, resources: Resources) -> None:
    """Another user finds no dataset, whether or not its columns are there."""
    job = await seeds.build(resources, "ann")
    await seeds.image(resources, job, "a.jpg", b"aa")
    path = f"/v1/datasets/{job.dataset_id}/images"
    ann, bob = [connect(app, await seeds.key_of(resources, name)) for name in ("ann", "bob")]
    assert (await ann.get(path)).json()["total"] == 1
    assert (await bob.get(path)).status_code == 404
