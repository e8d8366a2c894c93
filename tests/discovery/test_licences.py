"""Licences: understood or left alone."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.discovery import licences


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("cc-by-sa-4.0", "CC-BY-SA-4.0"),
        ("CC BY-SA 3.0 de", "CC-BY-SA-3.0-DE"),
        ("CC BY 3.0 IGO", "CC-BY-3.0-IGO"),
        ("CC_BY_NC_4_0", "CC-BY-NC-4.0"),
        ("CC BY 4.0 DEED", "CC-BY-4.0"),
        ("Creative Commons Attribution-ShareAlike 4.0 International", "CC-BY-SA-4.0"),
        ("Creative Commons Attribution Non-Commercial No-Derivatives 3.0 Unported", "CC-BY-NC-ND-3.0"),
        ("cc-by", "LicenseRef-CC-BY"),
        ("cc-by-nd-nc-1.0", "CC-BY-NC-ND-1.0"),
        ("cc-sa-1.0", "CC-SA-1.0"),
        ("CC0", "CC0-1.0"),
        ("Creative Commons Zero", "CC0-1.0"),
        ("Public Domain Mark 1.0", "CC-PDM-1.0"),
        ("pd", licences.PUBLIC_DOMAIN),
        ("Public domain", licences.PUBLIC_DOMAIN),
        ("MIT", "MIT"),
        ("http://creativecommons.org/licenses/by/4.0/deed.en", "CC-BY-4.0"),
        ("https://creativecommons.org/licenses/by-sa/3.0/de/legalcode", "CC-BY-SA-3.0-DE"),
        ("//www.creativecommons.org/licenses/by-nc-nd/2.0?x=1#y", "CC-BY-NC-ND-2.0"),
        ("https://creativecommons.org/licenses/by/4.0/legalcode.zh-hans", "CC-BY-4.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("https://creativecommons.org/publicdomain/mark/1.0/deed.de", "CC-PDM-1.0"),
        ("https://creativecommons.org/licenses/publicdomain/", "CC-PDDC"),
    ],
)
def test_normalise_when_known(words: str, expected: str) -> None:
    """Codes, names and addresses of one licence give one id."""
    assert licences.normalise(words) == expected


@pytest.mark.parametrize(
    "words",
    [
        None,
        "",
        "x" * 2_400,
        "cc-by-9.9",
        "cc-by-nd-sa-4.0",
        "cc-by-by-4.0",
        "cc-nc-4.0",
        "cc-by-4.0-de",
        "cc-by-de",
        "https://creativecommons.org.evil.example/licenses/by/4.0/",
        "https://creativecommons.org/licenses/by/7.0/",
        "https://creativecommons.org/publicdomain/zero/2.0/",
        "https://creativecommons.org/publicdomain/other/1.0/",
        "https://example.org/licence",
    ],
)
def test_normalise_when_unknown(words: str | None) -> None:
    """What is not understood is never guessed."""
    assert licences.normalise(words) is None


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
    ],
)
def test_settle_when_statements(statements: tuple[str | None, ...], expected: str | None) -> None:
    """What agrees becomes the most exact statement; of contradicting statements the strictest holds, the first of equals."""
    assert licences.settle(*statements) == expected


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
