"""Tests of app.spec: a request is checked once, and the spec in a job's row comes back as it went in."""

from typing import Any

import pytest
from pydantic import ValidationError

from app.domain import Reason
from app.rules import CompressionRules, ValidationRules
from app.settings.sections import CompressSettings
from app.spec import Compression, JobRequest, JobSpec, ListSpec

COMPRESSION: list[tuple[dict[str, Any], str]] = [
    ({"size": 0}, ".size: Input should be greater than or equal to 8"),
    ({"size": 16385}, ".size: Input should be less than or equal to 16384"),
    ({"size": True}, ".size: Value error, true and false are no numbers"),
    ({"size": 99.5}, ".size: Input should be a valid integer"),
    ({"size": float("inf")}, ".size: Input should be a finite number"),
    ({"level": 0}, ".level: Input should be greater than or equal to 1"),
    ({"level": 101}, ".level: Input should be less than or equal to 100"),
    ({"level": "best"}, ".level: Input should be a valid integer"),
    ({"resize": "stretch"}, ".resize: Input should be 'none', 'keep_ratio', 'longest', 'center_crop' or 'border'"),
    ({"only_if_bigger": 2}, ".only_if_bigger: Input should be a valid boolean"),
    ({"quality": 90}, ".quality: Extra inputs are not permitted"),
    ({"format": "png", "resize": "border", "size": 16384}, ": Value error, size 16384 with resize border and format png: at most 13377"),
    ({"format": "keep", "resize": "border", "size": 13378}, ": Value error, size 13378 with resize border and format keep: at most 13377"),
]
"""Rules that nothing could be compressed by, with the words after the field; the settings refuse the same."""


def request(**values: Any) -> JobRequest:
    return JobRequest(**({"keywords": ["cat"]} | values))


def refused(**values: Any) -> str:
    """The words with which a request is refused."""
    with pytest.raises(ValidationError) as caught:
        request(**values)
    return "; ".join(f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in caught.value.errors())


