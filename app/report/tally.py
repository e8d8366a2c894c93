"""Counts what a report says of the images of a dataset, in one pass over them and in bounded memory. Pure."""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from app.db.attempts import host_of
from app.db.image_facts import ImageFacts
from app.domain import ImageState, Reason
from app.report.model import Distribution, LabelRow, Quartiles
from app.report.sampling import MOST_OF_LABEL, Sample

__all__ = ["MEASURES", "REFUSALS", "HostTally", "Measure", "Tally"]

BINS: Final = 48
"""Bars of a histogram."""

LABELS_MEASURED: Final = 40
"""Labels, the most frequent first, of which the distributions are computed."""

LEFT_OUT_SHOWN: Final = 8
"""Images of one reason that are shown."""

REFUSALS: Final = frozenset(
    {
        *(Reason.HTTP_401, Reason.HTTP_403, Reason.HTTP_451, Reason.RATE_LIMITED, Reason.RETRY_AFTER_OVER_CAP),
        *(Reason.SERVICE_UNAVAILABLE, Reason.HOST_UNAVAILABLE, Reason.ROBOTS, Reason.OPT_OUT, Reason.CONTACT_REQUIRED),
    }
)
"""Reasons by which a host, or its rules, say that something is not to be had."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure of images; ``is_log`` where its values span several powers of ten."""

    name: str
    unit: str = ""
    is_log: bool = False


MEASURES: Final = (
    Measure("width", "px", is_log=True),
    Measure("height", "px", is_log=True),
    Measure("aspect"),
    Measure("bytes", "B", is_log=True),
    Measure("brightness"),
    Measure("sharpness", is_log=True),
    Measure("entropy", "bits"),
)
"""In the order of the page; see `app.images.measures` for the last three. The aspect is width over height."""


def values_of(image: ImageFacts) -> tuple[float, ...]:
    """Return the values of :data:`MEASURES`, NaN where one is not known."""
    measured = image.measures or {}
    known = (image.width, image.height, image.width / image.height if image.width and image.height else None, image.size_bytes)
    return tuple(_number(value) for value in (*known, *(measured.get(name) for name in ("brightness", "sharpness", "entropy"))))


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


@dataclass(slots=True)
class HostTally:
    """Images of one host; ``refused`` by reason."""

    candidates: int = 0
    kept: int = 0
    refused: Counter[str] = field(default_factory=Counter)


