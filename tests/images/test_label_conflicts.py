"""One picture with several labels: none is kept, or the first label's, or one per label. No label is no conflict."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.db.image_search import Fingerprint
from app.domain import ImageState, LabelConflicts
from app.images.dedupe import Copy
from app.images.label_conflicts import Conflict, Resolution, resolve

POLICIES: tuple[LabelConflicts, ...] = ("drop", "keep-first", "keep-all")


def _item(image_id: int, label: str | None, value: int = 0, *, sha256: str = "", pixels: int = 100) -> Fingerprint:
    return Fingerprint(image_id, ImageState.VALID, sha256 or f"{image_id:064x}", f"{value:016x}", pixels, 10, label=label)


def _outcome(items: list[Fingerprint], policy: LabelConflicts) -> tuple[set[int], set[int], set[int]]:
    """Ids that are kept, duplicates, and conflicts."""
    found = resolve(items, "near", 6, policy)
    out = found.conflicts.keys() | found.duplicates.keys()
    return {item.id for item in items} - out, set(found.duplicates), set(found.conflicts)


CAT_AND_DOG = [_item(1, "cat", sha256="a"), _item(2, "dog", sha256="a")]
THREE = [_item(1, "cat", pixels=50), _item(2, "dog", 1, pixels=900), _item(3, "bird", 3), _item(4, "cat", 2, pixels=90), _item(5, None, 1)]
NO_CONFLICT = [_item(1, "cat", pixels=50), _item(2, None, 1, pixels=900), _item(3, "CAT ", 3)]
APART = [_item(1, "cat"), _item(2, "dog", 0xFFFF)]


@pytest.mark.parametrize(
    ("items", "policy", "kept", "duplicates", "conflicts"),
    [
        (CAT_AND_DOG, "drop", set(), set(), {1, 2}),
        (CAT_AND_DOG, "keep-first", {1}, set(), {2}),
        (CAT_AND_DOG, "keep-all", {1, 2}, set(), set()),
        (THREE, "drop", set(), set(), {1, 2, 3, 4, 5}),
        (THREE, "keep-first", {4}, {1, 5}, {2, 3}),
        (THREE, "keep-all", {2, 3, 4}, {1, 5}, set()),
        *[(NO_CONFLICT, policy, {3}, {1, 2}, set()) for policy in POLICIES],
        *[(APART, policy, {1, 2}, set(), set()) for policy in POLICIES],
    ],
)
def test_what_is_kept(items: list[Fingerprint], policy: LabelConflicts, kept: set[int], duplicates: set[int], conflicts: set[int]) -> None:
    """By each policy, for exact copies, three labels, a copy without a label, and pictures that are not alike; order counts for nothing."""
    assert _outcome(items, policy) == _outcome(items[::-1], policy) == (kept, duplicates, conflicts)


def test_a_conflict_names_the_other_image_and_both_labels() -> None:
    """One with the same bytes where there is one; an image without a label names one that has a label."""
    found = resolve([*CAT_AND_DOG, _item(3, "dog", 1), _item(4, None, 1)], "near", 6, "drop")
    assert found == Resolution(
        {},
        {
            1: Conflict(2, ("cat", "dog"), has_same_bytes=True),
            2: Conflict(1, ("dog", "cat"), has_same_bytes=True),
            3: Conflict(1, ("dog", "cat"), has_same_bytes=False),
            4: Conflict(1, (None, "cat"), has_same_bytes=False),
        },
        1,
    )


def test_what_a_rejected_image_claimed_is_compared_again() -> None:
    """Without the dog that was near both, the better of the cats keeps the other one."""
    dog, better, worse = _item(9, "dog", 0b11, pixels=900), _item(1, "cat", 0, pixels=500), _item(2, "cat", 0b11111, pixels=50)
    found = resolve([dog, better, worse], "near", 6, "keep-first")
    assert set(found.conflicts) == {9}
    assert found.duplicates == {2: Copy(1, 5)}


def test_exact_mode_finds_conflicts_of_equal_bytes_only_and_none_finds_none() -> None:
    """What is not compared does not contradict."""
    assert set(resolve([*CAT_AND_DOG, _item(3, "bird")], "exact", 6, "drop").conflicts) == {1, 2}
    assert resolve(CAT_AND_DOG, "none", 6, "drop") == Resolution({}, {})


def test_keep_all_counts_the_pictures_that_have_several_labels() -> None:
    """Nothing is kept out, and it is known all the same."""
    others = [replace(item, id=item.id + 10, sha256="b", phash="f" * 16) for item in CAT_AND_DOG]
    assert resolve([*CAT_AND_DOG, *others], "near", 6, "keep-all").pictures == 2


@given(
    st.lists(st.tuples(st.sampled_from([None, "cat", "dog", "bird"]), st.integers(0, 255), st.integers(1, 3)), max_size=14),
    st.sampled_from(POLICIES),
)
def test_no_picture_keeps_two_labels_unless_asked(seeds: list[tuple[str | None, int, int]], policy: LabelConflicts) -> None:
    """Every image has one outcome, duplicates point to kept images, and a repetition on what is left finds nothing new."""
    items = [_item(at, label, value, sha256=f"{value:064x}", pixels=pixels) for at, (label, value, pixels) in enumerate(seeds)]
    found = resolve(items, "near", 2, policy)
    assert not found.conflicts.keys() & found.duplicates.keys()
    rest = [item for item in items if item.id not in found.conflicts]
    kept = {item.id for item in rest} - found.duplicates.keys()
    assert {copy.kept_id for copy in found.duplicates.values()} <= kept
    if policy != "keep-all":
        again = resolve(rest, "near", 2, policy)
        assert (again.conflicts, again.duplicates) == ({}, found.duplicates)


@pytest.mark.parametrize("policy", POLICIES)
def test_an_image_that_a_person_keeps_loses_no_conflict(policy: LabelConflicts) -> None:
    """Its label is the first one, whatever the ids; the others are out, or its copies."""
    decided = replace(_item(7, "cat", sha256="a"), decided=2)
    kept, _, conflicts = _outcome([_item(1, "dog", sha256="a"), decided], policy)
    assert kept == ({1, 7} if policy == "keep-all" else {7})
    assert conflicts == (set() if policy == "keep-all" else {1})
