"""Artworks of the Art Institute of Chicago, and the ranges of ids by which a deep search is read."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

import errors
from app.discovery.licences.policy import LicencePolicy
from app.discovery.sources import artic
from app.discovery.sources.source import Part, Place, Query, SourceOptions
from app.domain import Candidate, ListProblem
from tests.discovery.fakes import ScriptedClient

IIIF = "https://www.artic.edu/iiif/2"
ARTWORK: dict[str, Any] = {
    "id": 111_628,
    "title": "Nighthawks",
    "image_id": "831a05de-d3f6-f4fa-a460-23008dd58dda",
    "is_public_domain": True,
    "copyright_notice": None,
    "thumbnail": {"width": 3_000, "height": 1_500, "alt_text": "People at the counter of a <em>diner</em>."},
    "artist_id": 34_996,
    "artist_title": "Edward Hopper",
    "subject_titles": ["night", "diner"],
    "classification_titles": ["oil on canvas", "night"],
    "style_titles": None,
    "artwork_type_title": "Painting",
}


def read(side_px: int | None = 640, **changed: Any) -> Candidate | ListProblem | None:
    return artic.read_artwork(ARTWORK | changed, iiif=IIIF, side_px=side_px)


def candidate(side_px: int | None = 640, **changed: Any) -> Candidate:
    found = read(side_px, **changed)
    assert isinstance(found, Candidate)
    return found


def width_of(found: Candidate) -> str:
    return found.url.rpartition("/full/")[2].partition(",")[0]


def source(client: Any, *, contact: str = "me@example.org") -> artic.Artic:
    return artic.Artic(client, SourceOptions("https://api.artic.edu", contact=contact))


def test_artwork_in_the_public_domain() -> None:
    """The museum's flag means CC0; alternative text is the caption."""
    found = candidate()
    assert found.url == f"{IIIF}/831a05de-d3f6-f4fa-a460-23008dd58dda/full/1686,/0/default.jpg"
    assert (found.width, found.height) == (1686, 843)
    assert (found.license, found.license_confidence, found.license_raw) == ("CC0-1.0", "derived", "is_public_domain: true")
    assert found.license_url == "https://creativecommons.org/publicdomain/zero/1.0/"
    assert found.page_url == "https://www.artic.edu/artworks/111628"
    assert (found.creator, found.creator_url) == ("Edward Hopper", "https://www.artic.edu/artists/34996")
    assert found.attribution == "“Nighthawks” by Edward Hopper via Art Institute of Chicago (CC0-1.0)"
    assert found.caption == "People at the counter of a diner."
    assert found.tags == ("night", "diner", "oil on canvas", "Painting")
    assert found.group_id == "artic:111628"


@pytest.mark.parametrize(("side_px", "width"), [(50, "200"), (101, "400"), (300, "600"), (421, "843"), (423, "1686"), (None, "1686")])
def test_artwork_in_the_smallest_width_that_serves(side_px: int | None, width: str) -> None:
    """The shorter side decides; 3,000 by 1,500 pixels are half as high as wide."""
    assert width_of(candidate(side_px)) == width


def test_artwork_under_copyright() -> None:
    """It is served in 843 pixels at most, and reserved where the notice says so."""
    found = candidate(is_public_domain=False, copyright_notice="© 2018 The Estate")
    assert width_of(found) == "843"
    assert found.license == "LicenseRef-AllRightsReserved"
    assert found.license_raw == "is_public_domain: false | © 2018 The Estate"
    unknown = candidate(is_public_domain=False)
    assert (unknown.license, unknown.license_confidence, unknown.license_raw) == (None, "unknown", "is_public_domain: false")


@pytest.mark.parametrize("flag", ["true", 1, None, {}, "yes"])
def test_artwork_when_the_flag_is_no_truth_value(flag: object) -> None:
    """Only ``true`` frees an image."""
    assert candidate(is_public_domain=flag).license is None


@pytest.mark.parametrize(
    ("thumbnail", "width"),
    [(None, "843"), ({"width": 3_000}, "843"), ({"width": "x", "height": 9}, "843"), ({"width": 500, "height": 400}, "500")],
)
def test_artwork_whose_size_is_unknown_or_small(thumbnail: object, width: str) -> None:
    """The recommended width is asked for, and never more than the image has."""
    assert width_of(candidate(thumbnail=thumbnail)) == width


def test_artwork_without_an_image() -> None:
    """It is none of the kind that is taken; a record without an id is a problem."""
    assert read(image_id=None) is None
    for broken in ({"id": "x"}, {"id": None}, {"id": True}):
        assert isinstance(read(**broken), ListProblem)
    assert isinstance(artic.read_artwork(None, iiif=IIIF, side_px=640), ListProblem)


