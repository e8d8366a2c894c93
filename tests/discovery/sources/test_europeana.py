"""Items of Europeana, its errors, and the key that its answers repeat."""

from dataclasses import astuple
from typing import Any

import pytest

import errors
from app.discovery.licences.policy import LicencePolicy
from app.discovery.sources import europeana
from app.discovery.sources.source import Place, Query, SourceOptions
from app.domain import Candidate, ListProblem
from tests.discovery.fakes import ScriptedClient

KEY = "hush-hush"
IMAGE = "https://museum.test/a/b.jpg"
PREVIEW = "https://api.europeana.eu/thumbnail/v2/url.json?uri=https%3A%2F%2Fmuseum.test%2Fa%2Fb.jpg&type=IMAGE"
ITEM: dict[str, Any] = {
    "id": "/90402/SK_A_2344",
    "guid": f"https://www.europeana.eu/item/90402/SK_A_2344?utm_campaign={KEY}",
    "link": f"https://api.europeana.eu/record/90402/SK_A_2344.json?wskey={KEY}",
    "title": ["The Milkmaid", "Het melkmeisje"],
    "dcCreator": ["http://data.europeana.eu/agent/60455", "Johannes Vermeer"],
    "dcDescription": ["A <i>maid</i>"],
    "dataProvider": ["Rijksmuseum"],
    "rights": ["http://creativecommons.org/publicdomain/mark/1.0/"],
    "edmIsShownBy": [IMAGE],
    "edmPreview": [PREVIEW],
    "edmConceptPrefLabelLangAware": {"en": ["Painting"], "nl": ["Schilderij"]},
}


def read(side_px: int | None = 640, **changed: Any) -> Candidate | ListProblem | None:
    return europeana.read_item(ITEM | changed, key=KEY, side_px=side_px)


def candidate(side_px: int | None = 640, **changed: Any) -> Candidate:
    found = read(side_px, **changed)
    assert isinstance(found, Candidate)
    return found


def source(client: ScriptedClient) -> europeana.Europeana:
    return europeana.Europeana(client, SourceOptions("https://api.europeana.eu", key=KEY))


def test_item() -> None:
    """Fields are lists; an agent's address is no name; nothing of the record holds the key."""
    found = candidate()
    assert (found.url, found.width) == (IMAGE, None)
    assert (found.license, found.license_confidence) == ("CC-PDM-1.0", "asserted")
    assert found.license_url == "http://creativecommons.org/publicdomain/mark/1.0/"
    assert found.page_url == "https://www.europeana.eu/item/90402/SK_A_2344"
    assert (found.creator, found.creator_url) == ("Johannes Vermeer", "http://data.europeana.eu/agent/60455")
    assert found.attribution == "“The Milkmaid” by Johannes Vermeer via Rijksmuseum, Europeana (CC-PDM-1.0)"
    assert (found.caption, found.tags) == ("A maid", ("Painting",))
    assert KEY not in str(astuple(found))


@pytest.mark.parametrize("field", ["edmIsShownBy", "edmPreview"])
def test_item_whose_addresses_hold_the_key(field: str) -> None:
    """Such an address is kept nowhere."""
    found = read(**{field: [f"{PREVIEW}&wskey={KEY}"]})
    assert KEY not in str(found)
    assert isinstance(found, ListProblem if field == "edmIsShownBy" else Candidate)


@pytest.mark.parametrize(("side_px", "is_thumbnail"), [(256, True), (266, True), (267, False), (None, False)])
def test_item_as_thumbnail_where_it_serves(side_px: int | None, is_thumbnail: bool) -> None:
    """400 pixels of width are enough for small builds, and spare the museum's own server."""
    found = candidate(side_px)
    assert found.url == (f"{PREVIEW}&size=w400" if is_thumbnail else IMAGE)
    assert [one.width for one in found.renditions] == [400, None]
    assert candidate(200, edmPreview=[f"{PREVIEW}&size=w200"]).url == f"{PREVIEW}&size=w400"
    assert candidate(200, edmPreview=["https://elsewhere.test/x.jpg"]).url == IMAGE


