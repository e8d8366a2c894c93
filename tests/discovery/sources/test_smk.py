"""Works of SMK, the National Gallery of Denmark."""

from typing import Any

import pytest

from app.discovery.licences.policy import LicencePolicy
from app.discovery.sources import smk
from app.discovery.sources.source import Place, Query, SourceOptions
from app.domain import Candidate, ListProblem
from tests.discovery.fakes import ScriptedClient

IIIF = "https://iip.smk.dk/iiif/jp2/1z40kx99j_kksgb22423.tif.jp2"
NATIVE = "https://api.smk.dk/api/v1/download/a1b2/kks gb22423.jpg"
WORK: dict[str, Any] = {
    "object_number": "KKSgb22423/1",
    "titles": [{"title": "Kat", "language": "dansk"}, {"title": "Cat", "language": "engelsk"}],
    "production": [{"creator": "Ann Example"}, {"creator": None}],
    "rights": "https://creativecommons.org/share-your-work/public-domain/cc0/",
    "image_iiif_id": IIIF,
    "image_native": None,
    "image_width": 4_000,
    "image_height": 3_000,
    "image_size": 9_876_543,
    "object_names": [{"name": "print"}],
    "techniques": ["Etching"],
    "content_description": ["A cat", "A sofa"],
}


def candidate(side_px: int | None = 640, **changed: Any) -> Candidate:
    found = smk.read_artwork(WORK | changed, side_px=side_px)
    assert isinstance(found, Candidate)
    return found


def test_work() -> None:
    """The licence is an address; the English title is preferred; the page is found by the work's number."""
    found = candidate()
    assert (found.url, found.width, found.height) == (f"{IIIF}/full/!1024,/0/default.jpg", 1024, 768)
    assert (found.license, found.license_confidence) == ("CC0-1.0", "asserted")
    assert found.license_url == found.license_raw == "https://creativecommons.org/share-your-work/public-domain/cc0/"
    assert found.page_url == "https://open.smk.dk/en/artwork/image/KKSgb22423%2F1"
    assert (found.title, found.creator, found.caption) == ("Cat", "Ann Example", "A cat, A sofa")
    assert found.attribution == "“Cat” by Ann Example via SMK (CC0-1.0)"
    assert found.tags == ("print", "Etching")
    assert found.group_id == "smk:KKSgb22423/1"


@pytest.mark.parametrize(("side_px", "width"), [(300, 400), (301, 800), (1_536, 2_048), (1_537, 2_048), (None, 2_048)])
def test_work_in_the_smallest_width_that_serves(side_px: int | None, width: int) -> None:
    """The shorter side decides; without an address of the original nothing larger is asked for."""
    assert candidate(side_px).url == f"{IIIF}/full/!{width},/0/default.jpg"


def test_work_with_an_original() -> None:
    """The original is taken where nothing else is large enough, and its address may have spaces; a TIFF never where there is a JPEG."""
    found = candidate(1_600, image_native=NATIVE)
    assert (found.url, found.stated_bytes) == (NATIVE.replace(" ", "%20"), 9_876_543)
    assert candidate(None, image_native="https://api.smk.dk/kms1.tif").url == f"{IIIF}/full/!2048,/0/default.jpg"
    assert candidate(image_iiif_id=None, image_native=NATIVE).url == NATIVE.replace(" ", "%20")


@pytest.mark.parametrize(("size", "width"), [((None, None), 2_048), ((9_000, None), 2_048), ((300, 200), 300), (("x", {}), 2_048)])
def test_work_whose_size_is_unknown_or_small(size: tuple[Any, Any], width: int) -> None:
    """No width is asked for that the image may not have."""
    found = candidate(image_width=size[0], image_height=size[1])
    assert found.url == f"{IIIF}/full/!{width},/0/default.jpg"
    assert found.width in (None, 300)


@pytest.mark.parametrize(
    ("rights", "licence"),
    [
        ("https://creativecommons.org/publicdomain/mark/1.0/", "CC-PDM-1.0"),
        ("https://www.smk.dk/copyright/", None),
        (None, None),
        ([], None),
    ],
)
def test_work_by_its_rights(rights: object, licence: str | None) -> None:
    """An address that is no licence's says nothing."""
    found = candidate(rights=rights)
    assert (found.license, found.license_confidence) == (licence, "asserted" if licence else "unknown")


def test_work_without_an_image_or_number() -> None:
    """No image: none of the kind that is taken. An address that is none, and no number: a problem."""
    assert smk.read_artwork(WORK | {"image_iiif_id": None}, side_px=640) is None
    for broken in ({"image_iiif_id": "javascript:x"}, {"object_number": None}, {"object_number": 7}):
        assert isinstance(smk.read_artwork(WORK | broken, side_px=640), ListProblem)
    assert isinstance(smk.read_artwork([], side_px=640), ListProblem)


@pytest.mark.parametrize("field", ["titles", "production", "object_names", "techniques", "content_description", "rights"])
@pytest.mark.parametrize("value", [None, 7, {"a": 1}, [7], [[]], "x"])
def test_work_when_a_field_has_another_type(field: str, value: object) -> None:
    """It counts as absent; the image is taken."""
    assert candidate(**{field: value}).url == f"{IIIF}/full/!1024,/0/default.jpg"


async def test_search_asks_for_what_is_free_where_only_that_is_taken() -> None:
    """The filter on the public domain leaves out the others."""
    reply = {"found": 300, "items": [WORK, None]}
    client = ScriptedClient(reply, reply)
    source = smk.Smk(client, SourceOptions("https://api.smk.dk"))
    found = await source.read(Query("cat", LicencePolicy.of(["open"])), Place())
    assert (found.following, found.total) == ("2", 300)
    await source.read(Query("cat"), Place(page="2"))
    assert [(params["filters"], params["offset"]) for _, params in client.requests] == [
        ("[has_image:true],[public_domain:true]", "0"),
        ("[has_image:true]", "2"),
    ]
