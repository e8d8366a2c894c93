"""The options of ``pictrawl build`` as text, and what they are parsed to."""

from contextlib import nullcontext
from typing import Any, get_args, get_type_hints

import pytest
from pydantic import ValidationError

from app.cli import build_options
from app.cli.build_options import ENCODINGS, OPTION_NAMES, BuildOptions, validation_as_usage
from app.cli.failures import UsageError
from app.rules import CompressionRules, Level
from app.spec import Compression, JobRequest


def test_choices_are_those_of_the_domain() -> None:
    """Every word of the domain's types, in its order."""
    assert get_args(build_options.LevelName) == get_args(Level)
    assert get_args(build_options.Resize) == get_args(get_type_hints(CompressionRules)["resize"])
    assert get_args(get_type_hints(CompressionRules)["format"]) == ENCODINGS
    assert BuildOptions().dedupe == "near"


def test_bounds_are_those_of_the_request() -> None:
    """The command line has none of its own but for the quality, which is written inside of a word."""
    for hint in get_type_hints(BuildOptions, include_extras=True).values():
        assert {(shown.min, shown.max) for shown in getattr(hint, "__metadata__", ())} == {(None, None)}
    for quality, fits in ((0, False), (1, True), (100, True), (101, False)):
        with nullcontext() if fits else pytest.raises(UsageError):
            build_options.parse_compression(CompressionRules(), encode=f"webp:{quality}", resize=None, size=None)
        with nullcontext() if fits else pytest.raises(ValidationError):
            Compression(level=quality)


def test_settings_are_those_that_were_given() -> None:
    """By dotted name; options that were left out leave the settings alone."""
    assert BuildOptions().settings == {}
    assert BuildOptions(per_host=3, no_robots=True).settings == {"fetch.per_host": 3, "fetch.robots": False}


@pytest.mark.parametrize(
    ("options", "keywords", "list_name", "name"),
    [
        (BuildOptions(name="a", label="b"), ["c"], None, "a"),
        (BuildOptions(label="b"), ["c"], None, "b"),
        (BuildOptions(), ["c", "d"], None, "c, d"),
        (BuildOptions(keywords_file="lists/pets.csv"), ["c", "d"], None, "pets"),
        (BuildOptions(keywords_file="-"), ["c", "d"], None, "c, d"),
        (BuildOptions(), [], "urls.csv.gz", "urls"),
        (BuildOptions(), [], ".csv", "dataset"),
    ],
)
def test_dataset_name_is_the_most_specific_one(options: BuildOptions, keywords: list[str], list_name: str | None, name: str) -> None:
    """--name, --label, the keywords, the list."""
    assert options.dataset_name(keywords, list_name) == name


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"max_images": 0}, "--max-images 0: must be at least 1"),
        ({"min_images": 5, "max_images": 3}, "--min-images 5 is more than --max-images 3"),
        ({"min_width": 0}, "--min-size 0: must be at least 1"),
        ({"splits": {"train": 0.5}}, "--split: shares sum to 0.5, not 1"),
        ({"lang": ["EN"]}, "--lang: 'EN' is not a language code such as 'en' or 'pt-br'"),
        ({"compression": {"size": 0}}, "--size 0: must be at least 8"),
        ({"compression": {"size": 16384, "resize": "border"}}, "size 16384 with resize border and format keep: at most 13377"),
        ({"name": "x" * 101}, f"--name {'x' * 59}…: must have at most 100 characters"),
    ],
)
def test_validation_errors_are_usage_errors(values: dict[str, Any], words: str) -> None:
    """They name the option, not the field."""
    with pytest.raises(UsageError) as caught, validation_as_usage():
        JobRequest(**({"keywords": ["cat"]} | values))
    assert caught.value.message.startswith(words)


def test_every_field_of_a_request_has_an_option() -> None:
    """But for those that only the API has."""
    assert JobRequest.model_fields.keys() - OPTION_NAMES.keys() == {"keywords", "compression", "storage_tier", "priority"}
