"""Tests of app.spec: a request is checked once, and the spec in a job's row comes back as it went in."""

from typing import Any

import pytest
from pydantic import ValidationError

from app.domain import CompressionRules, Reason, ValidationRules
from app.spec import JobRequest, JobSpec, ListSpec


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
        ({"keywords": []}, "give either keywords or urls"),
        ({"urls": ["https://example.org/a"]}, "give either keywords or urls"),
        ({"keywords": [], "urls": []}, "urls is empty"),
        ({"min_images": 5, "max_images": 4}, "min_images 5 is more than max_images 4"),
        ({"max_images": 0}, "max_images: Input should be greater than or equal to 1"),
        ({"keywords": ["  "]}, "keywords.0: String should have at least 1 character"),
        ({"keywords": ["x" * 101]}, "keywords.0: String should have at most 100 characters"),
        ({"keywords": ["x"] * 51}, "keywords: List should have at most 50 items"),
        ({"sources": []}, "sources: List should have at least 1 item"),
        ({"lang": ["English"]}, "'English' is not a language code such as 'en' or 'pt-br'"),
        ({"splits": {"Train": 1.0}}, "split name 'Train' must be lower-case letters, digits and underscores"),
        ({"splits": {"../up": 1.0}}, "split name '../up' must be"),
        ({"splits": {"train": 1.5, "test": -0.5}}, "share 1.5 of split 'train' is not between 0 and 1"),
        ({"splits": {"train": 0.5}}, "shares sum to 0.5, not 1"),
        ({"splits": {}}, "shares sum to 0, not 1"),
        ({"splits": {"train": "nan"}}, "share nan of split 'train' is not between 0 and 1"),
        ({"splits": {"train": float("inf")}}, "share inf of split 'train' is not between 0 and 1"),
        ({"compression": {"format": "bmp"}}, "compression.format: Input should be 'keep', 'jpeg', 'webp' or 'png'"),
        ({"export_format": "zip"}, "export_format: Input should be 'files', 'imagefolder' or 'webdataset'"),
        ({"priority": 101}, "priority: Input should be less than or equal to 100"),
        ({"max_image": 3}, "max_image: Extra inputs are not permitted"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(values: dict[str, Any], words: str) -> None:
    """The message names the field, its value and what is expected."""
    assert words in refused(**values)


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
