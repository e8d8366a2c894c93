"""Tests of app.discovery.folders.place: a place and its URL say the same."""

import pytest

import errors
from app.discovery.folders import place
from app.discovery.folders.place import Place


@pytest.mark.parametrize(
    ("found", "url"),
    [
        (Place("/a/b.jpg"), "file:///a/b.jpg"),
        (Place("/a b/é#1?%.jpg"), "file:///a%20b/%C3%A9%231%3F%25.jpg"),
        (Place("/a/\udcff.jpg"), "file:///a/%FF.jpg"),
        (Place("/a/0.tar", member="x/1 &=#.jpg", offset=1536), "file:///a/0.tar#offset=1536&member=x/1%20%26%3D%23.jpg"),
        (Place("/a/0.parquet", row=17), "file:///a/0.parquet#row=17"),
        (Place("/a/0.parquet", row=0), "file:///a/0.parquet#row=0"),
    ],
)
def test_a_place_is_read_from_its_url(found: Place, url: str) -> None:
    """Spaces, signs of URLs and bytes that are no UTF-8 included."""
    assert found.url == url
    assert Place.parse(url) == found


@pytest.mark.parametrize(
    "name", ["", "  ", "/etc/passwd", "../1.jpg", "a/../../1.jpg", "..", ".", "file:///etc/passwd", "C:\\1.jpg", "\\\\x\\y"]
)
def test_a_row_names_nothing_outside_of_its_folder(name: str) -> None:
    """A dataset from elsewhere must not bring in other files of this machine."""
    with pytest.raises(errors.InvalidURLError, match="no path inside the folder"):
        place.read("/data", name)


@pytest.mark.parametrize(
    ("name", "url"), [("a/1.jpg", "/a/1.jpg"), ("./1.jpg", "/1.jpg"), ("a/../1.jpg", "/1.jpg"), ("a b#.jpg", "/a%20b%23.jpg")]
)
def test_a_row_names_a_file_relative_to_its_folder(name: str, url: str) -> None:
    """Two spellings are one file."""
    assert place.read("/data", name) == f"file:///data{url}"


def test_a_dataset_tells_nothing_of_this_machine() -> None:
    """The URL of a local file is relative to the folder that was read."""
    assert place.published_url("file:///home/jane/my%20data/a/1.jpg", "/home/jane/my data") == "a/1.jpg"
    assert place.published_url("file:///data/0.tar#offset=0&member=1.jpg", "/data") == "0.tar#offset=0&member=1.jpg"
