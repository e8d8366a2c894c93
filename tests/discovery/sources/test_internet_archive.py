"""Reading items of the Internet Archive."""

from typing import Any

import pytest

import errors
from app.discovery.licences.policy import LicencePolicy
from app.discovery.sources import internet_archive
from app.discovery.sources.source import Place, Query, Reply, SourceOptions
from app.domain import Candidate, ListProblem, Rendition
from tests.discovery.fakes import ScriptedClient
from tests.providers.in_process import InProcessClient
from tests.providers.internet_archive import InternetArchiveProvider

BASE = "https://archive.org"
SHA1, MD5 = "a" * 40, "b" * 32

FILE: dict[str, Any] = {
    "name": "scans/fox #1.tif",
    "source": "original",
    "format": "TIFF",
    "size": "36000000",
    "width": "4000",
    "height": "3000",
    "sha1": SHA1,
    "md5": MD5,
}
SMALLER: dict[str, Any] = {
    "name": "scans/fox #1.jpg",
    "source": "derivative",
    "original": FILE["name"],
    "size": "400000",
    "width": "1600",
    "height": "1200",
}
RESERVED = "© 2011 Ann. All rights reserved."
ABOUT: dict[str, Any] = {
    "identifier": "foxes",
    "title": "Foxes",
    "creator": ["Ann", "Bob"],
    "licenseurl": "http://creativecommons.org/licenses/by/3.0/",
    "subject": ["fox; animal", "Fox"],
    "description": ["Two <b>foxes</b>"],
}
ITEM: dict[str, Any] = {"metadata": ABOUT, "files": [FILE, SMALLER]}


def source(client: Any, side_px: int | None = 640) -> internet_archive.InternetArchive:
    return internet_archive.InternetArchive(client, SourceOptions(BASE, side_px=side_px))


async def read(*items: Any, side_px: int | None = 640) -> Reply:
    found = {"items": [{"identifier": f"item {number}"} for number in range(len(items))], "total": len(items)}
    return await source(ScriptedClient(found, *items), side_px).read(Query("fox"), Place())


async def read_one(side_px: int | None = 640, files: Any = None, **about: Any) -> Candidate:
    (item,) = (await read({"metadata": {**ABOUT, **about}, "files": files or ITEM["files"]}, side_px=side_px)).items
    assert isinstance(item, Candidate)
    return item


async def test_read_when_an_item_has_everything() -> None:
    """The licence is the item's, the item is the group, digests of all sizes name the picture."""
    assert await read_one() == Candidate(
        url="https://archive.org/download/item%200/scans/fox%20%231.jpg",
        source="internet_archive",
        width=1600,
        height=1200,
        page_url="https://archive.org/details/item%200",
        title="Foxes",
        caption="Two foxes",
        license="CC-BY-3.0",
        license_url="https://creativecommons.org/licenses/by/3.0/",
        license_raw="http://creativecommons.org/licenses/by/3.0/",
        license_confidence="asserted",
        creator="Ann, Bob",
        attribution="“Foxes” by Ann, Bob via Internet Archive (CC-BY-3.0)",
        tags=("fox", "animal"),
        identities=(f"sha1:{SHA1}", f"md5:{MD5}"),
        stated_bytes=400_000,
        group_id="internet_archive:item 0",
        renditions=(Rendition("https://archive.org/download/item%200/scans/fox%20%231.tif", 4000, 3000, 36_000_000),),
    )


@pytest.mark.parametrize(("side_px", "ending"), [(1_200, "jpg"), (1_201, "tif"), (None, "tif")])
async def test_read_when_a_size_is_wanted(side_px: int | None, ending: str) -> None:
    """The original only where less is not enough."""
    assert (await read_one(side_px)).url.endswith(ending)


async def test_read_when_a_smaller_file_states_no_sides() -> None:
    """A thumbnail of unknown size is not taken for the image."""
    found = await read_one(files=[FILE, {**SMALLER, "width": None, "sha1": "short", "md5": 7}])
    assert found.url.endswith("tif")
    assert found.identities == (f"sha1:{SHA1}", f"md5:{MD5}")


@pytest.mark.parametrize(
    ("about", "licence", "confidence", "raw"),
    [
        ({"rights": RESERVED}, "LicenseRef-AllRightsReserved", "asserted", f"{ABOUT['licenseurl']} | {RESERVED}"),
        ({"licenseurl": None, "rights": "Public domain"}, "LicenseRef-PublicDomain", "asserted", "Public domain"),
        ({"licenseurl": "https://a.test/terms"}, "https://a.test/terms", "unknown", "https://a.test/terms"),
        ({"licenseurl": 7}, None, "unknown", None),
    ],
)
async def test_read_when_licences_differ(about: dict[str, Any], licence: str | None, confidence: str, raw: str | None) -> None:
    """Of statements that disagree the stricter holds."""
    found = await read_one(**about)
    assert (found.license, found.license_confidence, found.license_raw) == (licence, confidence, raw)


async def test_read_when_an_item_has_other_files() -> None:
    """The picture that stands for the item, private files, other formats and thumbnails of other files are no images of it."""
    others = [
        {"name": "__ia_thumb.jpg", "source": "original", "format": "Item Tile"},
        {"name": "secret.jpg", "source": "original", "private": "true"},
        {"name": "secret 2.jpg", "source": "original", "private": True},
        {"name": "notes.pdf", "source": "original"},
        {"name": "notes_thumb.jpg", "source": "derivative", "original": "notes.pdf"},
        {"source": "original"},
        {"name": 7, "source": "original"},
        "x",
    ]
    assert (await read_one(files=[*others, FILE])).url.endswith("/scans/fox%20%231.tif")
    (problem,) = (await read({"metadata": ABOUT, "files": others})).items
    assert isinstance(problem, ListProblem)
    assert problem.message == "the item has no image in a format that is taken"


