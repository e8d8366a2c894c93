"""Tests of app.boxes: boxes stay where their objects are, whatever is done to the picture."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.boxes import Box, clip, place

SIDE = st.integers(1, 5_000)
SIZE = st.tuples(SIDE, SIDE)
COORDINATE = st.floats(-6_000, 6_000)
LENGTH = st.floats(0.01, 6_000)
BOX = st.builds(Box, st.just("a"), COORDINATE, COORDINATE, LENGTH, LENGTH)


def is_inside(box: Box, picture: tuple[int, int]) -> bool:
    """Whether a box has a size and lies in the picture, but for the rounding of floats."""
    return (
        min(box.x, box.y) >= 0
        and min(box.width, box.height) >= 1
        and box.x + box.width <= picture[0] + 1e-6
        and box.y + box.height <= picture[1] + 1e-6
    )


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (Box("a", 1.0, 2.0, 3.0, 4.0), Box("a", 1.0, 2.0, 3.0, 4.0)),
        (Box("a", -2.0, -1.0, 10.0, 10.0), Box("a", 0.0, 0.0, 8.0, 9.0)),
        (Box("a", 95.0, 45.0, 10.0, 10.0), Box("a", 95.0, 45.0, 5.0, 5.0)),
        (Box("a", 1.004, 1.0, 3.0, 3.0), Box("a", 1.0, 1.0, 3.0, 3.0)),
        (Box("a", 99.5, 0.0, 10.0, 10.0), None),
        (Box("a", 200.0, 0.0, 10.0, 10.0), None),
        (Box("a", -20.0, 0.0, 10.0, 10.0), None),
    ],
)
def test_what_lies_outside_the_picture_is_cut_off(box: Box, expected: Box | None) -> None:
    """To hundredths of a pixel; of less than a pixel nothing is left."""
    assert clip(box, (100, 50)) == expected


@pytest.mark.parametrize(
    ("scaled", "canvas", "expected"),
    [
        ((100, 50), (100, 50), (10.0, 20.0, 30.0, 10.0)),  # none
        ((200, 100), (200, 100), (20.0, 40.0, 60.0, 20.0)),  # keep_ratio
        ((100, 50), (50, 50), (0.0, 20.0, 15.0, 10.0)),  # center_crop: 25 pixels of each side are gone
        ((100, 50), (100, 100), (10.0, 45.0, 30.0, 10.0)),  # border: 25 pixels above
    ],
)
def test_a_box_goes_where_its_object_goes(scaled: tuple[int, int], canvas: tuple[int, int], expected: tuple[float, ...]) -> None:
    """Scaled with the picture, then moved with it."""
    (box,) = place([Box("a", 10.0, 20.0, 30.0, 10.0)], (100, 50), scaled, canvas)
    assert (box.x, box.y, box.width, box.height) == expected


def test_a_box_whose_object_is_cropped_is_left_out() -> None:
    """The others stay in their order."""
    boxes = [Box("right", 90.0, 0.0, 10.0, 10.0), Box("middle", 45.0, 0.0, 10.0, 10.0), Box("left", 0.0, 0.0, 20.0, 10.0)]
    assert [box.label for box in place(boxes, (100, 50), (100, 50), (50, 50))] == ["middle"]


def test_a_box_does_not_reach_into_the_border() -> None:
    """What a list puts outside of the picture is cut off before the border is drawn."""
    (box,) = place([Box("a", 10.0, -20.0, 30.0, 100.0)], (100, 50), (100, 50), (100, 100))
    assert (box.y, box.height) == (25.0, 50.0)


@given(boxes=st.lists(BOX, max_size=5), picture=SIZE, scaled=SIZE, canvas=SIZE)
def test_no_box_leaves_the_picture(boxes: list[Box], picture: tuple[int, int], scaled: tuple[int, int], canvas: tuple[int, int]) -> None:
    """Whatever the list says and the build does."""
    assert all(is_inside(box, canvas) for box in place(boxes, picture, scaled, canvas))


@given(box=BOX, picture=SIZE, factor=st.integers(1, 4))
def test_scaling_keeps_the_share_of_the_picture(box: Box, picture: tuple[int, int], factor: int) -> None:
    """To a hundredth of a pixel of the larger picture for each edge."""
    large = (picture[0] * factor, picture[1] * factor)
    inside = clip(box, picture)
    found = place([box], picture, large, large)
    assert len(found) == (inside is not None)
    for moved in found:
        assert inside is not None
        assert abs(moved.x - inside.x * factor) <= 0.02
        assert abs(moved.width - inside.width * factor) <= 0.04
