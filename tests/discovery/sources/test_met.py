"""Objects of the Met: a request for each, and a firewall that says 403."""

from collections.abc import Mapping
from typing import Any

import pytest

import errors
from app.discovery.sources import met
from app.discovery.sources.source import Place, Query, SourceOptions
from app.domain import Candidate, ListProblem
from tests.discovery.fakes import ScriptedClient

CDN = "https://images.metmuseum.org/CRDImages/as"
OBJECT: dict[str, Any] = {
    "objectID": 45_734,
    "isPublicDomain": True,
    "primaryImage": f"{CDN}/original/DP251139.jpg",
    "primaryImageSmall": f"{CDN}/web-large/DP251139.jpg",
    "additionalImages": [f"{CDN}/original/DP251138.jpg", f"{CDN}/original/DP251139.jpg", "", None, 7],
    "department": "Asian Art",
    "objectName": "Hanging scroll",
    "classification": "Paintings",
    "title": "Quail and Millet",
    "culture": "Japan",
    "artistDisplayName": "Kiyohara Yukinobu",
    "artistWikidata_URL": "https://www.wikidata.org/wiki/Q11560527",
    "objectDate": "late 17th century",
    "medium": "Hanging scroll; ink and color on silk",
    "rightsAndReproduction": "",
    "objectURL": "https://www.metmuseum.org/art/collection/search/45734",
    "tags": [{"term": "Birds"}, None],
}


def read(side_px: int | None = 640, **changed: Any) -> list[Candidate | ListProblem | None]:
    return list(met.read_object(OBJECT | changed, side_px=side_px))


def candidates(side_px: int | None = 640, **changed: Any) -> list[Candidate]:
    return [one for one in read(side_px, **changed) if isinstance(one, Candidate)]


def source(client: Any) -> met.Met:
    return met.Met(client, SourceOptions("https://collectionapi.metmuseum.org"))


def test_object() -> None:
    """Every image once, all in one group, CC0 by the museum's flag."""
    found = candidates()
    assert [one.url for one in found] == [f"{CDN}/original/DP251139.jpg", f"{CDN}/original/DP251138.jpg"]
    assert {one.group_id for one in found} == {"met:45734"}
    first = found[0]
    assert (first.license, first.license_confidence, first.license_raw) == ("CC0-1.0", "derived", "isPublicDomain: true")
    assert first.creator_url == "https://www.wikidata.org/wiki/Q11560527"
    assert first.caption == "Quail and Millet, late 17th century, Hanging scroll; ink and color on silk, Japan"
    assert first.tags == ("Birds", "Hanging scroll", "Paintings", "Asian Art")
    assert [one.url for one in first.renditions] == [f"{CDN}/web-large/DP251139.jpg", f"{CDN}/original/DP251139.jpg"]


@pytest.mark.parametrize(("side_px", "name"), [(300, "web-large"), (301, "original"), (None, "original")])
def test_object_in_the_smaller_size_where_it_surely_serves(side_px: int | None, name: str) -> None:
    """Sizes are not stated; of further images only the original is."""
    found = candidates(side_px)
    assert found[0].url == f"{CDN}/{name}/DP251139.jpg"
    assert found[1].url == f"{CDN}/original/DP251138.jpg"


def test_object_that_is_not_free() -> None:
    """Mostly there are no images; where there are, the notice counts."""
    assert read(isPublicDomain=False, primaryImage="", primaryImageSmall="", additionalImages=[]) == [None]
    found = candidates(isPublicDomain=False, rightsAndReproduction="© 2018 Artists Rights Society")
    assert {one.license for one in found} == {"LicenseRef-AllRightsReserved"}
    assert found[0].license_raw == "isPublicDomain: false | © 2018 Artists Rights Society"
    assert {one.license for one in candidates(isPublicDomain="true")} == {None}


def test_object_that_is_broken() -> None:
    """No id, or addresses that cannot be requested: a problem."""
    for broken in ({"objectID": None}, {"primaryImage": "javascript:x", "primaryImageSmall": "", "additionalImages": None}):
        (problem,) = read(**broken)
        assert isinstance(problem, ListProblem)


