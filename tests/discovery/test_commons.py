"""One file's record."""

import copy
from typing import Any

import pytest

from app.discovery import commons
from app.domain import Candidate, Problem
from tests.discovery.fakes import JPEG


def read(file: dict[str, Any], width_px: int | None = 960) -> Candidate | Problem | None:
    return commons.read(file, rank=4, source="wikimedia", width_px=width_px)


def edited(info: dict[str, Any] | None = None, **metadata: str) -> dict[str, Any]:
    file = copy.deepcopy(JPEG)
    file["imageinfo"][0]["extmetadata"] |= {name: {"value": value} for name, value in metadata.items()}
    file["imageinfo"][0] |= info or {}
    return file


def candidate(file: dict[str, Any], width_px: int | None = 960) -> Candidate:
    found = read(file, width_px)
    assert isinstance(found, Candidate)
    return found


def test_read_when_record_is_whole() -> None:
    """Everything that a dataset needs of a file is taken, as plain text."""
    assert candidate(JPEG) == Candidate(
        url="https://upload.wikimedia.org/wikipedia/commons/thumb/a/ab/Tabby_cat.jpg/960px-Tabby_cat.jpg",
        source="wikimedia",
        rank=4,
        page_url="https://commons.wikimedia.org/wiki/File:Tabby_cat.jpg",
        caption="A tabby & a sofa. Second line",
        title="Tabby cat",
        license="CC-BY-SA-4.0",
        license_url="https://creativecommons.org/licenses/by-sa/4.0",
        creator="Ann Example",
        attribution="“Tabby cat” by Ann Example via Wikimedia Commons (CC-BY-SA-4.0)",
        width=960,
        height=720,
    )


@pytest.mark.parametrize(
    ("info", "width_px"),
    [
        ({}, None),
        ({"width": 960}, 960),
        ({"width": 500}, 960),
        ({"width": "odd"}, 960),
        ({"thumburl": None}, 960),
        ({"thumbwidth": 800}, 960),
    ],
)
def test_read_when_original_is_the_better_choice(info: dict[str, Any], width_px: int | None) -> None:
    """The original is taken where it is wanted, not wider, or where no standard thumbnail is offered."""
    found = candidate(edited(info), width_px)
    assert found.url == "https://upload.wikimedia.org/wikipedia/commons/a/ab/Tabby_cat.jpg"
    assert found.height == 3000


@pytest.mark.parametrize(("wanted", "expected"), [(None, None), (1, 20), (256, 330), (960, 960), (961, 1280), (5000, None)])
def test_standard_width_when_wanted(wanted: int | None, expected: int | None) -> None:
    """The smallest standard width that reaches the wanted one, else the original."""
    assert commons.standard_width(wanted) == expected


@pytest.mark.parametrize("mime", ["image/svg+xml", "application/pdf", "video/webm", None])
def test_read_when_kind_is_not_taken(mime: str | None) -> None:
    """Drawings, documents and films are passed over."""
    assert read(edited({"mime": mime})) is None


@pytest.mark.parametrize("file", [{"title": "File:Gone.jpg", "missing": True}, {"imageinfo": []}, {"imageinfo": ["odd"]}])
def test_read_when_there_is_no_record(file: dict[str, Any]) -> None:
    """A file without its record is a problem at its position."""
    found = read(file)
    assert isinstance(found, Problem)
    assert found.line == 5


def test_read_when_address_is_unusable() -> None:
    """An address that cannot be requested is a problem."""
    found = read(edited({"url": "javascript:alert(1)", "thumburl": None}))
    assert isinstance(found, Problem)
    assert "address" in found.message


def test_read_when_licence_statements_disagree() -> None:
    """The file's own words stay where its statements contradict each other."""
    found = candidate(
        edited(
            License="cc-by-4.0", LicenseShortName="<b>CC BY-SA</b> 4.0 or so", LicenseUrl="https://creativecommons.org/licenses/by-sa/4.0"
        )
    )
    assert found.license == "CC BY-SA 4.0 or so"


def test_read_when_licence_has_no_address() -> None:
    """A Creative Commons licence has a known address; another licence keeps its name and gets none."""
    assert candidate(edited(LicenseUrl="")).license_url == "https://creativecommons.org/licenses/by-sa/4.0/"
    other = candidate(edited(License="gfdl", LicenseShortName="", UsageTerms="GNU FDL", LicenseUrl=""))
    assert (other.license, other.license_url) == ("GNU FDL", None)


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
