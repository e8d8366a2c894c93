"""Sizes in which a source offers an image."""

import pytest

from app.discovery.renditions import by_longest_side, by_width, smallest_sufficient, without_tiff
from app.domain import Rendition

SIZES = [Rendition("s", 400, 300), Rendition("m", 1_000, 700), Rendition("o")]


@pytest.mark.parametrize(("side_px", "url"), [(1, "s"), (300, "s"), (301, "m"), (700, "m"), (701, "o"), (None, "o")])
def test_smallest_sufficient(side_px: int | None, url: str) -> None:
    """The shorter side decides; one of unknown size is taken where no other reaches, and for originals."""
    found = smallest_sufficient(SIZES, side_px)
    assert found is not None
    assert found.url == url
    assert smallest_sufficient([], side_px) is None


def test_by_width() -> None:
    """Only widths below the image's own; heights in proportion, at least one pixel."""
    assert by_width([400, 800, 1_200], 1_200, 600, "w{}".format) == [Rendition("w400", 400, 200), Rendition("w800", 800, 400)]
    assert by_width([10], 10_000, 1, "w{}".format) == [Rendition("w10", 10, 1)]


@pytest.mark.parametrize(("size", "scaled"), [((6_000, 4_000), (1_200, 800)), ((4_000, 6_000), (800, 1_200)), ((1_200, 90), None)])
def test_by_longest_side(size: tuple[int, int], scaled: tuple[int, int] | None) -> None:
    """The longer side is what is asked for, whichever it is."""
    assert by_longest_side([1_200], *size, "m{}".format) == ([Rendition("m1200", *scaled)] if scaled else [])


def test_without_tiff() -> None:
    """TIFF files are left out, by the end of the path, where anything else is there."""
    tiff, jpeg = Rendition("https://a.test/x.TIF?y=1"), Rendition("https://a.test/x.jpg")
    assert without_tiff([jpeg, tiff]) == [jpeg]
    assert without_tiff([tiff]) == [tiff]