@pytest.mark.parametrize("field", ["title", "tags", "culture", "artistDisplayName", "objectURL", "department", "additionalImages"])
@pytest.mark.parametrize("value", [None, 7, {"a": 1}, [7], [[]]])
def test_object_when_a_field_has_another_type(field: str, value: object) -> None:
    """It counts as absent; the image is taken."""
    assert candidates(**{field: value})[0].url == f"{CDN}/original/DP251139.jpg"


@pytest.mark.parametrize("gone", [errors.NotFoundError("x", status=404), errors.BadRequestError("x", status=400)])
async def test_search_when_an_object_is_gone(gone: errors.PictrawlError) -> None:
    """An id that the search lists and that is no object costs itself only."""
    found = await source(ScriptedClient({"total": 3, "objectIDs": [1, 2, "odd"]}, gone, OBJECT)).read(Query("cat"), Place())
    first, *_, last = found.items
    assert isinstance(first, ListProblem)
    assert (first.text, str(gone.status) in first.message) == ("1", True)
    assert isinstance(last, ListProblem)
    assert (found.results, len(found.items)) == (3, 4)


@pytest.mark.parametrize("error", [errors.RateLimitError("x", status=403, retry_after_s=60), errors.AuthenticationError("x", status=403)])
async def test_search_when_the_firewall_answers_for_an_object(error: errors.PictrawlError) -> None:
    """It is not the object's problem: the page is read again later. The client knows that a 403 of this source is a reason to wait."""
    assert met.Met.info.throttles_with_403
    with pytest.raises(type(error)):
        await source(ScriptedClient({"total": 1, "objectIDs": [1]}, error)).read(Query("cat"), Place())


@pytest.mark.parametrize("reply", [{"total": 1}, {"total": "many", "objectIDs": []}, {"total": 1, "objectIDs": {}}, {"objectIDs": [1]}, {}])
async def test_search_when_the_answer_has_another_shape(reply: dict[str, Any]) -> None:
    """No ids and ``null`` are nothing found; another shape is an error, but for ids that are missing where none are found."""
    if reply == {"total": 1}:
        assert (await source(ScriptedClient(reply)).read(Query("cat"), Place())).items == []
        return
    with pytest.raises(errors.ProtocolError):
        await source(ScriptedClient(reply)).read(Query("cat"), Place())


async def test_search_asks_with_the_words_last() -> None:
    """The documentation's examples do; another order finds other objects."""
    client = ScriptedClient({"total": 0, "objectIDs": None})
    await source(client).read(Query("cat"), Place({"department": "11"}, "40"))
    ((url, params),) = client.requests
    assert url.endswith("/public/collection/v1.1/search")
    assert list(params.items()) == [("hasImages", "true"), ("departmentId", "11"), ("offset", "40"), ("limit", "20"), ("q", "cat")]


class Departments:
    """12,345 objects in three departments."""

    def __init__(self) -> None:
        self.ids = {"1": range(1, 4_001), "9": range(4_001, 11_001), "21": range(11_001, 12_346)}
        self.searches = self.objects = 0

    async def fetch_json(self, url: str, *, params: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        self.searches += "/objects/" not in url
        self.objects += "/objects/" in url
        if "/objects/" in url:
            number = int(url.rpartition("/")[2])
            return OBJECT | {"objectID": number, "primaryImage": f"{CDN}/original/{number}.jpg", "additionalImages": []}
        asked = params.get("departmentId")
        ids = [at for name, some in self.ids.items() if asked in (None, name) for at in some]
        offset, limit = int(params["offset"]), int(params["limit"])
        return {"total": len(ids), "objectIDs": ids[offset : offset + limit] or None}


async def test_search_past_the_depth() -> None:
    """It is read by department, and no object is asked for before the search is divided."""
    client = Departments()
    found = [one async for page in source(client).pages(Query("cat"), None) for one in page.candidates]
    assert len(found) == len({one.group_id for one in found}) == 12_345
    assert client.objects == 12_345
    assert client.searches + client.objects <= 1.2 * (12_345 + 12_345 / 20)
