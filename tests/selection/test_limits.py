"""Which images of a label stay, whatever the order in which they come."""

import random

from app.selection.limits import Labelled, LabelLimits, left_out


def labelled(sizes: dict[str, int], *, seed: int = 0, kept: frozenset[int] = frozenset()) -> list[Labelled]:
    """Images with ids from 0."""
    labels = [label for label, number in sizes.items() for _ in range(number)]
    return [Labelled.of(at, label, f"{at:064x}", seed, is_kept=at in kept) for at, label in enumerate(labels)]


def stay(images: list[Labelled], limits: LabelLimits) -> dict[str, int]:
    out = left_out(images, limits)
    rest = [image.label for image in images if image.id not in out]
    return {label: rest.count(label) for label in sorted(set(rest))}


def test_a_balance_takes_as_many_of_each_label_as_the_smallest_has() -> None:
    """Or fewer, where the limit or the target says so."""
    images = labelled({"cat": 9, "dog": 5, "elk": 7})
    assert stay(images, LabelLimits()) == {"cat": 9, "dog": 5, "elk": 7}
    assert stay(images, LabelLimits(most=6)) == {"cat": 6, "dog": 5, "elk": 6}
    assert stay(images, LabelLimits(balance=True)) == {"cat": 5, "dog": 5, "elk": 5}
    assert stay(images, LabelLimits(most=3, balance=True)) == {"cat": 3, "dog": 3, "elk": 3}
    assert stay(images, LabelLimits(balance=True, total=13)) == {"cat": 4, "dog": 4, "elk": 4}
    assert stay(images, LabelLimits(balance=True, total=2)) == {"cat": 1, "dog": 1, "elk": 1}
    assert left_out([], LabelLimits(balance=True)) == {}


def test_the_same_images_stay_in_any_order_and_another_seed_takes_others() -> None:
    """An image that was kept before stays before others."""
    images, limits = labelled({"cat": 40}), LabelLimits(most=10)
    out = left_out(images, limits)
    assert left_out(random.Random(1).sample(images, len(images)), limits) == out
    assert left_out(labelled({"cat": 40}, seed=1), limits) != out
    assert len(out) == 30
    first = frozenset(list(out)[:10])
    assert not first & left_out(labelled({"cat": 40}, kept=first), limits).keys()


def test_more_images_move_few_of_those_that_stay() -> None:
    """By their hash, not by their place."""
    few, many = labelled({"cat": 40}), labelled({"cat": 44})
    stayed = {image.id for image in few} - left_out(few, LabelLimits(most=20)).keys()
    assert len(stayed & left_out(many, LabelLimits(most=20)).keys()) <= 4


def test_it_says_what_the_limit_was() -> None:
    """In the row of each image that is out."""
    images = labelled({"cat": 3, "dog": 1})
    assert set(left_out(images, LabelLimits(most=2)).values()) == {"valid, but its label has 2 images without it (max_per_label)"}
    words = "valid, but its label has 1 image without it (balance: the smallest label has no more)"
    assert set(left_out(images, LabelLimits(balance=True)).values()) == {words}
