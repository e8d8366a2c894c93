"""Checks in the order and with the verdicts of validation itself."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from app.domain import ImageState, Level, Reason, StoredImage, ValidationRules
from app.explain.checks import CheckLine, check_lines
from app.images import checks, levels
from app.images.checks import Facts

IMAGE = StoredImage(1, "ds_1", "job_1", "chunk_1", "http://h/a.jpg", "list", ImageState.REJECTED, media_type="image/jpeg")

CHECK_OF = {
    "format": checks.find_format,
    "pixels": checks.find_too_many_pixels,
    "width": checks.find_too_small,
    "height": checks.find_too_small,
    "truncated": checks.find_truncated,
    "aspect": checks.find_aspect,
    "frames": checks.find_animated,
    "all frames": checks.find_too_many_frames,
    "entropy": checks.find_low_information,
    "brightness": checks.find_exposure,
    "sharpness": checks.find_blur,
}


def judged(facts: Facts, rules: ValidationRules, **values: object) -> list[CheckLine]:
    """The lines of an image with these facts."""
    image = replace(IMAGE, width=facts.width, height=facts.height, measures=facts.measures(), media_type=f"image/{facts.format}", **values)
    return check_lines(image, rules)


@given(
    facts=st.builds(
        Facts,
        format=st.sampled_from(["jpeg", "png", "psd"]),
        width=st.integers(1, 300),
        height=st.integers(1, 300),
        frames=st.integers(1, 3),
        is_complete=st.booleans(),
        entropy=st.sampled_from([0.5, 5.0]),
        brightness=st.sampled_from([2.0, 100.0, 250.0]),
        sharpness=st.sampled_from([None, 5.0, 50.0]),
    ),
    level=st.sampled_from(["basic", "standard", "strict"]),
)
def test_the_first_that_fails_is_the_one_that_validation_names(facts: Facts, level: Level) -> None:
    """Same checks, same order, same limits: whatever the picture."""
    rules = ValidationRules(level=level, max_pixels=40_000)
    run = (*levels.BEFORE_DECODING, *levels.checks_of(level))
    first = next((check for check in run if check(facts, rules) is not None), None)
    failed = [line.name for line in judged(facts, rules) if line.outcome == "failed"]
    assert [CHECK_OF[name] for name in failed] == ([first] if first else [])


def test_what_comes_behind_a_failure_is_not_reached() -> None:
    """With the values there are; what the level leaves out is said to be not asked for."""
    lines = {line.name: line for line in judged(Facts("jpeg", 40, 30, entropy=5.0, brightness=100.0), ValidationRules())}
    assert (lines["width"].outcome, lines["width"].passed) == ("failed", False)
    assert (lines["entropy"].outcome, lines["entropy"].passed) == ("not_reached", None)
    assert lines["sharpness"].outcome == "not_asked"
    assert lines["width"].words().split() == ["width", "40", "at", "least", "64", "FAILED"]
    assert lines["sharpness"].words().split()[1] == "-"
    assert "all frames" not in lines


def test_an_image_that_does_not_decode_says_so() -> None:
    """Its header is judged; what needs the picture is not reached."""
    image = replace(IMAGE, measures={}, width=800, height=600, reason=Reason.CORRUPT)
    assert [(line.name, line.outcome) for line in check_lines(image, ValidationRules())][:4] == [
        ("format", "passed"),
        ("pixels", "passed"),
        ("decodes", "failed"),
        ("width", "not_reached"),
    ]


def test_a_picture_too_large_is_never_decoded() -> None:
    """The limit of pixels stands before the decoder."""
    image = replace(IMAGE, measures={}, width=8000, height=6000, reason=Reason.TOO_MANY_PIXELS)
    outcomes = {line.name: line.outcome for line in check_lines(image, ValidationRules(max_pixels=1000))}
    assert (outcomes["pixels"], outcomes["decodes"]) == ("failed", "not_reached")


def test_an_image_that_was_not_judged_has_no_checks() -> None:
    """There is nothing to tell."""
    assert check_lines(IMAGE, ValidationRules()) == []
