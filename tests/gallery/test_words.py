"""Tests of app.gallery.words: every way to find a part of a word gives the same rows."""

import random

import numpy as np
import pytest

from app.gallery.words import Words

LETTERS = "abcé1"


def index(rows: list[set[str]]) -> Words:
    known = {word: code for code, word in enumerate(sorted(set[str]().union(*rows)))}
    pairs = [(known[word], row) for row, words in enumerate(rows) for word in sorted(words)]
    codes, numbers = (np.array([pair[at] for pair in pairs], np.uint32) for at in (0, 1))
    return Words.of(known, codes, numbers)


@pytest.mark.parametrize("part", ["a", "é", "ab", "1c", "abc1", "aaaaa", "z", "cab", "é1é", "bbbbbbb"])
def test_a_part_is_found_whether_few_or_many_words_hold_it(part: str) -> None:
    """9,000 words: some parts are in more of them than are looked for one by one, and in more rows than are listed one by one."""
    rng = random.Random(4)
    rows = [{"".join(rng.choices(LETTERS, k=rng.randint(1, 7))) for _ in range(4)} for _ in range(6_000)]
    expected = [any(part in word for word in row) for row in rows]
    assert index(rows).mask([part], len(rows)).tolist() == expected


def test_parts_do_not_reach_from_one_word_into_the_next() -> None:
    """And bytes of one character are not found in another."""
    words = index([{"ab", "ca"}, {"é"}, set()])
    assert words.mask(["bc"], 3).tolist() == [False] * 3
    assert words.mask(["ã"], 3).tolist() == [False] * 3
    assert words.mask(["a", "c"], 3).tolist() == [True, False, False]
    assert words.mask([], 3).tolist() == [True] * 3
