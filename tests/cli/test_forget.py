"""``pictrawl forget`` and ``tombstones``: what is removed, in words and as data."""

import io
import sys
from pathlib import Path

import pytest

from app.cli import exit_codes
from tests.cli.conftest import Invoke, Result


def url_of(invoke: Invoke, name: str) -> str:
    """The URL of an image by its end."""
    items = invoke("images", "ls", "--json").json["items"]
    return next(str(item["url"]) for item in items if item["url"].endswith(name))


def assert_refused(result: Result, words: str) -> None:
    assert result.code == exit_codes.USAGE
    assert words in result.err


def test_an_image_is_forgotten_and_what_held_it_is_named(mixed: Result, invoke: Invoke) -> None:
    """First shown, then done; the dataset has one image less, and a tombstone says why."""
    url = url_of(invoke, "/busy.jpg")
    would = invoke("forget", url, "--dry-run", "--exact")
    assert "would forget 1 image of 1 dataset (1 by URL)" in would.out
    assert invoke("tombstones", "ls", "--json").json["items"] == []
    done = invoke("forget", url, "--exact", "--reason", "a person asked", "--json").json
    assert (done["images"], done["found"], done["tombstones"], done["dry_run"]) == (1, {"url": 1}, 1, False)
    (made,) = done["exports"]
    assert made["dataset_id"] == done["datasets"][0]
    assert made["destination"].endswith("/datasets/list")
    (item,) = invoke("tombstones", "ls", "--json").json["items"]
    assert (item["url"], item["reason"], len(item["sha256"]), len(item["phash"] or "")) == (url, "a person asked", 64, 0)
    assert "a person asked" in invoke("tombstones", "ls").out
    assert invoke("datasets", "ls", "--json").json["items"][0]["kept"] == 2
    assert "removed on request" in invoke("explain", url).out


def test_a_list_is_forgotten(mixed: Result, invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One a line; empty lines and comments are passed over; copies that were delivered are named."""
    listed = tmp_path / "takedown.txt"
    url = url_of(invoke, "/kept.jpg")
    listed.write_text(f"# from a mail\n\n{url}\n  {'ab' * 32}\n")
    done = invoke("forget", "--exact", "--from-list", str(listed))
    assert "forgot 2 images of 1 dataset (1 by digest, 1 by URL); 2 tombstones in force" in done.out
    assert "these exports held it; copies that were delivered still do" in done.out
    monkeypatch.setattr(sys, "stdin", io.StringIO("cd" * 32))
    assert invoke("forget", "--from-list", "-", "-q").out == "0\n"


def test_a_tombstone_can_be_taken_back(mixed: Result, invoke: Invoke) -> None:
    """By its id; another id is named."""
    invoke("forget", "https://img.example/never.jpg")
    (item,) = invoke("tombstones", "ls", "--json").json["items"]
    assert item["sha256"] is None
    assert "is removed" in invoke("tombstones", "rm", item["id"]).out
    assert invoke("tombstones", "ls", "--json").json["items"] == []
    again = invoke("tombstones", "rm", item["id"])
    assert (again.code, f"no tombstone {item['id']}" in again.err) == (exit_codes.USAGE, True)


def test_nothing_to_forget_is_an_error_with_the_way_out(mixed: Result, invoke: Invoke, tmp_path: Path) -> None:
    """So is a list that cannot be read, and a word."""
    assert_refused(invoke("forget"), "name a URL, a SHA-256 digest or an image's id")
    assert_refused(invoke("forget", "--from-list", str(tmp_path / "none.txt")), "cannot be read")
    assert_refused(invoke("forget", "cats"), "'cats' is no URL, digest or image")
    assert_refused(invoke("forget", "https://img.example/a.jpg", "--reason", "b\udcff"), "is not UTF-8")
    assert_refused(invoke("datasets", "merge", "a", "b", "--name", "b\udcff"), "is not UTF-8")
