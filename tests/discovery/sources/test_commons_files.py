"""Reading the record of a file."""

import copy
from typing import Any

import pytest

from app.discovery.sources import commons_files
from app.domain import Candidate, ListProblem, Rendition
from tests.discovery.fakes import JPEG


def read(file: dict[str, Any], side_px: int | None = 640) -> Candidate | ListProblem | None:
    return commons_files.read_file(file, source="wikimedia", side_px=side_px)


def edited(info: dict[str, Any] | None = None, **metadata: str) -> dict[str, Any]:
    file = copy.deepcopy(JPEG)
    file["imageinfo"][0]["extmetadata"] |= {name: {"value": value} for name, value in metadata.items()}
    file["imageinfo"][0] |= info or {}
    return file


def candidate(file: dict[str, Any], side_px: int | None = 640) -> Candidate:
    found = read(file, side_px)
    assert isinstance(found, Candidate)
    return found


def test_read_when_record_is_whole() -> None:
    """Everything that a dataset needs of a file is taken, as plain text."""
    assert candidate(JPEG) == Candidate(
        url="https://upload.wikimedia.org/wikipedia/commons/thumb/a/ab/Tabby_cat.jpg/960px-Tabby_cat.jpg",
        source="wikimedia",
        page_url="https://commons.wikimedia.org/wiki/File:Tabby_cat.jpg",
        caption="A tabby & a sofa. Second line",
        title="Tabby cat",
        license="CC-BY-SA-4.0",
        license_url="https://creativecommons.org/licenses/by-sa/4.0",
        license_raw="cc-by-sa-4.0 | CC BY-SA 4.0 | https://creativecommons.org/licenses/by-sa/4.0",
        license_confidence="asserted",
        creator="Ann Example",
        creator_url="https://commons.wikimedia.org/wiki/User:Ann",
        attribution="“Tabby cat” by Ann Example via Wikimedia Commons (CC-BY-SA-4.0)",
        width=960,
        height=720,
        renditions=(
            Rendition("https://upload.wikimedia.org/wikipedia/commons/thumb/a/ab/Tabby_cat.jpg/960px-Tabby_cat.jpg", 960, 720),
            Rendition("https://upload.wikimedia.org/wikipedia/commons/a/ab/Tabby_cat.jpg", 4000, 3000, 2_345_678),
        ),
    )


def thumbs(*widths: int, host: str = "thumb.wikimedia.org") -> dict[str, Any]:
    """A thumbnail, and those for denser screens."""
    first, *denser = [f"https://{host}/wikipedia/commons/thumb/a/ab/Tabby_cat.jpg/{width}px-Tabby_cat.jpg" for width in widths]
    return {"thumburl": first, "thumbwidth": widths[0], "responsiveUrls": dict(zip(("1.5", "2"), denser, strict=False))}


@pytest.mark.parametrize(
    ("info", "side_px", "width"),
    [
        (thumbs(960, 1280, 1920), 640, 960),
        (thumbs(960, 1280, 1920), 721, 1280),
        (thumbs(960, 1920, 1920), 1_000, 1920),
        (thumbs(960, 1280, 1920), 1_441, 4000),
        (thumbs(960), None, 4000),
        (thumbs(960) | {"width": 960}, 640, 960),
        (thumbs(960) | {"width": 500}, 640, 500),
        (thumbs(960) | {"width": "odd"}, 640, None),
        (thumbs(960) | {"height": None}, 640, 4000),
        (thumbs(1280) | {"thumbwidth": 960}, 640, 1280),
        ({"thumburl": "https://thumb.wikimedia.org/a.jpg"}, 640, 4000),
        ({"thumburl": None, "responsiveUrls": ["x"]}, 640, 4000),
    ],
)
def test_read_chooses_the_smallest_sufficient_size(info: dict[str, Any], side_px: int | None, width: int | None) -> None:
    """A thumbnail whose shorter side is enough, as its address and not ``thumbwidth`` says, else the original."""
    found = candidate(edited(info), side_px)
    assert found.width == width
    assert found.stated_bytes == (2_345_678 if found.url.startswith("https://upload.wikimedia.org/wikipedia/commons/a/ab/") else None)


def test_read_takes_addresses_of_thumbnails_as_they_are() -> None:
    """From whichever host, and never made here."""
    info = thumbs(960, 1920)
    found = candidate(edited(info))
    assert found.url == info["thumburl"]
    assert [(one.url, one.width, one.height, one.size_bytes) for one in found.renditions] == [
        (info["thumburl"], 960, 720, None),
        (info["responsiveUrls"]["1.5"], 1920, 1440, None),
        ("https://upload.wikimedia.org/wikipedia/commons/a/ab/Tabby_cat.jpg", 4000, 3000, 2_345_678),
    ]


@pytest.mark.parametrize(
    ("name", "width"), [("960px-A.jpg", 960), ("lossy-page1-960px-A.tif.jpg", 960), ("page2-1280px-A.jpg", 1280), ("A-20px.jpg", None)]
)
def test_read_knows_the_width_of_a_thumbnail(name: str, width: int | None) -> None:
    """It stands before the name of the file."""
    found = candidate(edited({"thumburl": f"https://thumb.wikimedia.org/wikipedia/commons/thumb/a/ab/A.jpg/{name}"}), 1)
    assert found.renditions[0].width == (width or 4000)


@pytest.mark.parametrize(("side_px", "width"), [(None, None), (1, 20), (200, 330), (640, 960), (641, 1280), (2_560, 3840), (5_000, None)])
def test_width_for_when_a_side_is_wanted(side_px: int | None, width: int | None) -> None:
    """The smallest standard width that has the side in most photographs, else the original."""
    assert commons_files.width_for(side_px) == width


