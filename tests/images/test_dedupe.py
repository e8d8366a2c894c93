"""Duplicates point to a kept image, the best one, whatever the order of the input."""

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.db.image_search import Fingerprint
from app.domain import ImageState
from app.images.dedupe import Copy, Match, Mode, compare, find_exact, find_near
from errors import ConfigurationError


def _item(image_id: int, value: int | None = 0, *, pixels: int = 100, size_bytes: int = 10, sha256: str | None = None) -> Fingerprint:
    phash = None if value is None else f"{value:016x}"
    return Fingerprint(image_id, ImageState.VALID, sha256 or f"{image_id:064x}", phash, pixels, size_bytes)


def _coloured(image_id: int, *cells: tuple[int, int, int], **more: Any) -> Fingerprint:
    """All have one hash; the last colour fills the grid."""
    return replace(_item(image_id, **more), colours=b"".join(map(bytes, (*cells, *[cells[-1]] * (16 - len(cells))))))


def _differing_bits(one: Fingerprint, two: Fingerprint) -> int:
    return (int(one.phash or "0", 16) ^ int(two.phash or "0", 16)).bit_count()


def test_exact_duplicates_point_to_the_lowest_id() -> None:
    """Equal digests are one image; others are left alone."""
    items = [_item(3, sha256="a"), _item(1, sha256="a"), _item(2, sha256="b"), _item(9, sha256="a")]
    assert find_exact(items) == {3: Match(1, 0), 9: Match(1, 0)}


def test_near_duplicates_are_those_within_the_distance() -> None:
    """The distance itself is still a duplicate; one bit more is not. No hash, no duplicate."""
    items = [_item(1, 0), _item(2, 0b111), _item(3, 0b1111), _item(4, None)]
    assert find_near(items, 3) == {2: Match(1, 3)}
    assert find_near(items, 4) == {2: Match(1, 3), 3: Match(1, 4)}
    assert find_near(items, 0) == {}


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (_item(2, pixels=200), _item(1, pixels=100, size_bytes=99)),
        (_item(2, size_bytes=20), _item(1, size_bytes=10)),
        (_item(1), _item(2)),
    ],
)
def test_the_best_is_kept(better: Fingerprint, worse: Fingerprint) -> None:
    """More pixels, then more bytes, then the lower id."""
    assert find_near([worse, better], 0) == {worse.id: Match(better.id, 0)}


GREY, RED, BLUE = (100, 128, 128), (100, 100, 210), (100, 190, 110)


def test_a_clear_difference_of_one_cell_is_another_picture() -> None:
    """Colour up to 20 levels of chroma and 48 of luma is the same; beyond, in any cell, it is not. Exact copies need no comparison."""
    for other, is_same in (
        ((148, 128, 128), True), ((149, 128, 128), False), ((52, 128, 128), True), ((51, 128, 128), False),
        ((100, 148, 128), True), ((100, 149, 128), False), ((100, 140, 144), True), ((100, 142, 143), False), (RED, False),
    ):  # fmt: skip
        for cells in ([other], [GREY, GREY, other, GREY]):
            items = [_coloured(1, GREY), _coloured(2, *cells)]
            assert find_near(items, 0) == ({2: Match(1, 0)} if is_same else {}), other
    assert find_exact([_coloured(1, GREY, sha256="a"), _coloured(2, GREY, sha256="a")]) == {2: Match(1, 0)}


def test_shirts_in_five_colours_are_five_pictures() -> None:
    """Each keeps its own copies, whatever the order; a copy at another hash distance still finds its colour."""
    colours = [RED, BLUE, GREY, (180, 60, 140), (30, 128, 128)]
    items = [_coloured(at, colour, pixels=200) for at, colour in enumerate(colours)]
    items += [_coloured(10 + at, colour, value=0b101) for at, colour in enumerate(colours)]
    expected = {10 + at: Match(at, 2) for at in range(5)}
    assert find_near(items, 6) == find_near(items[::-1], 6) == expected


def test_an_image_without_colours_is_compared_as_before() -> None:
    """Rows of older versions have none: the hash alone decides."""
    assert find_near([_coloured(1, RED, pixels=200), _item(2), _coloured(3, BLUE)], 0) == {2: Match(1, 0)}
    assert find_near([_item(1, pixels=200), _coloured(2, RED), _coloured(3, BLUE)], 0) == {2: Match(1, 0), 3: Match(1, 0)}


def test_the_labelled_copy_is_kept() -> None:
    """However small it is: the label would be lost with it."""
    items = [_item(1, pixels=900), replace(_item(2, pixels=100), label="cat")]
    assert find_near(items, 0) == {1: Match(2, 0)}
    assert find_exact([replace(item, sha256="a") for item in items]) == {1: Match(2, 0)}


@pytest.mark.parametrize("compared", [find_exact, lambda items, **more: find_near(items, 0, **more)])
def test_within_labels_each_label_keeps_its_best(compared: Any) -> None:
    """Case makes no difference; an image without a label is a duplicate of the best one."""
    labels = ["cat", "dog", "Cat ", "dog", None, None]
    items = [replace(_item(at, sha256="a"), label=label) for at, label in enumerate(labels)]
    expected = {2: Match(0, 0), 3: Match(1, 0), 4: Match(0, 0), 5: Match(0, 0)}
    assert compared(items, within_labels=True) == expected
    assert compared(items) == {at: Match(0, 0) for at in range(1, 6)}
    assert compared(items[4:], within_labels=True) == {5: Match(4, 0)}


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("none", {}), ("exact", {3: Copy(2, None)}), ("near", {2: Copy(1, 2), 3: Copy(1, None)})],
)
def test_compare_finds_what_the_mode_asks_for(mode: Mode, expected: dict[int, Copy]) -> None:
    """An exact copy of a near duplicate repeats what is kept."""
    items = [_item(1, 0, pixels=300), _item(2, 0b11, sha256="a"), _item(3, 0b11, sha256="a"), _item(4, None), _item(5, 0xFFFF)]
    assert compare(items, mode, 6) == expected


