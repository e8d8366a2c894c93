"""``pictrawl review``, ``reviews ls|undo`` and ``datasets duplicates``: a person decides, in words and as data."""

import pytest

from app.cli import exit_codes
from tests.cli.conftest import Invoke, Result


def kept(invoke: Invoke) -> list[str]:
    """Ids of kept images."""
    return [str(item["id"]) for item in invoke("images", "ls", "--json").json["items"] if item["status"] == "kept"]


def test_images_are_rejected_and_taken_back(mixed: Result, invoke: Invoke) -> None:
    """The answer has the command that takes it back; the log says who, what and why, and the story of the image too."""
    (first, *rest) = kept(invoke)
    done = invoke("review", "list", first, "--reject", "--note", "watermark")
    assert "reject: 1 image decided; undo with `pictrawl reviews undo rev_" in done.out
    assert kept(invoke) == rest
    (item,) = invoke("reviews", "ls", "list", "--json").json["items"]
    assert (item["image_id"], item["user_id"], item["note"], item["undone"]) == (int(first), "local", "watermark", False)
    assert 'reject by local: kept -> rejected; "watermark"' in invoke("reviews", "ls", "list").out
    assert "rejected_by_reviewer" in invoke("explain", first).out
    back = invoke("reviews", "undo", item["review"], "--json").json
    assert (back["action"], back["decided"]) == ("undo", 1)
    assert kept(invoke) == [first, *rest]


def test_a_filter_is_shown_first(mixed: Result, invoke: Invoke) -> None:
    """How many match; with --yes they are decided."""
    number = len(kept(invoke))
    would = invoke("review", "list", "--where", "width > 1", "--state", "kept", "--relabel", "cat")
    assert f"{number} images match; with --yes they are decided: relabel" in would.out
    done = invoke("review", "list", "--where", "width > 1", "--state", "kept", "--relabel", "cat", "--yes", "--json").json
    assert (done["decided"], done["refused"]) == (number, 0)
    assert {item["label"] for item in invoke("images", "ls", "--json").json["items"] if item["status"] == "kept"} == {"cat"}


def test_what_cannot_be_decided_is_named(mixed: Result, invoke: Invoke) -> None:
    """Each image with why."""
    failed = next(str(item["id"]) for item in invoke("images", "ls", "--json").json["items"] if item["status"] == "failed")
    done = invoke("review", "list", failed, "999999", "--keep")
    assert "keep: nothing was changed" in done.out
    assert f"image {failed} was left as it is: it is failed" in done.out
    assert "image 999999 was left as it is: dataset" in done.out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("1",), "say what is decided"),
        (("1", "--keep", "--reject"), "say what is decided"),
        (("--keep",), "name images, or say which"),
        (("1", "--keep", "--where", "width > 1"), "name images, or say which"),
        (("--where", "width > 1", "--keep-instead"), "is about one duplicate"),
        (("1", "2", "--split-group"), "is decided by one of its duplicates"),
    ],
)
def test_usage(mixed: Result, invoke: Invoke, options: tuple[str, ...], words: str) -> None:
    """Exit code 2, and what to write instead."""
    result = invoke("review", "list", *options)
    assert (result.code, words in result.err) == (exit_codes.USAGE, True)


def test_groups_are_listed(mixed: Result, invoke: Invoke) -> None:
    """With the kept image and the distance of each copy."""
    groups = invoke("datasets", "duplicates", "list", "--json").json["items"]
    text = invoke("datasets", "duplicates", "list").out
    for group in groups:
        assert str(group["id"]) in text
        assert all(str(member["id"]) in text for member in group["members"])
