"""Licences: understood or left alone."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.licenses import canonicalize_license_expression

from app.discovery import licences
from app.discovery.licences.terms import KNOWN, terms_of
from tests.discovery.licences.statements import STATEMENTS


@pytest.mark.parametrize(("words", "expected"), STATEMENTS)
def test_normalise_when_stated(words: str, expected: str | None) -> None:
    """A statement gives the one id that it means, or none."""
    assert licences.normalise(words) == expected


def test_statements_when_counted() -> None:
    """There are enough of them, none twice, and each id is one of SPDX or a reference as SPDX writes it."""
    assert len({words for words, _ in STATEMENTS}) == len(STATEMENTS) >= 200
    ids = {licence for _, licence in STATEMENTS if licence}
    assert {licence: canonicalize_license_expression(licence) for licence in ids} == {licence: licence for licence in ids}


@pytest.mark.parametrize("licence", sorted({licence for _, licence in STATEMENTS if licence} | KNOWN.keys()))
def test_normalise_when_id(licence: str) -> None:
    """An id stands for itself, and its terms are known."""
    assert licences.normalise(licence) == licence
    assert terms_of(licence) is not None
    assert canonicalize_license_expression(licence) == licence


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (("cc-by-sa-4.0", "https://creativecommons.org/licenses/by-sa/4.0", "CC BY-SA 4.0"), "CC-BY-SA-4.0"),
        (("cc-by-sa-3.0-migrated", "https://creativecommons.org/licenses/by-sa/3.0/", None), "CC-BY-SA-3.0"),
        (("cc-by", "CC BY 2.0"), "CC-BY-2.0"),
        (("CC BY 2.0", "cc-by"), "CC-BY-2.0"),
        (("pd", "https://creativecommons.org/publicdomain/mark/1.0/"), "CC-PDM-1.0"),
        (("https://creativecommons.org/publicdomain/zero/1.0/", "pd"), "CC0-1.0"),
        (("cc-by-4.0", "CC BY-SA 4.0"), "CC-BY-SA-4.0"),
        (("cc-by-nc-4.0", "cc0", "CC BY-SA 4.0"), "CC-BY-NC-4.0"),
        (("All rights reserved", "cc-by"), licences.RESERVED),
        (("cc-by-sa-3.0", "CC BY-SA 3.0 de"), "CC-BY-SA-3.0"),
        (("no licence here", None), None),
        (("© Jane Doe", "CC BY 4.0"), "CC-BY-4.0"),
        (("Jane Doe", "© Jane Doe"), licences.RESERVED),
    ],
)
def test_settle_when_statements(statements: tuple[str | None, ...], expected: str | None) -> None:
    """What agrees becomes the most exact statement; of contradicting statements the strictest holds, the first of equals."""
    assert licences.settle(*statements) == expected


def test_normalise_when_an_address_is_hostile() -> None:
    """Its many hyphens are matched in one way only, so it takes no time."""
    assert licences.normalise(f"https://creativecommons.org/licenses/by/4.0/deed{'-' * 1_000}!") is None


def test_contradiction_when_statements_agree_or_not() -> None:
    """What was stated and what holds is said in words, only where statements disagree."""
    assert licences.contradiction("cc-by", "CC BY 4.0", None) is None
    words = licences.contradiction("cc-by-4.0", "CC BY-NC 4.0")
    assert words == "CC-BY-4.0 and CC-BY-NC-4.0 were stated; the stricter, CC-BY-NC-4.0, holds"


@settings(deadline=None)
@given(st.text(max_size=60))
def test_normalise_twice_when_anything(words: str) -> None:
    """An id stands for itself."""
    found = licences.normalise(words)
    assert found is None or licences.normalise(found) == found


@pytest.mark.parametrize(
    "licence", ["CC-BY-SA-3.0-DE", "CC-BY-NC-4.0", "CC-BY-NC-ND-1.0", "LicenseRef-CC-BY-SA-2.5-IT", "CC0-1.0", "CC-PDM-1.0"]
)
def test_url_of_when_creative_commons(licence: str) -> None:
    """The address of an id leads back to the id."""
    assert licences.normalise(licences.url_of(licence)) == licence


@pytest.mark.parametrize("licence", [None, "MIT", "LicenseRef-CC-BY", "LicenseRef-GFDL"])
def test_url_of_when_not_known(licence: str | None) -> None:
    """No address is made up."""
    assert licences.url_of(licence) is None