@pytest.mark.parametrize(
    ("rights", "licence"),
    [
        (["http://creativecommons.org/licenses/by-sa/4.0/"], "CC-BY-SA-4.0"),
        ("http://rightsstatements.org/vocab/InC/1.0/", "LicenseRef-rightsstatements-InC-1.0"),
        (["http://creativecommons.org/publicdomain/mark/1.0/", "http://creativecommons.org/licenses/by-nc/4.0/"], "CC-BY-NC-4.0"),
        (["http://rightsstatements.org/vocab/CNE/1.0/"], None),
        ([], None),
        ({"0": "x"}, None),
    ],
)
def test_item_by_its_rights(rights: object, licence: str | None) -> None:
    """The strictest of several holds; what nobody evaluated is unknown."""
    found = candidate(rights=rights)
    assert (found.license, found.license_confidence) == (licence, "asserted" if licence else "unknown")


def test_item_without_an_image_or_id() -> None:
    """No image: none of the kind that is taken. No id, or no usable address: a problem."""
    assert read(edmIsShownBy=None) is None
    for broken in ({"id": None}, {"id": "no slash"}, {"edmIsShownBy": ["javascript:x"]}):
        assert isinstance(read(**broken), ListProblem)
    assert isinstance(europeana.read_item(7, key=KEY, side_px=640), ListProblem)


@pytest.mark.parametrize("field", ["title", "dcCreator", "dcDescription", "dataProvider", "edmPreview", "edmConceptPrefLabelLangAware"])
@pytest.mark.parametrize("value", [None, 7, {"a": 1}, [7], [[]]])
def test_item_when_a_field_has_another_type(field: str, value: object) -> None:
    """It counts as absent; the image is taken."""
    assert candidate(**{field: value}).url == IMAGE


@pytest.mark.parametrize(
    ("policy", "kinds"),
    [
        (LicencePolicy.of(["open"]), ["open"]),
        (LicencePolicy.of(["any"]), ["open", "restricted"]),
        (LicencePolicy.of(["by-nc"]), ["restricted"]),
        (LicencePolicy.of(["open"], "keep"), None),
        (LicencePolicy(), None),
    ],
)
async def test_search_asks_for_kinds_of_rights(policy: LicencePolicy, kinds: list[str] | None) -> None:
    """Only kinds of which something is taken are asked for, and the key stands in no address."""
    client = ScriptedClient({"success": True, "totalResults": 0, "items": []})
    assert (await source(client).read(Query('"cat:', policy), Place())).items == []
    ((url, params),) = client.requests
    assert params.get("reusability") == kinds
    assert (params["query"], params["cursor"], params["qf"]) == ("cat", "*", "TYPE:IMAGE")
    assert KEY not in f"{url} {params}"


@pytest.mark.parametrize(("following", "page"), [("AoE=", "AoE="), (None, None), ("", None), (7, None), ("x" * 3_000, None)])
async def test_search_follows_the_cursor(following: object, page: str | None) -> None:
    """The cursor of the answer leads to the next page; there is none after the last."""
    reply = {"success": True, "totalResults": 9, "items": [ITEM], "nextCursor": following}
    assert (await source(ScriptedClient(reply)).read(Query("cat"), Place())).following == page


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (f"Invalid API key {KEY}", errors.AuthenticationError),
        ("You have reached the limit of requests of your key", errors.RateLimitError),
        ("Invalid cursor value", errors.BadRequestError),
        ("Oops", errors.ProtocolError),
        (None, errors.ProtocolError),
    ],
)
async def test_search_when_a_success_says_that_it_failed(words: str | None, error: type[errors.PictrawlError]) -> None:
    """Errors with status 200 are errors; the key that they repeat is not passed on."""
    client = ScriptedClient({"apikey": KEY, "success": False, "error": words})
    with pytest.raises(error) as caught:
        await source(client).read(Query("cat"), Place())
    assert KEY not in f"{caught.value} {caught.value.evidence}"


async def test_search_when_a_cursor_is_not_ours() -> None:
    """Nothing is requested for it."""
    client = ScriptedClient()
    with pytest.raises(errors.ValidationError):
        await source(client).read(Query("cat"), Place(page="x" * 3_000))
    assert client.requests == []
