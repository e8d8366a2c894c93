"""Works of the Cleveland Museum of Art."""

from typing import Any

import pytest

from app.discovery.licences.policy import LicencePolicy
from app.discovery.sources import cleveland
from app.discovery.sources.source import Place, Query, SourceOptions
from app.domain import Candidate, ListProblem
from tests.discovery.fakes import ScriptedClient

CDN = "https://openaccess-cdn.clevelandart.org/1942.647/1942.647"
IMAGES: dict[str, Any] = {
    "web": {"url": f"{CDN}_web.jpg", "width": "1190", "height": "893", "filesize": "402321"},
    "print": {"url": f"{CDN}_print.jpg", "width": "3400", "height": "2550", "filesize": "6123456"},
    "full": {"url": f"{CDN}_full.tif", "width": "9000", "height": "6750", "filesize": "182250960"},
}
WORK: dict[str, Any] = {
    "id": 129_541,
    "title": "The Race Track (Death on a Pale Horse)",
    "url": "https://clevelandart.org/art/1928.8",
    "share_license_status": "CC0",
    "copyright": None,
    "creators": [{"description": "Albert Pinkham Ryder (American, 1847–1917)"}, {"description": "A <b>Printer</b>"}, "odd"],
    "images": IMAGES,
    "alternate_images": [],
    "description": None,
    "tombstone": "The Race Track, c. 1896.",
    "type": "Painting",
    "technique": "oil on canvas",
    "culture": ["America, 19th century"],
    "department": "American Painting and Sculpture",
}


def read(side_px: int | None = 640, **changed: Any) -> list[Candidate | ListProblem | None]:
    return list(cleveland.read_artwork(WORK | changed, side_px=side_px))


def candidate(side_px: int | None = 640, **changed: Any) -> Candidate:
    (found,) = read(side_px, **changed)
    assert isinstance(found, Candidate)
    return found


def source(client: ScriptedClient) -> cleveland.Cleveland:
    return cleveland.Cleveland(client, SourceOptions("https://openaccess-api.clevelandart.org"))


def test_work() -> None:
    """Pixels and bytes come as texts; the licence is stated for the work."""
    found = candidate()
    assert (found.url, found.width, found.height, found.stated_bytes) == (f"{CDN}_web.jpg", 1190, 893, 402_321)
    assert [one.size_bytes for one in found.renditions] == [402_321, 6_123_456, 182_250_960]
    assert (found.license, found.license_confidence, found.license_raw) == ("CC0-1.0", "asserted", "CC0")
    assert found.creator == "Albert Pinkham Ryder (American, 1847–1917); A Printer"
    assert found.caption == "The Race Track, c. 1896."
    assert found.tags == ("Painting", "oil on canvas", "America, 19th century", "American Painting and Sculpture")
    assert found.group_id == "cleveland:129541"


@pytest.mark.parametrize(("side_px", "name"), [(893, "web.jpg"), (894, "print.jpg"), (5_000, "print.jpg"), (None, "print.jpg")])
def test_work_in_the_smallest_size_that_serves(side_px: int | None, name: str) -> None:
    """The TIFF of 180 MB is not taken where there is a JPEG."""
    assert candidate(side_px).url == f"{CDN}_{name}"


def test_work_with_a_tiff_only() -> None:
    """Then the TIFF is better than nothing."""
    assert candidate(images={"full": IMAGES["full"]}).url == f"{CDN}_full.tif"


def test_work_with_several_views() -> None:
    """Each view is a candidate, all in one group."""
    back = {"annotation": "back", "web": {"url": f"{CDN}-back_web.jpg"}, "print": None}
    found = read(alternate_images=[back, {}, "odd"])
    assert [one.url for one in found if isinstance(one, Candidate)] == [f"{CDN}_web.jpg", f"{CDN}-back_web.jpg"]
    assert {one.group_id for one in found if isinstance(one, Candidate)} == {"cleveland:129541"}


@pytest.mark.parametrize(
    ("status", "notice", "licence", "confidence"),
    [
        ("Copyrighted", "© Ann", "LicenseRef-AllRightsReserved", "asserted"),
        ("CC0", "© Ann", "CC0-1.0", "asserted"),
        (None, None, None, "unknown"),
        (["CC0"], 7, None, "unknown"),
    ],
)
def test_work_that_is_not_free(status: object, notice: object, licence: str | None, confidence: str) -> None:
    """A notice of copyright reserves all rights unless a licence stands beside it; what is no text states nothing."""
    found = candidate(share_license_status=status, copyright=notice)
    assert (found.license, found.license_confidence) == (licence, confidence)


def test_work_without_an_image() -> None:
    """None of the kind that is taken; images that cannot be requested are a problem, and so is a record without an id."""
    assert read(images=None) == [None]
    for broken in ({"images": {"web": {"url": "javascript:x"}}}, {"id": None}, {"id": "x"}):
        (problem,) = read(**broken)
        assert isinstance(problem, ListProblem)
    assert isinstance(next(cleveland.read_artwork("odd", side_px=640)), ListProblem)


@pytest.mark.parametrize("field", ["url", "title", "creators", "type", "culture", "description", "alternate_images"])
@pytest.mark.parametrize("value", [None, 7, {"a": 1}, [7], [[]], ["\x00"]])
def test_work_when_a_field_has_another_type(field: str, value: object) -> None:
    """It counts as absent; the image is taken."""
    assert candidate(**{field: value}).url == f"{CDN}_web.jpg"


async def test_search_asks_for_what_is_free_where_only_that_is_taken() -> None:
    """``cc0`` leaves out the others; a page of records counts records, not images."""
    reply = {"info": {"total": 101}, "data": [WORK | {"alternate_images": [{"web": {"url": f"{CDN}-b.jpg"}}]}]}
    client = ScriptedClient(reply, reply)
    found = await source(client).read(Query("cat", LicencePolicy.of(["cc0"])), Place())
    assert (len(found.items), found.results, found.following, found.total) == (2, 1, "1", 101)
    await source(client).read(Query("cat"), Place(page="100"))
    assert [(params.get("cc0"), params["skip"], params["limit"]) for _, params in client.requests] == [
        ("1", "0", "100"),
        (None, "100", "100"),
    ]