async def test_search_asks_for_what_is_free_where_only_that_is_taken() -> None:
    """The query is JSON in one parameter, as the documentation asks; the contact stands in a header of the museum's."""
    reply = {"data": [], "pagination": {"total": 0}, "config": {"iiif_url": "javascript:alert(1)"}}
    for policy, filters in (
        (LicencePolicy.of(["open"]), [{"exists": {"field": "image_id"}}, {"term": {"is_public_domain": True}}]),
        (LicencePolicy.of(["open"], "keep"), [{"exists": {"field": "image_id"}}]),
    ):
        client = ScriptedClient(reply)
        assert (await source(client).read(Query("cat & dog", policy), Place())).items == []
        ((url, params),) = client.requests
        assert url == "https://api.artic.edu/api/v1/artworks/search"
        assert json.loads(params["params"]) | {"fields": ""} == {
            "q": "cat & dog", "query": {"bool": {"filter": filters}}, "fields": "", "page": 1, "limit": 100
        }  # fmt: skip


async def test_search_when_a_later_page_is_refused() -> None:
    """A 403 of the first page is a refusal; one of a later page is the depth, and ends the search with what was found."""
    refused = errors.AuthenticationError("x", status=403)
    page = {"data": [ARTWORK], "pagination": {"total": 900}}
    first, last = [found async for found in source(ScriptedClient(page, refused)).pages(Query("cat"), None)]
    assert (len(first.candidates), last.cursor) == (1, None)
    assert "no more" in last.note
    with pytest.raises(errors.AuthenticationError):
        await source(ScriptedClient(refused)).read(Query("cat"), Place())


@pytest.mark.parametrize("part", [{"from": "x"}, {"from": "1", "below": "-2"}])
async def test_search_when_a_part_is_not_ours(part: Part) -> None:
    """Nothing is requested for a range that is none."""
    client = ScriptedClient()
    with pytest.raises(errors.ValidationError):
        await source(client).read(Query("cat"), Place(part))
    assert client.requests == []


class Ids:
    """A museum with artworks of these ids. It gives out 1,000 results for one search: by relevance, or by id where all are as relevant."""

    def __init__(self, ids: Sequence[int], *, is_sorted: bool = False) -> None:
        self.ids = sorted(ids) if is_sorted else sorted(ids, key=lambda number: number * 2_654_435_761 % 2**32)
        self.calls = 0

    async def fetch_json(self, url: str, *, params: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        self.calls += 1
        asked = json.loads(params["params"])
        bounds = next((one["range"]["id"] for one in asked["query"]["bool"]["filter"] if "range" in one), {})
        found = [at for at in self.ids if bounds.get("gte", 0) <= at < bounds.get("lt", 10**9)]
        first, limit = (asked["page"] - 1) * asked["limit"], asked["limit"]
        assert first + limit <= 1_000
        rows = [ARTWORK | {"id": at, "image_id": f"{at}"} for at in found[first : first + limit]]
        return {"data": rows, "pagination": {"total": len(found)}}


@pytest.mark.parametrize(
    "ids",
    [
        range(29, 290_000, 29),
        [*range(100_000, 104_000), *range(200_000, 280_000, 20)],
        [*range(29, 290_000, 29), *range(300_000, 302_000)],
    ],
    ids=["10,000 evenly", "8,000 in clusters", "some newer than all we know"],
)
async def test_search_past_the_depth(ids: Sequence[int]) -> None:
    """All artworks are found once, by at most 1.2 times the pages that they fill."""
    client = Ids(ids)
    pages = [page async for page in source(client).pages(Query("cat"), None)]
    found = [candidate.group_id for page in pages for candidate in page.candidates]
    assert sorted(map(str, found)) == sorted(f"artic:{at}" for at in ids)
    assert client.calls <= 1.2 * len(ids) / 100


async def test_search_past_the_depth_when_results_come_by_id() -> None:
    """The first page tells nothing of the others, so ranges of equal length are read."""
    ids = range(29, 290_000, 29)
    client = Ids(ids, is_sorted=True)
    found = [candidate async for page in source(client).pages(Query("cat"), None) for candidate in page.candidates]
    assert len(found) == len({one.group_id for one in found}) == len(ids)
    assert client.calls <= 1.2 * len(ids) / 100


async def test_search_when_the_total_is_wrong() -> None:
    """A range of one id is not divided, and no division has more than 32 parts."""
    divide = source(ScriptedClient()).divide
    assert divide(Query("cat"), {"from": "5", "below": "6"}, 2_000) == ()
    parts = divide(Query("cat"), {}, 10**15)
    assert len(parts) == 32
    assert parts[-1] == {"from": parts[-2]["below"]}
