"""Pydantic's errors in our words."""

from typing import Any, get_args

import pytest
from pydantic import ValidationError

from app.domain import ExportFormat
from app.settings import Settings, setting_names
from app.spec import JobRequest
from app.validation_errors import near_field, requirement, with_value


def error_of(**values: Any) -> Any:
    """The first error of a request."""
    with pytest.raises(ValidationError) as caught:
        JobRequest(**({"keywords": ["cat"]} | values))
    return caught.value.errors()[0]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"max_images": 0}, "must be at least 1, not 0"),
        ({"priority": 101}, "must be at most 100, not 101"),
        ({"min_width": 1.5}, "must be a whole number, not 1.5"),
        ({"min_width": "key-1"}, "must be a whole number"),
        ({"splits": {"train": "x"}}, "must be a number"),
        ({"splits": {"train": float("inf")}}, "must be a finite number, not inf"),
        ({"splits": 5}, "must be an object, not 5"),
        ({"compression": {"only_if_bigger": 2}}, "must be true or false, not 2"),
        ({"export_format": "zip"}, f"must be {', '.join(get_args(ExportFormat)[:-1])} or {get_args(ExportFormat)[-1]}"),
        ({"keywords": [""]}, "must not be empty"),
        ({"keywords": ["x" * 101]}, "must have at most 100 characters"),
        ({"keywords": "cat"}, "must be a list"),
        ({"keywords": ["x"] * 1001}, "must have at most 1000 items"),
        ({"name": ["x"]}, "must be text"),
        ({"max_image": 3}, "is not known here"),
        ({"splits": {"train": 0.9}}, "shares sum to 0.9, not 1"),
    ],
)
def test_requirement_says_what_the_value_has_to_be(values: dict[str, Any], words: str) -> None:
    """Numbers are shown, text is not: it may be a secret."""
    assert with_value(error_of(**values)) == words


@pytest.mark.parametrize("value", ["no value", {"a": 1}, [object()], -1, None])
def test_no_setting_is_refused_in_words_of_pydantic(value: Any) -> None:
    """For whatever kind of wrong value."""
    for name in setting_names(Settings):
        section, _, field = name.partition(".")
        try:
            Settings(**{section: {field: value}})  # type: ignore[arg-type]
        except ValidationError as error:
            for item in error.errors():
                assert not any(word in requirement(item) for word in ("Input", "should", "Value error", "valid ")), requirement(item)


@pytest.mark.parametrize(
    ("place", "near"),
    [
        (["max_image"], "max_images"),
        (["compression", "qualty"], None),
        (["compression", "levle"], "level"),
        (["urls", 3, "image", "lable"], "label"),
        (["splits", "trian"], None),
        (["labels"], "label"),
        (["Keywords"], "keywords"),
        (["x" * 1_000_000], None),
    ],
)
def test_near_field_is_one_of_the_object_that_has_the_unknown_one(place: list[str | int], near: str | None) -> None:
    """Through lists and unions; a name like none of them has no suggestion."""
    assert near_field([JobRequest], place) == near
