"""A lock is read to its end before anything is made of it; whatever is wrong with it is named with the line and the way out."""

import gzip
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import zstandard

import errors
from app.datasets.lock_reading import check_lock, read_images
from tests.datasets.locks import FACTS, HEADER, IMAGE, reseal

LINES = [orjson.dumps({**HEADER, "images": 3}), *(orjson.dumps({**IMAGE, "index": n, "url": f"https://example.org/{n}"}) for n in range(3))]
GOOD = reseal(LINES)


@pytest.fixture
def written(tmp_path: Path) -> Callable[[bytes], Path]:
    """Write a file that calls itself a lock."""

    def write(body: bytes) -> Path:
        path = tmp_path / "dataset.lock"
        path.write_bytes(body)
        return path

    return write


@pytest.mark.parametrize(
    ("packing", "pack"),
    [("", bytes), (".gz", gzip.compress), (".zst", zstandard.compress), ("", lambda body: body.replace(b"\n", b"\r\n"))],
)
def test_a_good_lock_is_read_whatever_its_name_and_packing(
    written: Callable[[bytes], Path], packing: str, pack: Callable[[bytes], bytes]
) -> None:
    """Line feeds that a transfer has changed do no harm; its digest is that of the lines."""
    path = written(pack(GOOD))
    checked = check_lock(path, "1.0")
    assert (checked.packing, checked.header.images, checked.local) == (packing, 3, 0)
    assert checked.digest == orjson.loads(GOOD.splitlines()[-1])["lines_sha256"]
    assert [image.index for image in read_images(path, packing)] == [0, 1, 2]
    assert [image.index for image in read_images(path, packing, skip=2)] == [2]


BOX = {"label": "cat", "x": 0, "y": 0.5, "width": 2, "height": 1}


def nested(depth: int) -> bytes:
    """Objects in each other; a thousand are JSON, but more than Python calls within each other."""
    return b'{"a":' * depth + b"1" + b"}" * depth


def line(index: int, **values: Any) -> bytes:
    return orjson.dumps({**IMAGE} | {"index": index, "url": f"https://example.org/{index}"} | values)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"https://example.org/a.jpg\n", "its first line is no header of one; a list of URLs is given as `pictrawl build --urls FILE`"),
        (b'{"url": "https://example.org/a.jpg"}\n', "is no lock"),
        (b"[1]\n", "is no lock"),
        (
            orjson.dumps({"pictrawl_lock": 3, "generator": "pictrawl 9.9", "new": 1}) + b"\n",
            "has schema version 3, written by pictrawl 9.9, and pictrawl 1.0 reads up to 2; upgrade pictrawl",
        ),
        (reseal([orjson.dumps({"pictrawl_lock": "x"}), *LINES[1:]]), "line 1 pictrawl_lock must be a whole number"),
        (reseal([orjson.dumps({**HEADER, "provenance": {"schema_version": 9}}), *LINES[1:]]), "line 1 provenance cannot be read"),
        (b"\n".join(LINES), "has no last line: it was cut off after 3 images"),
        (b"\n".join(LINES[:2])[:-9], "line 2 is no JSON object"),
        (GOOD.replace(b"https://example.org/1", b"https://example.org/x"), "was changed: its lines have the digest"),
        (reseal(LINES[:3]), "has 2 images, its header promises 3 and its last line 2"),
        (b"\n".join([*LINES[:3], GOOD.splitlines()[-1]]), "has 2 images, its header promises 3 and its last line 3"),
        (reseal([*LINES[:2], b"{not json", *LINES[3:]]), "line 3 is no JSON object"),
        (reseal([*LINES[:2], b"", *LINES[2:]]), "line 3 is no JSON object"),
        (reseal([LINES[0], LINES[2], LINES[1], LINES[3]]), "line 2 has index 1 where 0 is next"),
        (reseal([*LINES[:2], *LINES[3:]]), "line 3 has index 2 where 1 is next"),
        (reseal([*LINES[:3], line(2, url="HTTPS://example.org:443/0")]), "line 4 names the same image as line 2: https://example.org/0"),
        (reseal([*LINES[:3], line(2, title="a\0b")]), "line 4 holds NUL in a text"),
        (reseal([*LINES[:3], line(2, extra={"a": [{"b\0": 1}]})]), "line 4 holds NUL in a text"),
        (reseal([*LINES[:3], line(2)[:-1] + b',"extra":{"a":%s,"b":"\\u0000"}}' % nested(900)]), "line 4 holds NUL in a text"),
        (reseal([*LINES[:3], line(2, url="ftp://x/y")]), "line 4 url is no URL to fetch"),
        (reseal([*LINES[:3], line(2, url="file:///etc/passwd")]), "line 4 url is no URL to fetch"),
        (reseal([*LINES[:3], line(2, boxes=[{"x": 1}])]), "line 4 boxes.0 must have a label, x, y, width and height"),
        (reseal([*LINES[:3], line(2, boxes=[BOX | {"label": 1}])]), "line 4 boxes.0 must have a label, x, y, width and height"),
        (reseal([*LINES[:3], line(2, boxes=[BOX | {"x": "1"}])]), "line 4 boxes.0 must have numbers of pixels"),
        (reseal([*LINES[:3], line(2, boxes=[BOX | {"x": 1e308}])]), "line 4 boxes.0 must have numbers of pixels"),
        (reseal([*LINES[:3], line(2, boxes=[BOX] * 1001)]), "line 4 boxes "),
        (
            reseal([orjson.dumps({**HEADER, "provenance": {**FACTS.to_json(), "created_at": 1e300}}), *LINES[1:]]),
            "line 1 provenance cannot",
        ),
        (reseal([*LINES[:3], line(2, width="wide")]), "line 4 width must be a whole number"),
        (reseal([*LINES[:3], line(2, title="x" * (5 << 20))]), "line 4 is longer than 4 194 304 bytes"),
        (GOOD + LINES[1] + b"\n", "line 6 stands behind the last line of the lock"),
        (gzip.compress(GOOD)[:-20], "cannot be read: the packed data is damaged or cut off here"),
        (zstandard.compress(GOOD)[:-4], "cannot be read: the packed data is damaged or cut off here"),
    ],
)
def test_what_is_wrong_with_a_lock_is_named(written: Callable[[bytes], Path], body: bytes, words: str) -> None:
    """Truncated, tampered with, unsorted, of a newer version, or no lock at all."""
    path = written(body)
    with pytest.raises(errors.ValidationError) as caught:
        check_lock(path, "1.0")
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "; " in str(caught.value), "the way out"


def test_a_path_that_is_no_file_is_named(tmp_path: Path) -> None:
    """A missing file, and a directory."""
    with pytest.raises(errors.ConfigurationError, match="cannot be read: No such file"):
        check_lock(tmp_path / "absent.lock", "1.0")
    with pytest.raises(errors.ConfigurationError, match="is a directory"):
        check_lock(tmp_path, "1.0")


def test_a_zst_lock_without_the_package_names_the_extra(written: Callable[[bytes], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """One clear error with the line that installs it."""
    path = written(zstandard.compress(GOOD))
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(errors.ConfigurationError, match=r"needs zstandard; install pictrawl\[zstd\]"):
        check_lock(path, "1.0")