@pytest.mark.parametrize(
    ("artist", "url"),
    [
        ('<a href="//commons.wikimedia.org/wiki/User:Ann" title="User:Ann">Ann</a>', "https://commons.wikimedia.org/wiki/User:Ann"),
        ('By <b>Ann</b>, <a class=x HREF="/wiki/User:Ann?a=1&amp;b=2">x</a>', "https://commons.wikimedia.org/wiki/User:Ann?a=1&b=2"),
        ('<a href="https://ann.example.org/">Ann</a> <a href="https://b.test/">B</a>', "https://ann.example.org/"),
        ('<a href="//commons.wikimedia.org/w/index.php?title=User:Ann&amp;action=edit&amp;redlink=1">Ann</a>', None),
        ('<a href="javascript:alert(1)">Ann</a>', None),
        ('<a href="https://[">Ann</a>', None),
        ('<a href="https://user@/">Ann</a>', None),
        ("<a>Ann</a>", None),
        ("Ann", None),
    ],
)
def test_read_knows_the_address_of_the_creator(artist: str, url: str | None) -> None:
    """The first link of the creator's name, if it leads to a page that exists."""
    assert candidate(edited(Artist=artist)).creator_url == url


def test_read_when_page_is_not_known() -> None:
    """A link that is relative leads nowhere then."""
    assert candidate(edited({"descriptionurl": None}, Artist='<a href="/wiki/User:Ann">Ann</a>')).creator_url is None


def test_read_takes_categories_as_tags() -> None:
    """Not those that are about the file's upkeep."""
    names = "Tabby cats|CC-BY-SA-4.0|Self-published work|Uploaded with UploadWizard|Files with no machine-readable author|Sofas|PD US"
    assert candidate(edited(Categories=names)).tags == ("Tabby cats", "Sofas")


@pytest.mark.parametrize(("sha1", "identities"), [("a" * 40, (f"sha1:{'a' * 40}",)), ("A" * 40, ()), ("a" * 39, ()), (7, ()), (None, ())])
def test_read_takes_the_digest_of_the_original(sha1: object, identities: tuple[str, ...]) -> None:
    """It names the picture, whichever size is fetched."""
    assert candidate(edited({"sha1": sha1})).identities == identities


@pytest.mark.parametrize("mime", ["image/svg+xml", "application/pdf", "video/webm", None])
def test_read_when_kind_is_not_taken(mime: str | None) -> None:
    """Drawings, documents and films are passed over."""
    assert read(edited({"mime": mime})) is None


@pytest.mark.parametrize("file", [{"title": "File:Gone.jpg", "missing": True}, {"imageinfo": []}, {"imageinfo": ["odd"]}])
def test_read_when_there_is_no_record(file: dict[str, Any]) -> None:
    """A file without its record is a problem at its position."""
    found = read(file)
    assert isinstance(found, ListProblem)
    assert found.line == 0


def test_read_when_address_is_unusable() -> None:
    """An address that cannot be requested is a problem."""
    found = read(edited({"url": "javascript:alert(1)", "thumburl": None}))
    assert isinstance(found, ListProblem)
    assert "address" in found.message


def test_read_when_licence_statements_disagree() -> None:
    """The strictest of contradicting statements holds."""
    found = candidate(
        edited(
            License="cc-by-4.0", LicenseShortName="<b>CC BY-SA</b> 4.0 or so", LicenseUrl="https://creativecommons.org/licenses/by-sa/4.0"
        )
    )
    assert found.license == "CC-BY-SA-4.0"


def test_read_when_licence_has_no_address() -> None:
    """A Creative Commons licence has a known address; another licence gets none."""
    assert candidate(edited(LicenseUrl="")).license_url == "https://creativecommons.org/licenses/by-sa/4.0/"
    other = candidate(edited(License="gfdl", LicenseShortName="", UsageTerms="GNU FDL", LicenseUrl=""))
    assert (other.license, other.license_url) == ("LicenseRef-GFDL", None)


def test_read_when_there_is_no_metadata() -> None:
    """Nothing is made up: no licence, no creator; the title is the file's name."""
    found = candidate(edited({"extmetadata": None}))
    assert (found.license, found.license_url, found.creator, found.caption) == (None, None, None, None)
    assert found.title == "Tabby cat"
    assert found.attribution == "“Tabby cat” via Wikimedia Commons"


def test_read_when_attribution_is_asked_for() -> None:
    """The creator's own wording wins; without a creator the credit line stands in."""
    assert candidate(edited(Attribution="© <i>Ann</i>, Museum")).attribution == "© Ann, Museum"
    assert candidate(edited(Artist="", Credit="Museum")).attribution == "“Tabby cat” by Museum via Wikimedia Commons (CC-BY-SA-4.0)"


def test_read_when_metadata_is_hostile() -> None:
    """Lengths are bounded and control characters gone, whatever the page says."""
    found = candidate(edited(Artist="<p>\x00" + "a" * 9999, ImageDescription="\u202e" * 5 + "b" * 9999, ObjectName=""))
    assert found.creator == "a" * 300
    assert found.caption == "b" * 2000


def test_read_when_there_is_no_title() -> None:
    """A record without a title is still a picture."""
    file = edited({"extmetadata": {"License": "odd", "Artist": {"value": 3}}})
    file["title"] = None
    assert candidate(file).attribution == "Image via Wikimedia Commons"
