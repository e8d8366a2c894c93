"""The parts of a version mean what Croissant says: patch the same records, minor more records, major other or fewer records."""

import pytest

import errors
from app.datasets.semver import FIRST, Version, next_version

Records = dict[str, tuple[str, str]]
"""What a diff compares: the digest, the label and the split of an image by its URL; here label and split."""

BASE: Records = {"a": ("cat", "train"), "b": ("cat", "train"), "c": ("dog", "test")}


def diff(before: Records, after: Records) -> tuple[int, int, int]:
    changed = sum(before[url] != after[url] for url in before.keys() & after.keys())
    return len(after.keys() - before.keys()), len(before.keys() - after.keys()), changed


def without(records: Records, *urls: str) -> Records:
    return {url: record for url, record in records.items() if url not in urls}


RELABELLED = BASE | {"a": ("lynx", "train")}
RESPLIT = BASE | {"b": ("cat", "test")}
GROWN = BASE | {"d": ("cat", "train")}

SCRIPTED = [
    # previous, before, after, expected
    ("1.0.0", BASE, BASE, "1.0.1"),  # written again, in another format or with another text
    ("1.0.1", BASE, BASE, "1.0.2"),
    ("1.0.9", BASE, BASE, "1.0.10"),
    ("1.2.3", BASE, BASE, "1.2.4"),
    ("2.0.0", {}, {}, "2.0.1"),
    ("1.0.0", {}, BASE, "1.1.0"),
    ("1.0.0", BASE, GROWN, "1.1.0"),
    ("1.0.7", BASE, GROWN, "1.1.0"),
    ("1.9.0", BASE, GROWN, "1.10.0"),
    ("3.4.5", BASE, GROWN, "3.5.0"),
    ("1.0.0", BASE, GROWN | {"e": ("dog", "val")}, "1.1.0"),
    ("1.1.0", GROWN, GROWN | {"e": ("dog", "val")}, "1.2.0"),
    ("1.0.0", BASE, BASE | {f"x{number}": ("cat", "train") for number in range(1_000)}, "1.1.0"),
    ("1.0.0", BASE, {}, "2.0.0"),
    ("1.0.0", BASE, without(BASE, "a"), "2.0.0"),
    ("1.4.2", BASE, without(BASE, "a"), "2.0.0"),
    ("1.4.2", BASE, without(BASE, "a", "b", "c"), "2.0.0"),
    ("9.9.9", BASE, without(BASE, "c"), "10.0.0"),
    ("1.0.0", BASE, without(GROWN, "a"), "2.0.0"),  # one for another
    ("1.3.0", GROWN, BASE, "2.0.0"),  # what was added is taken back
    ("1.0.0", BASE, RELABELLED, "2.0.0"),
    ("1.0.0", BASE, RESPLIT, "2.0.0"),
    ("1.0.0", BASE, RELABELLED | {"b": ("cat", "test")}, "2.0.0"),
    ("1.6.1", BASE, RELABELLED | {"d": ("cat", "train")}, "2.0.0"),
    ("1.6.1", BASE, RESPLIT | {"d": ("cat", "train")}, "2.0.0"),
    ("2.0.0", RELABELLED, BASE, "3.0.0"),  # the old label again is a change too
    ("2.0.0", RESPLIT, without(RESPLIT, "b"), "3.0.0"),
    ("1.0.0", BASE, BASE | {"c": ("dog", "train")}, "2.0.0"),
    ("1.0.0", BASE, {"d": ("cat", "train")}, "2.0.0"),  # nothing in common
    ("1.0.0", BASE, dict(reversed(BASE.items())), "1.0.1"),  # the order is no part of it
    ("1.0.0", BASE, {url: ("", split) for url, (_, split) in BASE.items()}, "2.0.0"),  # all labels gone
    ("0.1.0", BASE, GROWN, "0.2.0"),
]


@pytest.mark.parametrize(("previous", "before", "after", "expected"), SCRIPTED)
def test_next_version_of_a_scripted_diff(previous: str, before: Records, after: Records, expected: str) -> None:
    assert str(next_version(Version.parse(previous), *diff(before, after))) == expected


def test_thirty_diffs_are_scripted() -> None:
    assert len(SCRIPTED) >= 30


def test_the_first_version_is_one() -> None:
    assert next_version(None, 12, 0, 0) == FIRST == (1, 0, 0)


def test_versions_compare_by_number() -> None:
    assert Version.parse("1.10.0") > Version.parse("1.9.12")


@pytest.mark.parametrize(
    "text", ["", "1", "1.0", "v1.0.0", "1.0.0-rc1", "01.0.0", "1.0.0.0", " 1.0.0", "1.0.-1", "1.0.9999999999", "１.0.0"]
)
def test_parse_names_what_it_wants(text: str) -> None:
    with pytest.raises(errors.ValidationError, match=r"is not MAJOR\.MINOR\.PATCH, such as 1\.2\.0"):
        Version.parse(text)
