"""What each name reads of an image, and that a missing value is nothing."""

from typing import Any

import pytest

from app.selection import parse
from app.selection.fields import FIELDS
from tests.selection.images import stored


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("label = cat", {"label": "Cat"}),
        ("labels = dog", {"label": "cat", "labels": ["cat", "dog"]}),
        ("labels = cat", {"label": "cat", "labels": ["dog", "elk"]}),
        ("split != test", {"split": "train"}),
        ("caption ~ SUN", {"caption": "a sunset"}),
        ('caption ~ "a*s*t"', {"caption": "A sunset"}),
        ("captions >= 2", {"caption": "a", "captions": ["a", "b"]}),
        ("captions = 1", {"caption": "a"}),
        ("captions = 0", {}),
        ("width >= 512 and height < 300", {"width": 512, "height": 299}),
        ("aspect > 1.77", {"width": 16, "height": 9}),
        ("bytes <= 1000", {"size_bytes": 1000}),
        ("format = jpg", {"media_type": "image/jpeg"}),
        ("license in (by, by-sa)", {"license": "CC-BY-SA-3.0"}),
        ("license = open", {"license": "CC0-1.0"}),
        ("license is unknown", {"license": "ask the museum"}),
        ("license = none", {}),
        ("source = wikimedia", {"source": "wikimedia"}),
        ("host = example.org", {"url": "https://example.org:8443/a.jpg"}),
        ("url ~ */thumb/*", {"url": "https://example.org/thumb/a.jpg"}),
        ("host is unknown", {"url": "http://[broken/"}),
        ("creator is known", {"creator": "Ann"}),
        ("page_url is not known", {"page_url": ""}),
        ("group_id not in (a, b)", {"group_id": "c"}),
        ("sharpness > 100", {"measures": {"sharpness": 100.5}}),
        ("entropy is unknown", {"measures": None}),
        ("brightness < 255", {"measures": {"brightness": 0.0}}),
        ("lang = en", {"extra": {"language": ["EN"]}}),
        ("lang = en", {"extra": {"lang": "en"}}),
        ("columns.score >= .5", {"extra": {"score": ["0.50"]}}),
        ("columns.score = 0.5", {"extra": {"score": "0.50"}}),
        ('"Is Good" = true', {"extra": {"Is Good": True}}),
        ("columns.n is unknown", {"extra": {"n": [""]}}),
    ],
)
def test_a_name_reads_what_it_says(text: str, columns: dict[str, Any]) -> None:
    """And its opposite is false."""
    image = stored(**columns)
    assert parse(text).matches(image)
    assert not parse(f"not ({text})").matches(image)


@pytest.mark.parametrize("name", sorted(set(FIELDS) - {"source", "captions"}))
def test_a_missing_value_equals_nothing_and_is_unknown(name: str) -> None:
    """Whatever its kind; the negations are true."""
    value = {"license": "any", "format": "jpeg"}.get(name, "1")
    empty = stored()
    assert parse(f"{name} is unknown and {name} != {value} and {name} not in ({value})").matches(empty)
    assert not parse(f"{name} = {value} or {name} is known").matches(empty)