async def test_read_when_an_item_has_very_many_images() -> None:
    """The first 100 are taken, and the note says so."""
    reply = await read({"metadata": ABOUT, "files": [{**FILE, "name": f"{number}.jpg"} for number in range(5_000)]})
    assert len(reply.items) == internet_archive.MAX_IMAGES
    assert reply.note == "item 0 has 5 000 images, of which the first 100 are taken"


@pytest.mark.parametrize("item", [None, [], {}, {"is_dark": True, "metadata": {"identifier": "x"}}, {"metadata": ABOUT, "files": "x"}])
async def test_read_when_an_item_is_not_public(item: Any) -> None:
    """It costs that item."""
    first, second = (await read(item, ITEM)).items
    assert isinstance(first, ListProblem)
    assert isinstance(second, Candidate)


async def test_read_when_an_item_is_lent_only() -> None:
    """Its files cannot be had."""
    assert (await read({"metadata": {**ABOUT, "access-restricted-item": "true"}, "files": [FILE]})).items == [None]


async def test_read_when_items_are_refused() -> None:
    """One costs that item, all of them are the source's refusal, and a temporary error is the page's."""
    first, second = (await read(errors.AuthenticationError("no", status=403), ITEM)).items
    assert isinstance(first, ListProblem)
    assert isinstance(second, Candidate)
    with pytest.raises(errors.AuthenticationError):
        await read(errors.NotFoundError("no"), errors.AuthenticationError("no", status=403))
    with pytest.raises(errors.RateLimitError):
        await read(ITEM, errors.RateLimitError("slow down", status=429))


@pytest.mark.parametrize("entry", [None, "x", {}, {"identifier": 7}])
async def test_read_when_an_entry_is_broken(entry: Any) -> None:
    """Nothing is asked about it."""
    client = ScriptedClient({"items": [entry]})
    (problem,) = (await source(client).read(Query("fox"), Place())).items
    assert isinstance(problem, ListProblem)


@pytest.mark.parametrize(
    ("words", "unknown", "clause"),
    [
        (["any"], "drop", " AND licenseurl:*"),
        (["cc0"], "drop", " AND licenseurl:(*publicdomain*)"),
        (["by", "cc0"], "drop", r" AND licenseurl:(*publicdomain* OR *licenses\/by\/*)"),
        (["CC-BY-SA-4.0"], "drop", r" AND licenseurl:(*licenses\/by-sa\/*)"),
        (["OGL-UK-3.0"], "drop", " AND licenseurl:*"),
        ([], "keep", ""),
    ],
)
async def test_read_when_licences_are_wanted(words: list[str], unknown: Any, clause: str) -> None:
    """Items of families that are taken; all where unknown licences are kept."""
    client = ScriptedClient({"items": []})
    await source(client).read(Query("red fox", LicencePolicy.of(words, unknown)), Place())
    assert client.requests[0][1]["q"] == f"mediatype:image AND (red fox){clause}"


@pytest.mark.parametrize(
    ("keyword", "words"),
    [("title:fox) OR (x", "title fox x"), ("fox AND NOT dog", "fox dog"), ('"t-rex" / v1.5', "t rex v1.5"), ("キツネ", "キツネ")],
)
async def test_read_when_a_keyword_has_signs(keyword: str, words: str) -> None:
    """A keyword is words; none of them commands the search."""
    client = ScriptedClient({"items": []})
    await source(client).read(Query(keyword), Place())
    assert client.requests[0][1]["q"] == f"mediatype:image AND ({words})"


async def test_read_when_a_keyword_has_no_word() -> None:
    """Nothing is asked, for an empty search finds everything."""
    reply = await source(ScriptedClient()).read(Query("?!"), Place())
    assert (reply.items, reply.note) == ((), "the keyword has no word that can be searched")
    assert await source(ScriptedClient()).count(Query("?!"), {}) == 0


async def test_read_when_the_body_has_an_error() -> None:
    """Its words are named."""
    with pytest.raises(errors.ProtocolError, match=r"RANGE_ERROR"):
        await source(ScriptedClient({"error": "[RANGE_ERROR] no"})).read(Query("fox"), Place())


@pytest.mark.parametrize("page", ["x", "x:W1", "", "-1:W"])
async def test_read_when_the_page_is_of_another_source(page: str) -> None:
    """Nothing is requested."""
    with pytest.raises(errors.ValidationError):
        await source(ScriptedClient()).read(Query("fox"), Place(page=page))


async def test_pages_when_items_have_several_images() -> None:
    """A page has 20 items whatever their images; dark ones are problems, and few requests are more than one an item."""
    provider = InternetArchiveProvider(1_000, images=4, dark=frozenset({3, 100}))
    pages = [page async for page in source(InProcessClient(provider)).pages(Query("cat"), None)]
    found = [candidate for page in pages for candidate in page.candidates]
    assert len(found) == len({candidate.url for candidate in found}) == 1_000 - 8
    assert sum(len(page.problems) for page in pages) == 2
    assert [len(page.candidates) for page in pages][:2] == [76, 80]
    assert len(provider.requests) <= 1.2 * provider.minimum_calls()
    assert len({candidate.group_id for candidate in found}) == 248
