"""Each check passes at its limit, fails just beyond it, and names its value and its limit; a level applies its own checks in one order."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import Reason
from app.images import checks
from app.images.checks import CheckResult, Facts
from app.rules import Level, ValidationRules

RULES = ValidationRules(min_width=64, min_height=48, max_pixels=10_000, max_aspect=2.0)
FACTS = Facts("jpeg", 80, 60, entropy=5.0, brightness=100.0, sharpness=50.0)
CHECKS = {check.name: check for check in (*checks.BEFORE_DECODING, *checks.AFTER_DECODING)}
LEVELS: tuple[Level, ...] = ("basic", "standard", "strict")


@pytest.mark.parametrize(
    ("name", "passing", "failing", "reason", "words"),
    [
        ("format", {"format": "png"}, {"format": "eps"}, Reason.FORMAT, ("eps", "jpeg")),
        ("pixels", {"width": 100, "height": 100}, {"width": 100, "height": 101}, Reason.TOO_MANY_PIXELS, ("10100", "10000")),
        ("width", {"width": 64, "height": 48}, {"width": 63}, Reason.TOO_SMALL, ("63x60", "64x48")),
        ("height", {}, {"height": 47}, Reason.TOO_SMALL, ("80x47", "64x48")),
        ("truncated", {}, {"is_complete": False}, Reason.CORRUPT, ("truncated", "jpeg")),
        ("damaged", {}, {"damage": "bad Huffman code"}, Reason.CORRUPT, ("damaged jpeg", "bad Huffman code")),
        ("aspect", {"width": 60, "height": 120}, {"width": 60, "height": 121}, Reason.ASPECT, ("2.02", "2.00")),
        ("frames", {"frames": 1}, {"frames": 2}, Reason.ANIMATED, ("2 frames", "1")),
        ("all frames", {"frames": 2}, {"frames": 3}, Reason.TOO_MANY_PIXELS, ("3 frames", "14400", "10000")),
        ("entropy", {"entropy": 1.0}, {"entropy": 0.99}, Reason.LOW_INFORMATION, ("0.99", "1.00", "0.00%", "0.20%")),
        ("entropy", {"entropy": 0.0, "edges": 0.002}, {"entropy": 0.0, "edges": 0.0019}, Reason.LOW_INFORMATION, ("0.00", "0.19%")),
        ("brightness", {"brightness": 8.0}, {"brightness": 7.9}, Reason.EXPOSURE, ("7.9", "8.0")),
        ("brightness", {"brightness": 247.0}, {"brightness": 247.1}, Reason.EXPOSURE, ("247.1", "247.0")),
        ("sharpness", {"sharpness": 20.0}, {"sharpness": 19.9}, Reason.BLURRY, ("19.9", "20.0")),
        ("sharpness", {"sharpness": None}, {"sharpness": 0.0}, Reason.BLURRY, ("0.0",)),
    ],
)
def test_check_at_its_limit(name: str, passing: dict[str, Any], failing: dict[str, Any], reason: Reason, words: tuple[str, ...]) -> None:
    """The limit itself passes; one step beyond has the reason, the value and the limit."""
    check = CHECKS[name]
    assert check.violation(replace(FACTS, **passing), RULES) is None
    violation = check.violation(replace(FACTS, **failing), RULES)
    assert violation is not None
    assert violation.reason is reason
    assert all(word in violation.detail for word in words)


def test_measures_name_every_value() -> None:
    """A value that was not measured is left out; the others are rounded."""
    measures = replace(FACTS, entropy=1.23456, sharpness=None).measures()
    assert measures["entropy"] == 1.2346
    assert measures["aspect"] == 1.3333
    assert set(measures) == {"width", "height", "pixels", "aspect", "truncated", "damaged", "frames", "entropy", "brightness"}
    assert FACTS.measures()["sharpness"] == 50.0


def test_facts_come_back_from_their_measures() -> None:
    """Without measures the size of the header counts."""
    broken = replace(FACTS, frames=3, is_complete=False, damage="data is lost", sharpness=None)
    for facts in (FACTS, broken, replace(FACTS, entropy=0.5, edges=0.0123)):
        assert Facts.from_measures("jpeg", 0, 0, facts.measures()) == facts
    assert Facts.from_measures("png", 8, 6, {}) == Facts("png", 8, 6)


def test_levels_contain_each_other() -> None:
    """What a laxer level rejects, a stricter one rejects too."""
    basic, standard, strict = (set(checks.checks_of(level)) for level in LEVELS)
    assert basic < standard < strict


def test_levels_apply_what_the_rules_promise() -> None:
    """Basic checks size, standard aspect, information, truncation and animation, strict blur and exposure."""
    names = [{check.name for check in checks.checks_of(level)} for level in LEVELS]
    assert names[0] == {"width", "height", "all frames"}
    assert names[1] - names[0] == {"aspect", "entropy", "truncated", "damaged", "frames"}
    assert names[2] - names[1] == {"sharpness", "brightness"}


def test_order_is_the_same_at_every_level() -> None:
    """So the reason does not depend on what else is checked."""
    strict = checks.checks_of("strict")
    for level in LEVELS:
        positions = [strict.index(check) for check in checks.checks_of(level)]
        assert all(a < b for a, b in itertools.pairwise(positions))


def test_find_violation_returns_the_first_in_order() -> None:
    """A small blank image is too small; with nothing wrong there is none."""
    facts = Facts("jpeg", 10, 10, entropy=0.0, brightness=0.0)
    violation = checks.find_violation(checks.checks_of("strict"), facts, ValidationRules())
    assert violation is not None
    assert violation.reason is Reason.TOO_SMALL
    assert checks.find_violation(checks.BEFORE_DECODING, facts, ValidationRules()) is None


def test_only_strict_needs_the_larger_picture() -> None:
    """Sharpness is measured at 256 pixels; nothing else needs that many."""
    assert checks.side_needed("strict") == checks.SHARPNESS_SIDE
    assert checks.side_needed("basic") == checks.side_needed("standard") < checks.SHARPNESS_SIDE
    for level in LEVELS:
        assert checks.measures_sharpness(level) is (CHECKS["sharpness"] in checks.checks_of(level))


def _results(facts: Facts, rules: ValidationRules, *, decodes: bool | None = True) -> dict[str, CheckResult]:
    return {result.name: result for result in checks.evaluate(facts, rules, decodes=decodes)}


@given(
    facts=st.builds(
        Facts,
        format=st.sampled_from(["jpeg", "png", "psd"]),
        width=st.integers(1, 300),
        height=st.integers(1, 300),
        frames=st.integers(1, 3),
        is_complete=st.booleans(),
        entropy=st.sampled_from([0.5, 5.0]),
        edges=st.sampled_from([None, 0.001, 0.1]),
        brightness=st.sampled_from([2.0, 100.0, 250.0]),
        sharpness=st.sampled_from([None, 5.0, 50.0]),
    ),
    level=st.sampled_from(LEVELS),
)
def test_evaluate_fails_the_check_that_validation_names(facts: Facts, level: Level) -> None:
    """For any image at most one check fails, and its reason is the reason of the verdict."""
    rules = ValidationRules(level=level, max_pixels=40_000)
    violation = checks.find_violation((*checks.BEFORE_DECODING, *checks.checks_of(level)), facts, rules)
    failed = [CHECKS[name].reason for name, result in _results(facts, rules).items() if result.outcome == "failed"]
    assert failed == ([violation.reason] if violation else [])


def test_checks_behind_a_failure_are_not_reached() -> None:
    """Their measured values are there; checks of a stricter level are not asked for."""
    results = _results(Facts("jpeg", 40, 30, entropy=5.0, brightness=100.0), ValidationRules())
    assert results["format"] == CheckResult("format", "jpeg", "one of 8", "passed")
    assert results["width"] == CheckResult("width", 40.0, "at least 64", "failed")
    assert results["entropy"] == CheckResult("entropy", 5.0, "at least 1 bits, or 0.20% edges", "not_reached")
    assert results["sharpness"] == CheckResult("sharpness", None, "at least 20", "not_asked")
    assert "all frames" not in results


def test_an_image_that_does_not_decode_has_a_result_for_that() -> None:
    """Its header is checked; what needs the pixels has no value and is not reached."""
    results = _results(Facts("jpeg", 800, 600), ValidationRules(), decodes=False)
    assert [(name, result.outcome) for name, result in results.items()][:4] == [
        ("format", "passed"),
        ("pixels", "passed"),
        ("decodes", "failed"),
        ("width", "not_reached"),
    ]
    assert (results["decodes"].value, results["width"].value, results["aspect"].value) == ("no", 800.0, None)


def test_an_image_with_too_many_pixels_was_never_decoded() -> None:
    """The limit applies before decoding."""
    results = _results(Facts("jpeg", 8000, 6000), ValidationRules(max_pixels=1000), decodes=None)
    assert (results["pixels"].outcome, results["decodes"].outcome, results["decodes"].value) == ("failed", "not_reached", None)


def test_an_unreadable_header_has_no_size() -> None:
    """Nothing is known of it but that it does not decode."""
    results = _results(Facts("", 0, 0), ValidationRules(), decodes=False)
    assert [results[name].outcome for name in ("format", "pixels", "decodes", "width")] == [
        "not_reached",
        "not_reached",
        "failed",
        "not_reached",
    ]
