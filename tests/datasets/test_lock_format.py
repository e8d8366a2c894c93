"""The lines of a lock: what each may hold, how they are sealed, and which paths stay in their folder."""

import hashlib
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

import errors
from app.datasets.lock_format import LockedImage, Sealer, is_inside
from tests.datasets.locks import IMAGE


def test_a_line_has_what_is_known_and_nothing_else() -> None:
    """Values that are not known are left out; the digest is that of all lines so far."""
    sealer = Sealer()
    line = sealer.image(LockedImage(**IMAGE, label="cat", extra={"z": 1, "a": [2]}))
    assert orjson.loads(line) == {**IMAGE} | {"label": "cat", "extra": {"z": 1, "a": [2]}}
    assert list(orjson.loads(line)["extra"]) == ["z", "a"], "columns stay in their order"
    assert orjson.loads(sealer.end()) == {"images": 1, "lines_sha256": hashlib.sha256(line).hexdigest()}


@pytest.mark.parametrize("value", ["\ud800", 2**70])
def test_what_json_does_not_hold_is_named(value: object) -> None:
    """Half of a surrogate pair, and a number that readers would round."""
    with pytest.raises(errors.ValidationError, match="image 1 of the dataset cannot be written into a lock"):
        Sealer().image(LockedImage(**{**IMAGE} | {"extra": {"column": value}}))


@pytest.mark.parametrize("path", ["a.jpg", "a/b%20c.jpg", "0.tar#offset=512&member=../x.jpg", "0.parquet#row=3", "..a/b..", "%C3%A4.jpg"])
def test_paths_inside_a_folder(path: str) -> None:
    """Dots are no danger by themselves; what names a part of a file is none of its path."""
    assert is_inside(path)


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../a.jpg", "a/../../b", "%2e%2e/a", "a%2f..%2fb", "", "./a", "a//b", "C:/a", "C:", "a%00.jpg", r"..\a"]
)
def test_paths_that_lead_out_of_a_folder_or_name_no_file(path: str) -> None:
    """Also escaped, and in the ways of other systems: a lock may come from anybody."""
    assert not is_inside(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"url": "file:///etc/passwd"}, "is no URL to fetch"),
        ({"url": None}, "must have a url, or with source folder a path"),
        ({"url": None, "path": "a.jpg"}, "must have a url, or with source folder a path"),
        ({"path": "a.jpg", "source": "folder"}, "must have a url, or with source folder a path"),
        ({"source": "folder"}, "must have a url, or with source folder a path"),
        ({"url": None, "source": "folder", "path": "../a.jpg"}, "leads out of the folder"),
        ({"sha256": "A" * 64}, "sha256"),
        ({"media_type": "text/html"}, "media_type"),
        ({"split": "../x"}, "split"),
        ({"label": "x" * 101}, "label"),
        ({"size_bytes": -1}, "size_bytes"),
        ({"form": {"sha256": "a"}}, "form"),
        ({"password": "x"}, "password"),
    ],
)
def test_a_line_that_cannot_be_is_refused(change: dict[str, Any], words: str) -> None:
    """Each field has its type and its bounds: those of its column, or the rules of file names."""
    with pytest.raises(ValidationError, match=words):
        LockedImage(**{**IMAGE} | change)


def test_a_place_is_the_normalised_url_or_the_path() -> None:
    """Two spellings of a URL are one place."""
    assert LockedImage(**{**IMAGE} | {"url": "HTTPS://Example.org:443/0"}).place == LockedImage(**IMAGE).place
    assert LockedImage(**{**IMAGE} | {"url": None, "path": "a.jpg", "source": "folder"}).place == "a.jpg"
