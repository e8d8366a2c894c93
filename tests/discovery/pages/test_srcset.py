"""Tests of app.discovery.pages.srcset: the examples and the corners of the algorithm in WHATWG HTML 4.8.4.3.10."""

import pytest

from app.discovery.pages.srcset import MAX_CANDIDATES, SourceSize, parse


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("a.jpg", [SourceSize("a.jpg")]),
        ("a.jpg 1x, b.jpg 2x", [SourceSize("a.jpg"), SourceSize("b.jpg", density=2.0)]),
        ("a.jpg 1x,b.jpg 1.5x", [SourceSize("a.jpg"), SourceSize("b.jpg", density=1.5)]),
        ("a,b.jpg 100w", [SourceSize("a,b.jpg", 100)]),
        ("w_1,h_2/a.jpg 100w,w_2,h_4/a.jpg 200w", [SourceSize("w_1,h_2/a.jpg", 100), SourceSize("w_2,h_4/a.jpg", 200)]),
        ("a.jpg 100w 50h", [SourceSize("a.jpg", 100, 50)]),
        ("a.jpg, b.jpg", [SourceSize("a.jpg"), SourceSize("b.jpg")]),
        ("a.jpg,,,", [SourceSize("a.jpg")]),
        (" ,, a.jpg\t1x \n,\f b.jpg 2x", [SourceSize("a.jpg"), SourceSize("b.jpg", density=2.0)]),
        ("data:,a 1x", [SourceSize("data:,a")]),
        ("a.jpg 1x future(1, 2), b.jpg 2x", [SourceSize("b.jpg", density=2.0)]),
        (
            "a.jpg 1w 2w, b.jpg -1w, c.jpg 1.5w, d.jpg 0w, e.jpg 50h, f.jpg 1x 1w, g.jpg +1x, h.jpg 1e400x, i.jpg x, j.jpg 5w",
            [SourceSize("j.jpg", 5)],
        ),
        ("a.jpg 1e1x", [SourceSize("a.jpg", density=10.0)]),
        ("", []),
        (" , ", []),
    ],
)
def test_parse(value: str, found: list[SourceSize]) -> None:
    """Candidates whose descriptors are invalid are left out; a comma inside of a URL or of parentheses separates nothing."""
    assert parse(value) == found


def test_a_set_without_end_is_cut() -> None:
    """No page needs more sizes."""
    assert len(parse(", ".join(f"{number}.jpg {number + 1}w" for number in range(1000)))) == MAX_CANDIDATES
