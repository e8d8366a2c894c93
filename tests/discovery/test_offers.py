"""Tests of app.discovery.offers: which candidates are new, and what a further offer changes."""

from dataclasses import replace
from typing import Any

import pytest

from app.discovery.licences.policy import ANYTHING, LicencePolicy
from app.discovery.offers import MAX_OFFERS, Change, Found, Offered, add_offer, divide
from app.domain import Candidate

ROW = Offered(7, "https://a.example/1.jpg", "flickr", "https://a.example/p/1", "CC-BY-2.0", None, "CC BY 2.0", "asserted", None)
OPEN = LicencePolicy.of(["open"])


def found(url: str, *names: str) -> Found:
    """A candidate with names."""
    return Found(url, Candidate(url, "openverse"), (url, *names))


def offer(**values: Any) -> Candidate:
    """An offer by another source."""
    return Candidate(**{"url": "https://b.example/1.jpg", "source": "openverse"} | values)


def test_a_picture_is_new_once() -> None:
    """Known by URL or identity, or named by an earlier candidate of the page, also in two steps."""
    page = [found("a", "x:1"), found("b", "x:1", "y:1"), found("c", "y:1"), found("d", "x:2"), found("e"), found("e")]
    fresh, again = divide(page, {"x:2"})
    assert [item.url for item in fresh] == ["a", "e"]
    assert [item.url for item in again] == ["b", "c", "d", "e"]


def test_rows_of_a_list_are_all_new() -> None:
    """They have no names."""
    rows = [Found("a", Candidate("a", "list", line=1)), Found("a", Candidate("a", "list", line=2))]
    assert divide(rows, ()) == (rows, [])


def test_an_offer_stands_on_the_row_once() -> None:
    """With what its source says; the same one again, by a page that is read twice, changes nothing."""
    said = offer(page_url="https://b.example/p", license="CC-BY-2.0")
    change = add_offer(ROW, said, ANYTHING)
    assert change is not None
    assert change.values["offers"] == [{"source": "openverse", "url": said.url, "page_url": "https://b.example/p", "license": "CC-BY-2.0"}]
    assert change.refused is None
    assert "license" not in change.values
    assert add_offer(change.applied_to(ROW), said, ANYTHING) is None
    assert add_offer(ROW, Candidate(ROW.url, "flickr"), ANYTHING) is None
    assert add_offer(ROW, offer(source="flickr", page_url=ROW.page_url), ANYTHING) is None  # another size
    assert add_offer(replace(ROW, page_url=None), offer(source="flickr"), ANYTHING) is not None


@pytest.mark.parametrize(
    ("mine", "theirs", "licence", "refused"),
    [
        ("CC-BY-2.0", "CC-BY-2.0", "CC-BY-2.0", False),
        ("CC-BY-2.0", None, "CC-BY-2.0", False),
        ("CC-BY-2.0", "see the page", "CC-BY-2.0", False),
        ("CC-BY-2.0", "CC-BY-NC-2.0", "CC-BY-NC-2.0", True),
        ("CC-BY-NC-2.0", "CC-BY-2.0", "CC-BY-NC-2.0", True),
        ("CC-BY-2.0", "All rights reserved", "LicenseRef-AllRightsReserved", True),
        (None, "CC-BY-2.0", "CC-BY-2.0", False),
    ],
)
def test_of_two_licences_the_stricter_holds(mine: str | None, theirs: str | None, licence: str, refused: bool) -> None:
    """Whichever came first; silence is no statement; the row says how it was settled."""
    row = replace(ROW, license=mine, license_raw=mine)
    change = add_offer(row, offer(license=theirs, license_confidence="asserted"), OPEN)
    assert change is not None
    after = change.applied_to(row)
    assert (after.license, change.refused is not None) == (licence, refused)
    if mine and mine != licence:
        assert change.values["license_note"] == f"{mine} and {licence} were stated; the stricter, {licence}, holds"
        assert change.values["license_raw"] == f"{mine} | {theirs}"
    if refused:
        assert licence in str(change.refused)


def test_a_refusal_stays_whatever_is_offered_next() -> None:
    """Of two changes of one row."""
    first, second = Change({"offers": [1], "license": "a"}, "no"), Change({"offers": [1, 2]})
    assert first.followed_by(second) == Change({"offers": [1, 2], "license": "a"}, "no")


def test_the_first_word_on_a_licence_lifts_a_refusal_for_silence() -> None:
    """Silence is no statement that could be stricter; a licence that is not taken lifts nothing."""
    silent = replace(ROW, license=None, license_raw=None)
    taken, refused = add_offer(silent, offer(license="CC0-1.0"), OPEN), add_offer(silent, offer(license="CC-BY-NC-4.0"), OPEN)
    assert taken is not None
    assert refused is not None
    assert (taken.is_first_word, refused.is_first_word) == (True, False)
    second = add_offer(ROW, offer(license="CC0-1.0"), OPEN)
    assert second is not None
    assert not second.is_first_word
    assert not taken.followed_by(refused).is_first_word


def test_offers_are_bounded() -> None:
    """A picture that everybody offers does not grow its row for ever."""
    row = replace(ROW, offers=[{"source": "x", "url": str(number)} for number in range(MAX_OFFERS)])
    change = add_offer(row, offer(), ANYTHING)
    assert change is not None
    assert len(change.values["offers"]) == MAX_OFFERS