def test_a_chain_is_not_one_cluster() -> None:
    """A is like B and B like C, but C is not like A: B is a duplicate of A, and C is kept."""
    chain = [_item(1, 0), _item(2, 0b11), _item(3, 0b1111)]
    assert find_near(chain, 2) == {2: Match(1, 2)}


def test_equal_hashes_share_their_keeper() -> None:
    """Also where the best of them is itself a duplicate of something better."""
    items = [_item(1, 0, pixels=300), _item(2, 1, pixels=200), _item(3, 1, pixels=100)]
    assert find_near(items, 1) == {2: Match(1, 1), 3: Match(1, 1)}


def test_nothing_gives_nothing() -> None:
    """No items, no matches."""
    assert find_near([], 6) == find_exact([]) == {}


@pytest.mark.parametrize("distance", [-1, 17])
def test_a_distance_out_of_range_is_refused(distance: int) -> None:
    """0 to 16."""
    with pytest.raises(ConfigurationError, match=str(distance)):
        find_near([], distance)


def _by_brute_force(items: list[Fingerprint], distance: int) -> dict[int, Match]:
    """What the docstring says, word by word and quadratic."""
    kept: list[Fingerprint] = []
    matches = {}
    for item in sorted(items, key=lambda item: (-item.pixels, -item.size_bytes, item.id)):
        keeper = next((one for one in kept if _differing_bits(one, item) <= distance), None)
        if keeper is None:
            kept.append(item)
        else:
            matches[item.id] = Match(keeper.id, _differing_bits(keeper, item))
    return matches


@given(st.lists(st.tuples(st.integers(0, 3), st.sets(st.integers(0, 63), max_size=9), st.integers(1, 3)), max_size=30), st.integers(0, 16))
def test_near_agrees_with_comparing_all_pairs(seeds: list[tuple[int, set[int], int]], distance: int) -> None:
    """The index loses nothing at any distance, and no duplicate points to a duplicate."""
    centres = [0, 0xFFFFFFFFFFFFFFFF, 0x123456789ABCDEF0, 0xF0F0F0F00F0F0F0F]
    items = [_item(i, centres[c] ^ sum(1 << bit for bit in bits), pixels=pixels) for i, (c, bits, pixels) in enumerate(seeds)]
    found = find_near(items, distance)
    assert found == _by_brute_force(items, distance)
    assert not {match.kept_id for match in found.values()} & found.keys()


def test_order_makes_no_difference() -> None:
    """The same matches for any order of the same images."""
    rng = random.Random(4)
    items = [_item(i, rng.getrandbits(64) & rng.getrandbits(64) & rng.getrandbits(64), pixels=rng.randint(1, 5)) for i in range(300)]
    shuffled = rng.sample(items, len(items))
    assert find_near(shuffled, 12) == find_near(items, 12) != {}


def test_a_large_bucket_loses_nothing() -> None:
    """A pair that shares only the blocks which 9,000 others share as well."""
    rng = random.Random(6)
    items = [_item(i, rng.getrandbits(32) << 32) for i in range(9_000)]
    first = int(items[0].phash or "", 16)
    assert find_near([*items, _item(99_999, first ^ (1 << 40) ^ (1 << 50))], 3)[99_999] == Match(0, 2)


def test_many_images_are_compared() -> None:
    """20,000 different images, and 20,000 equal ones."""
    rng = random.Random(5)
    different = [_item(i, rng.getrandbits(64)) for i in range(20_000)]
    equal = [_item(i, 77) for i in range(20_000)]
    assert find_near(different, 6) == {}
    assert len(find_near(equal, 6)) == 19_999


KEPT_BY_A_PERSON, TAKEN_OUT = 2, 1


def test_what_a_person_decided_is_a_copy_of_nothing() -> None:
    """Neither of better images nor of each other; what resembles it is a copy of it, and first of what a person keeps."""
    better = _item(1, 0, pixels=900, sha256="a")
    kept = replace(_item(2, 0b1, sha256="a"), decided=KEPT_BY_A_PERSON)
    other = replace(_item(3, 0b11), decided=KEPT_BY_A_PERSON)
    out = replace(_item(4, 0b111, sha256="a"), decided=TAKEN_OUT)
    items = [better, kept, other, out, _item(5, 0b111)]
    for order in (items, items[::-1]):
        assert find_exact(order) == {1: Match(2, 0)}
        assert find_near(order, 4) == {1: Match(2, 1), 5: Match(2, 2)}
        assert compare(order, "near", 1) == {1: Copy(2, None), 5: Copy(3, 1)}


def test_a_copy_of_what_a_person_took_out_points_to_it() -> None:
    """Where nothing that a person keeps is as near."""
    out = replace(_item(9, 0, pixels=1), decided=TAKEN_OUT)
    assert compare([_item(1, 0b1, pixels=900), _item(2, 0xFFFF), out], "near", 3) == {1: Copy(9, 1)}