class Tally:
    """What is counted of the images of a dataset.

    Attributes:
        kept: images of the dataset by label and split.
        picked: of each label and split the pictures that may be shown, by id.
        left_out: of each reason some images, by id, those with a picture first.
        duplicates: ids of duplicates by the id of the image that is kept instead.
    """

    def __init__(self) -> None:
        self.kept: Counter[tuple[str | None, str | None]] = Counter()
        self.picked: defaultdict[tuple[str | None, str | None], Sample[int]] = defaultdict(lambda: Sample(MOST_OF_LABEL))
        self.left_out: defaultdict[str, Sample[int]] = defaultdict(lambda: Sample(LEFT_OUT_SHOWN))
        self.duplicates: defaultdict[int, list[int]] = defaultdict(list)
        self.hosts: defaultdict[str, HostTally] = defaultdict(HostTally)
        self.size_bytes = 0
        self._label_numbers: dict[str | None, int] = {}
        self._labels = array("l")
        self._values = tuple(array("d") for _ in MEASURES)

    def add(self, images: Iterable[ImageFacts]) -> None:
        """Count some images."""
        for image in images:
            self._add_host(image)
            if image.state is ImageState.KEPT:
                self._add_kept(image)
            elif image.reason is not None and image.state not in (ImageState.TOMBSTONED, ImageState.DEFERRED):
                self._add_left_out(image)

    def labels(self) -> list[tuple[str | None, int]]:
        """Labels with their images, the most frequent first."""
        totals: Counter[str | None] = Counter()
        for (label, _), number in self.kept.items():
            totals[label] += number
        return sorted(totals.items(), key=lambda item: (-item[1], item[0] or ""))

    def splits(self) -> dict[str | None, int]:
        """Images by split, the largest split of the dataset first."""
        totals: Counter[str | None] = Counter()
        for (_, split), number in self.kept.items():
            totals[split] += number
        return dict(sorted(totals.items(), key=lambda item: (-item[1], item[0] or "")))

    def label_rows(self) -> list[LabelRow]:
        """Every label, the most frequent first, the first with quartiles."""
        splits = self.splits()
        numbers = np.frombuffer(self._labels, dtype=self._labels.typecode) if self._labels else np.empty(0)
        rows = []
        for at, (label, total) in enumerate(self.labels()):
            own = numbers == self._label_numbers[label] if at < LABELS_MEASURED else None
            own_splits = {split: self.kept[label, split] for split in splits if (label, split) in self.kept}
            rows.append(LabelRow(label, total, own_splits, {} if own is None else self._quartiles(own)))
        return rows

    def distributions(self) -> list[Distribution]:
        """The distributions of all measures that any kept image has."""
        found = (distribution(measure, _as_numbers(values)) for measure, values in zip(MEASURES, self._values, strict=True))
        return [one for one in found if one is not None]

    def _quartiles(self, own: npt.NDArray[np.bool_]) -> dict[str, Quartiles]:
        found = {measure.name: _known(_as_numbers(values)[own]) for measure, values in zip(MEASURES, self._values, strict=True)}
        return {name: quartiles(values) for name, values in found.items() if values.size}

    def _add_host(self, image: ImageFacts) -> None:
        host = self.hosts[host_of(image.url.partition("://")[2].partition("/")[0])]
        host.candidates += 1
        host.kept += image.state is ImageState.KEPT
        if image.reason in REFUSALS and image.state is not ImageState.KEPT:
            host.refused[str(image.reason)] += 1

    def _add_kept(self, image: ImageFacts) -> None:
        group = (image.label, image.split)
        self.kept[group] += 1
        self.picked[group].add(image.sha256 or "", image.id)
        self.size_bytes += image.size_bytes or 0
        self._labels.append(self._label_numbers.setdefault(image.label, len(self._label_numbers)))
        for values, value in zip(self._values, values_of(image), strict=True):
            values.append(value)

    def _add_left_out(self, image: ImageFacts) -> None:
        if image.state is ImageState.DUPLICATE and image.duplicate_of is not None:
            self.duplicates[image.duplicate_of].append(image.id)
        self.left_out[str(image.reason)].add(image.sha256 or f"~{image.id:020}", image.id)  # "~" sorts behind all digests


def _as_numbers(values: "array[float]") -> npt.NDArray[np.float64]:
    return np.frombuffer(values, dtype=np.float64) if values else np.empty(0)


def _known(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return values[np.isfinite(values)]


def quartiles(values: npt.NDArray[np.float64]) -> Quartiles:
    """Return the quartiles of at least one value."""
    return Quartiles(*(float(value) for value in np.percentile(values, (5, 25, 50, 75, 95))))


def distribution(measure: Measure, values: npt.NDArray[np.float64]) -> Distribution | None:
    """Return how values are distributed; None where none is known. Of the logarithm only values above 0 are drawn."""
    known = _known(values)
    drawn = known[known > 0] if measure.is_log else known
    if not drawn.size:
        return None
    scaled = np.log10(drawn) if measure.is_log else drawn
    least, most = float(scaled.min()), float(scaled.max())
    counts, _ = np.histogram(scaled, BINS, (least, most) if least < most else (least - 1, least + 1))
    return Distribution(
        measure.name,
        measure.unit,
        measure.is_log,
        [int(count) for count in counts],
        float(drawn.min()),
        float(drawn.max()),
        quartiles(known),
        int(values.size - known.size),
    )


def largest(groups: Mapping[int, Sequence[int]], most: int) -> list[tuple[int, Sequence[int]]]:
    """Return the largest groups, the largest first."""
    return sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))[:most]
