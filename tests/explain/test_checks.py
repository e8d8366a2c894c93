"""Checks as lines of text; what they say is tested with `app.images.checks`."""

from dataclasses import replace

from app.domain import ImageState, Reason, StoredImage, ValidationRules
from app.explain.checks import CheckLine, check_lines
from app.images.checks import Facts

IMAGE = StoredImage(1, "ds_1", "job_1", "chunk_1", "http://h/a.jpg", "list", ImageState.REJECTED, media_type="image/jpeg")


def lines_of(image: StoredImage, rules: ValidationRules) -> dict[str, CheckLine]:
    """The lines by the name of their check."""
    return {line.name: line for line in check_lines(image, rules)}


def test_a_line_names_value_limit_and_outcome() -> None:
    """Of an image as it was measured; a value that was not measured is a dash."""
    facts = Facts("jpeg", 40, 30, entropy=5.0, brightness=100.0)
    lines = lines_of(replace(IMAGE, width=40, height=30, measures=facts.measures()), ValidationRules())
    assert (lines["width"].outcome, lines["width"].passed) == ("failed", False)
    assert (lines["entropy"].outcome, lines["entropy"].passed) == ("not_reached", None)
    assert lines["width"].words().split() == ["width", "40", "at", "least", "64", "FAILED"]
    assert lines["sharpness"].words().split() == ["sharpness", "-", "at", "least", "20", "not", "asked", "for"]


def test_an_image_that_does_not_decode_says_so() -> None:
    """Its header is judged; what needs the picture is not reached."""
    image = replace(IMAGE, measures={}, width=800, height=600, reason=Reason.CORRUPT)
    assert [(name, line.outcome) for name, line in lines_of(image, ValidationRules()).items()][:4] == [
        ("format", "passed"),
        ("pixels", "passed"),
        ("decodes", "failed"),
        ("width", "not_reached"),
    ]


def test_a_picture_too_large_is_never_decoded() -> None:
    """The limit of pixels applies before decoding."""
    image = replace(IMAGE, measures={}, width=8000, height=6000, reason=Reason.TOO_MANY_PIXELS)
    lines = lines_of(image, ValidationRules(max_pixels=1000))
    assert (lines["pixels"].outcome, lines["decodes"].outcome) == ("failed", "not_reached")


def test_an_image_that_was_not_judged_has_no_checks() -> None:
    """There is nothing to tell."""
    assert check_lines(IMAGE, ValidationRules()) == []
