"""What a report says, as plain values: `app.report.collect` reads them from rows, `app.report.folder` from a folder."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app.db.request_figures import NO_RETRIES, AttemptCount, RetryFigures
from app.explain.licences import LedgerLine

__all__ = [
    "Distribution",
    "DuplicateGroup",
    "HostRow",
    "LabelRow",
    "LeftOut",
    "Picture",
    "Quartiles",
    "Report",
    "Sheet",
    "Stage",
    "Strip",
]


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a contact sheet.

    Attributes:
        thumb: what its thumbnail is found by; None where there cannot be one.
        words: what it is, for its title and for those who do not see it.
        link: an http or https URL, or None.
        caption: what stands below it; empty for nothing.
        is_kept: of a group of duplicates the one that is in the dataset.
    """

    thumb: str | None
    words: str
    link: str | None = None
    caption: str = ""
    is_kept: bool = False


@dataclass(frozen=True, slots=True)
class Strip:
    """Pictures of one label in one split, and how many there are."""

    split: str | None
    total: int
    pictures: Sequence[Picture]


@dataclass(frozen=True, slots=True)
class Sheet:
    """The contact sheet of one label; None is the label of images without one."""

    label: str | None
    total: int
    strips: Sequence[Strip]

    @property
    def shown(self) -> int:
        """Pictures on it."""
        return sum(len(strip.pictures) for strip in self.strips)


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of the funnel, with the images that reached it."""

    name: str
    count: int


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Images that are not in the dataset for one reason; ``pictures`` are some of them, with the words of `explain` as captions."""

    reason: str
    count: int
    pictures: Sequence[Picture] = ()


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """Images of one picture: the kept one first."""

    total: int
    pictures: Sequence[Picture]


@dataclass(frozen=True, slots=True)
class Quartiles:
    """Five values that a distribution is drawn by: the 5th, 25th, 50th, 75th and 95th percentile."""

    low: float
    lower: float
    median: float
    upper: float
    high: float


@dataclass(frozen=True, slots=True)
class Distribution:
    """How a measure is distributed over the kept images.

    Attributes:
        unit: behind a value; empty for none.
        counts: images in each of equally wide intervals from ``least`` to ``most``, of the logarithm where ``is_log``.
        missing: images without the measure.
    """

    name: str
    unit: str
    is_log: bool
    counts: Sequence[int]
    least: float
    most: float
    quartiles: Quartiles
    missing: int = 0

    def place(self, value: float) -> float:
        """Where a value is between the least and the most, 0 to 1."""
        least, most = self.least, self.most
        if self.is_log:
            least, most, value = math.log10(least), math.log10(most), math.log10(max(value, self.least))
        return min(1.0, max(0.0, (value - least) / (most - least))) if most > least else 0.5


@dataclass(frozen=True, slots=True)
class LabelRow:
    """A label with its images by split, and how its measures are distributed, by name of the measure."""

    label: str | None
    total: int
    splits: Mapping[str | None, int]
    quartiles: Mapping[str, Quartiles] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HostRow:
    """What came from one host.

    Attributes:
        refusals: images or requests that it, or its rules, refused, by reason.
        rate: requests a second from the first to the last.
        mean_s: seconds of a request.
        waited_s: seconds before and between requests.
    """

    host: str
    candidates: int
    kept: int
    requests: int
    failed: int
    refusals: Mapping[str, int]
    rate: float | None
    mean_s: float | None
    waited_s: float


@dataclass(frozen=True, slots=True)
class Report:
    """All of a report. What is not known, as of a folder alone, is empty.

    Attributes:
        facts: terms and their values, for the head.
        labels: every label, the most frequent first; only the first have quartiles, and only some a sheet.
        groups: of ``grouped`` groups of duplicates the largest.
        sources: images by source and state.
        hosts: of ``all_hosts`` those with the most requests.
        source_words: where all of it was read, for the foot.
    """

    name: str
    facts: Sequence[tuple[str, str]]
    kept: int
    sheets: Sequence[Sheet] = ()
    funnel: Sequence[Stage] = ()
    left_out: Sequence[LeftOut] = ()
    groups: Sequence[DuplicateGroup] = ()
    grouped: int = 0
    distributions: Sequence[Distribution] = ()
    labels: Sequence[LabelRow] = ()
    licences: Sequence[LedgerLine] = ()
    sources: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    hosts: Sequence[HostRow] = ()
    all_hosts: int = 0
    attempts: Sequence[AttemptCount] = ()
    retries: RetryFigures = NO_RETRIES
    source_words: str = ""

    def thumbs(self) -> list[str]:
        """The keys of all thumbnails that it shows, each once, in the order of the page."""
        strips = [strip.pictures for sheet in self.sheets for strip in sheet.strips]
        shown = [*strips, *(one.pictures for one in self.left_out), *(group.pictures for group in self.groups)]
        return list(dict.fromkeys(picture.thumb for pictures in shown for picture in pictures if picture.thumb is not None))
