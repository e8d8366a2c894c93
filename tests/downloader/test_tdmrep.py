"""tdmrep.json: which entry counts, and what is no entry."""

import pytest

from downloader import tdmrep
from downloader.robots_txt import canonical_path

CASES = [
    (b'[{"location": "/", "tdm-reservation": 1}]', "/a", "entry 1: location /, tdm-reservation 1"),
    (
        b'[{"location": "/a/", "tdm-reservation": 1, "tdm-policy": "https://h.test/p.json"}]',
        "/a/b",
        "entry 1: location /a/, tdm-reservation 1, tdm-policy https://h.test/p.json",
    ),
    (b'[{"location": "/a", "tdm-reservation": 0}, {"location": "/", "tdm-reservation": 1}]', "/a", None),
    (b'[{"location": "/", "tdm-reservation": 0}, {"location": "/a", "tdm-reservation": 1}]', "/a", None),
    (
        b'[{"location": "/a", "tdm-reservation": 0}, {"location": "/", "tdm-reservation": 1}]',
        "/b",
        "entry 2: location /, tdm-reservation 1",
    ),
    (b'[{"location": "/*/c$", "tdm-reservation": 1}]', "/a/b/c", "entry 1: location /*/c$, tdm-reservation 1"),
    (b'[{"location": "/*/c$", "tdm-reservation": 1}]', "/a/b/cd", None),
    (b'[{"location": "/%61-%24", "tdm-reservation": 1}]', "/a-$", "entry 1: location /%61-%24, tdm-reservation 1"),
    (b'[{"location": "https://h.test/a", "tdm-reservation": "1"}]', "/a", "entry 1: location https://h.test/a, tdm-reservation 1"),
    (b'[{"location": "a", "tdm-reservation": true}]', "/a", "entry 1: location a, tdm-reservation 1"),
    (b'[{"tdm-reservation": 1}]', "/a", "entry 1: location /, tdm-reservation 1"),
    (b'\xef\xbb\xbf{"location": "/", "tdm-reservation": 1}', "/a", "entry 1: location /, tdm-reservation 1"),
    (b'["x", 7, null, {"location": 7, "tdm-reservation": 1}, {"location": "/"}, {"location": "/", "tdm-reservation": 2}]', "/a", None),
    (b"[]", "/a", None),
    (b"", "/a", None),
    (b"<html>not found</html>", "/a", None),
    (b"7", "/a", None),
    (b"\xff\xfe", "/a", None),
]


@pytest.mark.parametrize(("body", "path", "entry"), CASES)
def test_reservation(body: bytes, path: str, entry: str | None) -> None:
    """The first entry that matches decides; a file that cannot be read reserves nothing."""
    found = tdmrep.find_reservation(tdmrep.parse(body), canonical_path(path))
    assert (str(found) if found else None) == entry
