"""Tests of app.report.tally: what is counted of images, in one pass."""

import math
from typing import Any

import numpy as np
import pytest

from app.db.image_facts import ImageFacts
from app.domain import ImageState, Reason
from app.report.tally import BINS, LABELS_MEASURED, LEFT_OUT_SHOWN, MEASURES, Measure, Tally, distribution, largest
from tests.report.rows import digest


def facts(number: int, **values: Any) -> ImageFacts:
    kept: dict[str, Any] = {
        "id": number,
        "state": ImageState.KEPT,
        "reason": None,
        "url": f"https://u:p@Img.example.org:8080/{number}.jpg?a=1",
        "label": "cat",
        "split": "train",
        "sha256": digest(number),
        "width": 800,
        "height": 600,
        "size_bytes": 1_000,
        "duplicate_of": None,
        "measures": {"brightness": 100, "sharpness": 50.0, "entropy": 7},
    }
    return ImageFacts(**(kept | values))


def tally_of(*images: ImageFacts) -> Tally:
    tally = Tally()
    tally.add(images)
    return tally


def test_kept_images_are_counted_by_label_and_split() -> None:
    """Labels and splits come the most frequent first; equal ones by name."""
    tally = tally_of(facts(1), facts(2, split="test"), facts(3), facts(4, label=None), facts(5, label="ape", split="test"))
    assert tally.labels() == [("cat", 3), (None, 1), ("ape", 1)]
    assert tally.splits() == {"train": 3, "test": 2}
    assert [(row.label, row.total, dict(row.splits)) for row in tally.label_rows()] == [
        ("cat", 3, {"train": 2, "test": 1}),
        (None, 1, {"train": 1}),
        ("ape", 1, {"test": 1}),
    ]
    assert tally.size_bytes == 5_000


def test_the_pictures_of_a_label_are_those_with_the_smallest_digests() -> None:
    """A fair sample, as a digest has nothing to do with the order of images."""
    tally = tally_of(*(facts(number) for number in range(500)))
    assert tally.picked["cat", "train"].items(3) == sorted(range(500), key=digest)[:3]


def test_of_each_reason_a_few_images_are_shown_those_with_a_picture_first() -> None:
    """What was forgotten on request, and what waits, is shown nowhere."""
    rejected = {"state": ImageState.REJECTED, "reason": Reason.BLURRY}
    gone = {"state": ImageState.FAILED, "reason": Reason.HTTP_404, "sha256": None}
    tally = tally_of(
        *(facts(number, **(rejected | {"sha256": None})) for number in range(20)),
        facts(99, **rejected),
        *(facts(200 + number, **gone) for number in range(3)),
        facts(300, state=ImageState.TOMBSTONED, reason=Reason.TOMBSTONED),
        facts(301, state=ImageState.DEFERRED, reason=Reason.RATE_LIMITED),
        facts(302, state=ImageState.PENDING),
    )
    assert tally.left_out.keys() == {"blurry", "http_404"}
    blurry = tally.left_out["blurry"].items()
    assert (blurry[0], len(blurry)) == (99, LEFT_OUT_SHOWN)
    assert tally.left_out["http_404"].items() == [200, 201, 202]


def test_duplicates_are_grouped_by_the_kept_image() -> None:
    """The largest groups come first; equal ones by id. A duplicate whose original is unknown is in none."""
    near = {"state": ImageState.DUPLICATE, "reason": Reason.DUPLICATE_NEAR}
    tally = tally_of(
        facts(1, duplicate_of=9, **near),
        facts(2, duplicate_of=7, **near),
        facts(3, duplicate_of=8, **near),
        facts(4, duplicate_of=8, **near),
        facts(5, **near),
    )
    assert largest(tally.duplicates, 2) == [(8, [3, 4]), (7, [2])]


def test_hosts_are_counted_without_userinfo_and_queries() -> None:
    """Refusals are those of images that are not kept."""
    robots = {"state": ImageState.FAILED, "reason": Reason.ROBOTS}
    tally = tally_of(
        facts(1), facts(2, **robots), facts(3, state=ImageState.FAILED, reason=Reason.CORRUPT), facts(4, url="file:///home/me/a.jpg")
    )
    host = tally.hosts["img.example.org:8080"]
    assert (host.candidates, host.kept, dict(host.refused)) == (3, 1, {"robots": 1})
    assert tally.hosts[""].kept == 1


def test_distributions_of_a_dataset_with_unknown_measures() -> None:
    """What no image has is left out; what some lack is counted."""
    tally = tally_of(
        facts(1), facts(2, measures=None), facts(3, width=None, height=0, size_bytes=None, measures={"brightness": "dark", "entropy": 5})
    )
    found = {one.name: one for one in tally.distributions()}
    assert list(found) == [measure.name for measure in MEASURES]
    assert {name: one.missing for name, one in found.items()} == {
        "width": 1, "height": 0, "aspect": 1, "bytes": 1, "brightness": 2, "sharpness": 2, "entropy": 1,
    }  # fmt: skip
    assert found["entropy"].quartiles.median == 6
    assert [one.name for one in tally_of(facts(1, measures={})).distributions()] == ["width", "height", "aspect", "bytes"]
    assert tally_of().distributions() == []


def test_quartiles_of_a_label_are_those_of_its_images() -> None:
    """Of the most frequent labels only."""
    images = [facts(number, label=f"l{number % 60}", width=100 + number % 60) for number in range(600)]
    rows = tally_of(*images).label_rows()
    assert [bool(row.quartiles) for row in rows] == [True] * LABELS_MEASURED + [False] * (60 - LABELS_MEASURED)
    assert all(row.quartiles["width"].median == 100 + int(str(row.label)[1:]) for row in rows[:LABELS_MEASURED])


@pytest.mark.parametrize("values", [[5.0], [5.0] * 9, [1.0, 1000.0], [0.0, 10.0, math.nan], [math.inf, 3.0]])
@pytest.mark.parametrize("is_log", [False, True])
def test_every_known_value_is_in_a_histogram(values: list[float], is_log: bool) -> None:
    """But for those that have no logarithm."""
    found = distribution(Measure("x", is_log=is_log), np.array(values))
    assert found is not None
    known = [value for value in values if math.isfinite(value)]
    assert len(found.counts) == BINS
    assert sum(found.counts) == sum(value > 0 or not is_log for value in known)
    assert found.missing == len(values) - len(known)


def test_no_known_value_is_no_distribution() -> None:
    """Nor are zeros on a logarithmic scale."""
    assert distribution(Measure("x"), np.array([math.nan])) is None
    assert distribution(Measure("x", is_log=True), np.array([0.0])) is None
