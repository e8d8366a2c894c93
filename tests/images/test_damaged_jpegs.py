"""Damaged JPEGs are refused from level standard on, sound ones at none: figures over a corpus made here."""

import random
from collections import Counter
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from app.domain import Reason, Verdict
from app.images.verdict import validate
from app.rules import Level, ValidationRules
from tests.images import damage, samples

LOOSE = ValidationRules(min_width=1, min_height=1, max_aspect=100, min_entropy=0, min_brightness=0, max_brightness=255, min_sharpness=0)
"""Limits of the other checks that no file of the corpus fails."""

VISIBLE = 1.0
"""Mean difference to the sound picture, grey levels, from which a person sees the damage."""


def _validate(body: bytes, level: Level) -> Verdict:
    return validate(body, replace(LOOSE, level=level))


def _pixels(verdict: Verdict) -> npt.NDArray[np.float64]:
    assert verdict.thumbnail is not None
    return np.asarray(samples.opened(verdict.thumbnail).convert("RGB"), np.float64)


@pytest.mark.parametrize("level", ["standard", "strict"])
def test_damage_is_found_from_level_standard_on(level: Level) -> None:
    """At least 95 of 100 files with visible damage are refused as corrupt, with the decoder's own words; no sound file is."""
    refused, missed, details = Counter[str](), Counter[str](), Counter[str]()
    for seed, body in enumerate(damage.sound()):
        before = _validate(body, level)
        assert (before.reason, before.detail) == (None, "")
        for way, broken in damage.damaged(body, random.Random(seed)).items():
            after = _validate(broken, level)
            assert after.reason in (None, Reason.CORRUPT)
            if after.reason:
                refused[way] += 1
                details[after.detail] += 1
            elif np.abs(_pixels(before) - _pixels(after)).mean() >= VISIBLE:
                missed[way] += 1
    print(f"\n{level}: refused {dict(refused)}, visible and kept {dict(missed)}")
    assert len(refused) == 9
    assert missed.total() <= 0.05 * (refused.total() + missed.total())
    assert min(refused.values()) >= 32
    assert {"damaged jpeg data: bad Huffman code", "damaged jpeg data: premature end of data segment"} <= set(details)


def test_basic_keeps_what_a_decoder_can_show() -> None:
    """Level basic refuses truncation and holes, and keeps other damage with the pixels that the decoder makes of it."""
    body = next(damage.sound())
    broken = damage.damaged(body, random.Random(3))
    verdicts = {way: _validate(one, "basic") for way, one in broken.items()}
    assert [way for way, verdict in verdicts.items() if verdict.reason] == ["cut at 60 %", "512 bytes zeroed"]
    assert {way: verdict.measures["damaged"] for way, verdict in verdicts.items() if not verdict.reason}["4 KB of HTML inserted"] == 1
