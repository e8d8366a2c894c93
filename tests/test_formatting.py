"""Numbers, times and foreign text as people read them."""

import pytest

from app import formatting

SIZES = [(0, "0 B"), (999, "999 B"), (1200, "1.2 kB"), (212_400_000, "212 MB"), (3.5e9, "3.5 GB"), (2e12, "2.0 TB")]


@pytest.mark.parametrize(("value", "text"), SIZES)
def test_size_is_decimal(value: float, text: str) -> None:
    """MB is a million bytes."""
    assert formatting.size(value) == text


@pytest.mark.parametrize(("value", "text"), [(-1, "0s"), (45, "45s"), (118, "1m58s"), (11_100, "3h05m")])
def test_duration_is_short(value: float, text: str) -> None:
    """At most two units."""
    assert formatting.duration(value) == text


def test_counts_have_nouns_and_groups() -> None:
    """One image, many images."""
    assert formatting.count(1, "image") == "1 image"
    assert formatting.count(12345, "image") == "12 345 images"
    assert formatting.clock(3661) == "1:01:01"
    assert formatting.when(None) == "-"


def test_listing_sums_the_rest() -> None:
    """The most frequent first, what is left over as one."""
    assert formatting.listing({"a": 5, "b": 2, "c": 1}, most=1) == "a 5 · other 3"


def test_words_to_choose_from_end_with_or() -> None:
    """One is itself."""
    assert [formatting.either(words) for words in (["png"], ["webp", "png"], ["jpeg", "webp", "png"])] == [
        "png",
        "webp or png",
        "jpeg, webp or png",
    ]


def test_clipped_text_does_not_speak_to_the_terminal() -> None:
    """Control characters become spaces; what is too long ends in an ellipsis."""
    assert formatting.clipped("a\x1b[31mb\nc", 20) == "a [31mb c"
    assert formatting.clipped("abcdef", 4) == "abc…"
