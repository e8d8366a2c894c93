"""Records of the Smithsonian, their images and the key."""

import copy
from typing import Any

import pytest

import errors
from app.discovery.licences.policy import LicencePolicy
from app.discovery.sources import smithsonian
from app.discovery.sources.source import Place, Query, SourceOptions
from app.domain import Candidate, ListProblem
from tests.discovery.fakes import ScriptedClient

IDS = "https://ids.si.edu/ids"
MEDIA: dict[str, Any] = {
    "type": "Images",
    "idsId": "SAAM-1971.456_1",
    "usage": {"access": "CC0"},
    "content": f"{IDS}/deliveryService?id=SAAM-1971.456_1",
    "altTextAccessibility": "A cat on a sofa.",
    "resources": [
        {"label": "High-resolution TIFF", "url": f"{IDS}/download?id=SAAM-1971.456_1.tif", "width": 6000, "height": 4000},
        {"label": "High-resolution JPEG", "url": f"{IDS}/download?id=SAAM-1971.456_1.jpg", "width": 6000, "height": 4000},
        {"label": "Screen Image", "url": f"{IDS}/download?id=SAAM-1971.456_1_screen"},
    ],
}
RECORD: dict[str, Any] = {
    "id": "edanmdm-saam_1971.456",
    "title": "Cat",
    "content": {
        "descriptiveNonRepeating": {
            "record_link": "https://americanart.si.edu/collections/search/artwork/?id=1",
            "data_source": "Smithsonian American Art Museum",
            "online_media": {"media": [MEDIA]},
        },
        "freetext": {"name": [{"label": "Sitter", "content": "Tabby"}, {"label": "Artist", "content": "Ann Example"}]},
        "indexedStructured": {"object_type": ["Paintings"], "topic": ["Cats"], "place": "odd"},
    },
}


def read(record: Any, side_px: int | None = 640) -> list[Candidate | ListProblem | None]:
    return list(smithsonian.read_record(record, side_px=side_px))


def with_media(*media: Any) -> dict[str, Any]:
    record = copy.deepcopy(RECORD)
    record["content"]["descriptiveNonRepeating"]["online_media"]["media"] = list(media)
    return record


def candidate(side_px: int | None = 640, **changed: Any) -> Candidate:
    (found,) = read(with_media(MEDIA | changed), side_px)
    assert isinstance(found, Candidate)
    return found


def source(client: ScriptedClient, key: str = "hush-hush") -> smithsonian.Smithsonian:
    return smithsonian.Smithsonian(client, SourceOptions("https://api.si.edu", key=key))


def test_record() -> None:
    """The image says of itself that it is CC0; the museum is named in the attribution, the sitter is no creator."""
    found = candidate()
    assert (found.url, found.width, found.height) == (f"{MEDIA['content']}&max=1200", 1200, 800)
    assert (found.license, found.license_confidence, found.license_raw) == ("CC0-1.0", "asserted", "CC0")
    assert found.attribution == "“Cat” by Ann Example via Smithsonian American Art Museum (CC0-1.0)"
    assert (found.caption, found.group_id) == ("A cat on a sofa.", "smithsonian:edanmdm-saam_1971.456")
    assert found.tags == ("Paintings", "Cats", "odd")
    assert found.identities == ("smithsonian:SAAM-1971.456_1",)
    assert candidate(idsId=7).identities == ()


@pytest.mark.parametrize(
    ("side_px", "url"),
    [
        (266, f"{MEDIA['content']}&max=400"),
        (268, f"{MEDIA['content']}&max=800"),
        (2_133, f"{MEDIA['content']}&max=3200"),
        (2_134, f"{IDS}/download?id=SAAM-1971.456_1.jpg"),
        (None, f"{IDS}/download?id=SAAM-1971.456_1.jpg"),
    ],
)
def test_image_in_the_smallest_size_that_serves(side_px: int | None, url: str) -> None:
    """The image server scales to any longer side; the TIFF is never taken."""
    assert candidate(side_px).url == url


@pytest.mark.parametrize(
    ("content", "side_px", "url"),
    [
        (MEDIA["content"], 640, f"{MEDIA['content']}&max=1200"),
        (MEDIA["content"], 9_000, MEDIA["content"]),
        (MEDIA["content"], None, MEDIA["content"]),
        (f"{IDS}/deliveryService/id/ark:/65665/m3d9", 640, f"{IDS}/deliveryService/id/ark:/65665/m3d9/1200"),
        (f"{IDS}/download?id=x", 640, f"{IDS}/download?id=x"),
        ("https://collections.nmnh.si.edu/media/?irn=1", 640, "https://collections.nmnh.si.edu/media/?irn=1"),
    ],
)
def test_image_whose_size_is_unknown(content: str, side_px: int | None, url: str) -> None:
    """The size that serves in most photographs is asked for where the server scales, else what there is."""
    found = candidate(side_px, content=content, resources=[{"label": "Screen Image", "url": f"{IDS}/x_screen"}])
    assert (found.url, found.width) == (url, None)


def test_record_with_several_images() -> None:
    """All are candidates of one group; videos are not, and of a book not more than a hundred pages are read."""
    media = [MEDIA | {"content": f"{IDS}/deliveryService?id=X-{at}"} for at in range(130)]
    found = read(with_media({"type": "Video"}, "odd", *media))
    assert len(found) == 100
    assert len({one.group_id for one in found if isinstance(one, Candidate)}) == 1


@pytest.mark.parametrize(
    ("usage", "licence"),
    [({"access": "Usage conditions apply"}, "LicenseRef-UsageConditionsApply"), ({}, None), (None, None), ({"access": ["CC0"]}, None)],
)
def test_image_that_is_not_free(usage: object, licence: str | None) -> None:
    """What the image says counts, not that the search asked for CC0."""
    assert candidate(usage=usage).license == licence


def test_record_that_is_broken_or_has_no_image() -> None:
    """No image: none of the kind that is taken. No id, no content, no address: a problem."""
    assert read(with_media({"type": "Video"})) == [None]
    for broken in ("odd", RECORD | {"id": 7}, RECORD | {"content": []}, with_media(MEDIA | {"content": 7, "resources": None})):
        (problem,) = read(broken)
        assert isinstance(problem, ListProblem)


async def test_search_sends_the_key_in_a_header() -> None:
    """No address holds it, and the licence is asked for where only free images are taken."""
    reply = {"response": {"rows": [RECORD], "rowCount": 2}}
    client = ScriptedClient(reply, reply)
    found = await source(client).read(Query("cat OR (dog", LicencePolicy.of(["open"])), Place())
    assert (found.following, found.total, found.results) == ("1", 2, 1)
    await source(client).read(Query("cat"), Place())
    assert [params["q"] for _, params in client.requests] == [
        '(cat OR dog) AND online_media_type:"Images" AND media_usage:"CC0"',
        '(cat) AND online_media_type:"Images"',
    ]
    assert "hush" not in str(client.requests)


async def test_search_when_the_key_is_refused() -> None:
    """The error names the setting, not the key."""
    with pytest.raises(errors.AuthenticationError, match=r"refused the API key \(403\); check sources\.smithsonian\.key") as caught:
        await source(ScriptedClient(errors.AuthenticationError("x", status=403))).read(Query("cat"), Place())
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("reply", [{}, {"response": []}, {"response": {"rows": None}}, {"response": {"error": "x"}}])
async def test_search_when_the_answer_has_another_shape(reply: dict[str, Any]) -> None:
    """An answer without rows is an error."""
    with pytest.raises(errors.ProtocolError):
        await source(ScriptedClient(reply)).read(Query("cat"), Place())
