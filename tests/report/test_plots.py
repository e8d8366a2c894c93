"""Tests of app.report.plots: what is drawn is where the numbers are, and texts are escaped."""

import re
from xml.etree import ElementTree

import pytest

from app.report.model import Distribution, Quartiles
from app.report.plots import bar, histogram, strip

FLAT = Quartiles(0, 25, 50, 75, 100)


def distribution(counts: list[int], least: float = 0, most: float = 100, median: float = 50, *, is_log: bool = False) -> Distribution:
    return Distribution("width", "px", is_log, counts, least, most, Quartiles(least, least, median, most, most))


@pytest.mark.parametrize(("value", "largest", "width"), [(1, 4, "25"), (4, 4, "100"), (0, 4, "0"), (0, 0, "0"), (1, 3, "33.3")])
def test_a_bar_is_as_long_as_its_share(value: float, largest: float, width: str) -> None:
    """Of nothing it is empty."""
    assert f'class="fill" width="{width}"' in bar(value, largest)


def test_a_histogram_has_a_bar_for_each_interval_with_images() -> None:
    """The highest is as high as the plot; one image is seen beside a million; the median has a line."""
    svg = histogram(distribution([0, 1_000_000, 1, 0], median=25), "words")
    heights = re.findall(r'class="fill"[^>]*height="([\d.]+)"', svg)
    assert heights == ["96", "1"]
    assert 'class="median" x1="120"' in svg


def test_a_logarithmic_scale_places_the_median_by_its_logarithm() -> None:
    """10 is in the middle of 1 and 100."""
    assert distribution([1], 1, 100, is_log=True).place(10) == pytest.approx(0.5)
    assert distribution([1], 0, 100).place(10) == pytest.approx(0.1)
    assert distribution([1], 5, 5).place(5) == 0.5
    assert distribution([1], 1, 100, is_log=True).place(0) == 0


def test_a_strip_stands_on_the_scale_of_the_whole() -> None:
    """The box is the middle half, and a flat one is still seen."""
    svg = strip(FLAT, distribution([1]), "words")
    assert 'class="fill" x="25" y="1" width="50"' in svg
    flat = strip(Quartiles(50, 50, 50, 50, 50), distribution([1]), "words")
    assert 'class="fill" x="50" y="1" width="1"' in flat


def test_plots_are_well_formed_and_escape_their_words() -> None:
    """Whatever a name holds."""
    for svg in (histogram(distribution([3, 4]), '"><script>'), strip(FLAT, distribution([1]), '"><script>'), bar(1, 2)):
        assert "<script" not in svg
        assert ElementTree.fromstring(svg).tag == "svg"
