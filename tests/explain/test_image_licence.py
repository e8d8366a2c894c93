"""The licence of an image, in words."""

from dataclasses import replace
from typing import Any

import pytest

from app.domain import ImageState, Reason
from app.explain.image_licence import licence_lines
from tests.explain.test_render import IMAGE

OPEN = {"license": ["open"], "license_unknown": "drop"}
REFUSED = {"state": ImageState.REJECTED, "reason": Reason.LICENCE, "detail": "CC-BY-NC-4.0: not taken by open"}


def told(spec: dict[str, Any], **columns: Any) -> list[tuple[str, str]]:
    """The topics and words of an image with these columns."""
    return [(line.topic, line.words) for line in licence_lines(replace(IMAGE, **columns), spec)]


def test_licence_lines_when_taken() -> None:
    """What is known, what was stated, by whom, and the word that took it."""
    stated = {
        "license": "CC-BY-4.0",
        "license_raw": "cc by 4.0",
        "license_confidence": "asserted",
        "creator": "Ann",
        "attribution": "(c) Ann",
    }
    assert told(OPEN, **stated) == [
        ("licence", "CC-BY-4.0, Ann, credit: (c) Ann"),
        ("stated", "by wikimedia: cc by 4.0 (stated for this image)"),
        ("decided", "--license open takes it: CC-BY-4.0: taken by open"),
    ]


def test_licence_lines_when_refused() -> None:
    """The row's own words; contradicting statements are named."""
    stated = {"license": "CC-BY-NC-4.0", "license_raw": "by-nc", "license_confidence": "derived", "license_note": "A and B were stated"}
    lines = told(OPEN, **stated, **REFUSED)
    assert lines[1] == ("stated", "by wikimedia: by-nc (derived by its source from a rule or a record around the image)")
    assert lines[2:] == [("stated", "A and B were stated"), ("decided", "--license open refuses it: CC-BY-NC-4.0: not taken by open")]


@pytest.mark.parametrize(
    ("spec", "columns", "words"),
    [
        (OPEN | {"license_unknown": "keep"}, {}, "--license open takes it: no licence is known, and unknown ones are kept"),
        ({}, {"license_raw": "ask us"}, "taken without --license: no licence is known, and unknown ones are kept"),
        (OPEN, REFUSED | {"detail": None}, "--license open refuses it: not in the list of accepted licences"),
        ({}, {"license": "pd"}, "taken without --license: LicenseRef-PublicDomain (public domain): every licence is taken"),
    ],
)  # fmt: skip
def test_licence_lines_when_unknown(spec: dict[str, Any], columns: dict[str, Any], words: str) -> None:
    """What is not understood is said to be, with the rule for it."""
    assert told(spec, license_confidence="unknown", **columns)[-1] == ("decided", words)


def test_licence_lines_when_row_is_older() -> None:
    """Rows of versions that decided nothing say nothing about a decision."""
    assert told({}) == []
    assert told({}, license="CC-BY-4.0") == [("licence", "CC-BY-4.0, creator unknown")]


def test_licence_lines_when_text_is_hostile() -> None:
    """Nothing of a source reaches a terminal as it is."""
    assert "\x1b" not in "".join(words for _, words in told({}, license_raw="\x1b[1m", license="\x1b[1m", license_confidence="unknown"))
