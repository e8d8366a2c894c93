"""Tests of app.storage.paths: keys are spelled in one way and cannot leave the store."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import errors
from app.storage import paths

DIGEST = "ab12" + "0" * 60


def test_keys_are_spelled_as_documented() -> None:
    """The layout of the store is contract: other versions read it."""
    assert paths.blob(DIGEST) == f"blobs/ab/12/{DIGEST}"
    assert paths.thumb(DIGEST) == f"thumbs/ab/{DIGEST}.jpg"
    assert paths.url_list("l-1", ".csv.gz") == "lists/l-1.csv.gz"
    assert paths.url_list("l-1", "txt") == "lists/l-1.txt"
    assert paths.export("e_1") == "exports/e_1"


def test_blob_digest_reads_a_blob_key_back() -> None:
    """Only a blob's own key gives a digest: not a thumbnail's, not one in the wrong folder."""
    assert paths.blob_digest(paths.blob(DIGEST)) == DIGEST
    for key in (paths.thumb(DIGEST), f"blobs/ab/13/{DIGEST}", f"x/{paths.blob(DIGEST)}", "blobs/ab/12/short"):
        assert paths.blob_digest(key) is None


@pytest.mark.parametrize("digest", ["", "AB" * 32, "../" + "a" * 61, "a" * 63, "a" * 64 + "\n"])
def test_blob_refuses_what_is_no_digest(digest: str) -> None:
    """A digest is 64 lower-case hex digits."""
    with pytest.raises(errors.ValidationError, match="sha256"):
        paths.blob(digest)


@pytest.mark.parametrize(("list_id", "suffix"), [("../x", "txt"), ("a/b", "txt"), ("", "txt"), ("a", "t/x"), ("a", ".."), ("a", "")])
def test_url_list_refuses_ids_and_suffixes_that_are_paths(list_id: str, suffix: str) -> None:
    """No part of a list's key comes from a user unchecked."""
    with pytest.raises(errors.ValidationError):
        paths.url_list(list_id, suffix)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/etc/passwd",
        "a//b",
        "a/",
        "..",
        "a/../b",
        "a/./b",
        ".scratch/x",
        "a\\b",
        "a\0b",
        "a b",
        "a#1",
        "a\n",
        "x" * 201,
        "a/" * 600 + "a",
    ],
)
def test_check_key_refuses_keys_that_leave_the_store(key: str) -> None:
    """Absolute, climbing, hidden, over-long and staged names are refused."""
    with pytest.raises(errors.ValidationError, match="storage key"):
        paths.check_key(key)


def test_check_prefix_allows_everything_and_one_trailing_slash() -> None:
    """A prefix is a key, or empty, and may end in a slash."""
    assert paths.check_prefix("") == ""
    assert paths.check_prefix("blobs/") == "blobs"
    with pytest.raises(errors.ValidationError):
        paths.check_prefix("../")


@given(st.text())
def test_an_accepted_key_has_no_segment_that_climbs(key: str) -> None:
    """Whatever is accepted stays below the root on every system."""
    try:
        paths.check_key(key)
    except errors.ValidationError:
        return
    assert all(segment not in ("", ".", "..") and not segment.startswith(".") for segment in key.split("/"))
    assert key.isascii()
    assert not set(key) & set('\\:*?"<>| ')