def test_a_request_says_as_little_as_it_likes() -> None:
    """Everything but the input has a default, or is left to the settings."""
    asked = request()
    assert (asked.sources, asked.min_images, asked.dedupe, asked.splits, asked.priority) == (["wikimedia"], 0, "near", {"train": 1.0}, 0)
    assert (asked.max_images, asked.validation_level, asked.compression, asked.export_format, asked.storage_tier) == (None,) * 5


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"keywords": []}, "give one of keywords, urls and pages"),
        ({"pages": {"urls": ["https://example.org/"]}}, "give one of keywords, urls and pages"),
        ({"urls": ["https://example.org/a"]}, "give one of keywords, urls and pages"),
        ({"keywords": [], "urls": []}, "urls is empty"),
        ({"min_images": 5, "max_images": 4}, "min_images 5 is more than max_images 4"),
        ({"min_images_per_label": 5, "max_images": 4}, "min_images_per_label 5 takes 5 images, max_images is 4"),
        (
            {"keywords": ["cat", "dog", "Cat"], "min_images_per_label": 3, "max_images": 5},
            "min_images_per_label 3 for 2 labels takes 6 images, max_images is 5",
        ),
        ({"max_images": 0}, "max_images: Input should be greater than or equal to 1"),
        ({"keywords": ["  "]}, "keywords.0.word: String should have at least 1 character"),
        ({"keywords": ["x" * 101]}, "keywords.0.word: String should have at most 100 characters"),
        ({"keywords": ["x"] * 1_001}, "keywords: List should have at most 1000 items"),
        ({"keywords": [3]}, "keywords.0: must be a word, or an object with a keyword"),
        ({"keywords": [{"keyword": "cat", "number": 3}]}, "keywords.0.object.number: Extra inputs are not permitted"),
        ({"keywords": [{"label": "cat"}]}, "keywords.0.object.keyword: Field required"),
        ({"keywords": [{"keyword": "cat", "label": "pet"}], "label": "animal"}, "label 'animal' is for every image, and keywords have"),
        ({"keywords": [{"keyword": "cat", "max_images": 9}], "max_images": 8}, "own numbers are 9 together, max_images is 8"),
        ({"keywords": ["a"] * 1_000, "expand": 20}, "1000 keywords, expand 20 and 1 sources make 21000 searches, at most 20000"),
        ({"keywords": [], "urls": ["https://example.org/a"], "per_label": 3}, "per_label is for keywords"),
        ({"per_label": 0}, "per_label: Input should be greater than or equal to 1"),
        (
            {"keywords": [{"keyword": "a", "label": "x"}, {"keyword": "b", "label": "X"}, "c"], "min_images_per_label": 3, "max_images": 5},
            "min_images_per_label 3 for 2 labels takes 6 images",
        ),
        ({"sources": []}, "sources: List should have at least 1 item"),
        ({"lang": ["English"]}, "'English' is not a language code such as 'en' or 'pt-br'"),
        ({"splits": {"Train": 1.0}}, "split name 'Train' must be lower-case letters, digits and underscores"),
        ({"splits": {"../up": 1.0}}, "split name '../up' must be"),
        ({"splits": {"train": 1.5, "test": -0.5}}, "share 1.5 of split 'train' is not between 0 and 1"),
        ({"splits": {"train": 0.5}}, "shares sum to 0.5, not 1"),
        ({"splits": {}}, "shares sum to 0, not 1"),
        ({"splits": {"train": "nan"}}, "splits.train: Input should be a finite number"),
        ({"splits": {"train": float("inf")}}, "splits.train: Input should be a finite number"),
        ({"splits": {"train": True}}, "splits: Value error, true and false are no numbers; write the number"),
        ({"max_images": True}, "max_images: Value error, true and false are no numbers"),
        ({"max_images": 10**400}, "max_images: Input should be less than or equal to 10000000"),
        ({"min_images": 2**31}, "min_images: Input should be less than or equal to 10000000"),
        ({"min_images": -1}, "min_images: Input should be greater than or equal to 0"),
        ({"min_width": 0}, "min_width: Input should be greater than or equal to 1"),
        ({"min_height": 10**30}, "min_height: Input should be less than or equal to 100000"),
        ({"min_width": 1.5}, "min_width: Input should be a valid integer"),
        ({"min_width": float("nan")}, "min_width: Input should be a finite number"),
        ({"seed": 2**63}, "seed: Input should be less than or equal to 9223372036854775807"),
        ({"seed": False}, "seed: Value error, true and false are no numbers"),
        ({"expand": 21}, "expand: Input should be less than or equal to 20"),
        ({"label": "\u202ecat"}, "label: Value error, '\\u202ecat' holds the invisible character U+202E RIGHT-TO-LEFT OVERRIDE; remove it"),
        ({"name": "c\u00adat"}, "name: Value error, 'c\\xadat' holds the invisible character U+00AD SOFT HYPHEN"),
        ({"keywords": ["c\u200bat"]}, "keywords.0.word: Value error, 'c\\u200bat' holds the invisible character U+200B ZERO WIDTH SPACE"),
        ({"compression": {"format": "bmp"}}, ".format: Input should be 'keep', 'jpeg', 'webp', 'webp-lossless', 'png' or 'avif'"),
        *[({"compression": rules}, f"compression{words}") for rules, words in COMPRESSION],
        ({"export_format": "zip"}, "export_format: Input should be 'files', 'imagefolder'"),
        ({"priority": 101}, "priority: Input should be less than or equal to 100"),
        ({"max_image": 3}, "max_image: Extra inputs are not permitted"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(values: dict[str, Any], words: str) -> None:
    """The message names the field, its value and what is expected."""
    assert words in refused(**values)


def test_the_limits_of_compression_are_those_of_the_settings() -> None:
    """One model; what one of them refuses, with its words, the other refuses."""
    for rules, words in COMPRESSION:
        with pytest.raises(ValidationError) as caught:
            CompressSettings(**rules)
        assert words.rpartition(": ")[2].removeprefix("Value error, ") in str(caught.value)
    assert request(compression=CompressionRules(format="webp", size=8)).compression == Compression(format="webp", size=8)
    assert Compression(resize="border", size=13377).rules().size == 13377


def test_words_are_trimmed_and_lists_are_taken() -> None:
    """White space around a keyword or a name is nobody's wish."""
    asked = JobRequest(urls=["https://example.org/a"], name=" my cats ", lang=["en", "pt-br"], splits={"train": 0.8, "test": 0.2})
    assert (asked.name, request(keywords=[" cat "]).keywords) == ("my cats", ["cat"])


def test_a_spec_survives_its_row() -> None:
    """As JSON and back it is the same value, rules and all."""
    spec = JobSpec(
        keywords=["cat"],
        url_list=ListSpec(key="lists/a.csv", suffix=".csv", url_column="url"),
        max_images=5,
        validation=ValidationRules(level="strict", min_width=100, formats=("jpeg",)),
        compression=CompressionRules(format="webp", level=80),
        splits={"train": 0.9, "test": 0.1},
        retry_reasons=[Reason.TIMEOUT],
        parent_job_id="job_1",
    )
    again = JobSpec(**spec.model_dump(mode="json"))
    assert again == spec
    assert isinstance(again.validation, ValidationRules)
    assert again.retry_reasons == [Reason.TIMEOUT]


def test_a_spec_of_a_newer_version_is_refused() -> None:
    """A worker that does not know a wish must not pass over it."""
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        JobSpec(**(JobSpec().model_dump(mode="json") | {"wish": 1}))
