"""A level runs its own checks and those of the laxer levels, in one order."""

import itertools

from app.domain import Reason, ValidationRules
from app.images import checks, levels
from app.images.checks import Facts


def test_levels_contain_each_other() -> None:
    """What a laxer level rejects, a stricter one rejects too."""
    basic, standard, strict = (set(levels.checks_of(level)) for level in ("basic", "standard", "strict"))
    assert basic < standard < strict


def test_levels_run_what_the_records_promise() -> None:
    """Basic looks at size, standard at aspect, information, truncation and animation, strict at blur and exposure."""
    assert set(levels.checks_of("basic")) == {checks.find_too_small, checks.find_too_many_frames}
    added = {checks.find_aspect, checks.find_low_information, checks.find_truncated, checks.find_animated}
    assert set(levels.checks_of("standard")) - set(levels.checks_of("basic")) == added
    assert set(levels.checks_of("strict")) - set(levels.checks_of("standard")) == {checks.find_blur, checks.find_exposure}


def test_order_is_the_same_at_every_level() -> None:
    """So the reason does not depend on what else is checked."""
    strict = levels.checks_of("strict")
    for level in ("basic", "standard"):
        positions = [strict.index(check) for check in levels.checks_of(level)]
        assert all(a < b for a, b in itertools.pairwise(positions))


def test_first_finding_is_the_first_in_order() -> None:
    """A small blank is too small; with nothing wrong there is none."""
    facts = Facts("jpeg", 10, 10)
    finding = levels.first_finding(levels.checks_of("strict"), facts, ValidationRules())
    assert finding is not None
    assert finding.reason is Reason.TOO_SMALL
    assert levels.first_finding(levels.BEFORE_DECODING, facts, ValidationRules()) is None


def test_only_strict_needs_the_larger_picture() -> None:
    """Sharpness is measured at 256 pixels; nothing else needs that many."""
    assert levels.side_needed("strict") == levels.SHARPNESS_SIDE
    assert levels.side_needed("basic") == levels.side_needed("standard") < levels.SHARPNESS_SIDE
    assert levels.measures_sharpness("strict")
    assert not levels.measures_sharpness("standard")
