"""How a target is divided among labels and keywords of a build, and how many candidates are fetched for it. Pure arithmetic.

Callers count what is there; nothing here knows rows, units or sources.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

__all__ = [
    "DEFAULT_IMAGES",
    "TARGET_MET",
    "Quota",
    "Supply",
    "candidates_to_fetch",
    "default_total",
    "fair_shares",
    "is_met",
    "plan_searches",
]

DEFAULT_IMAGES = 100
"""Images that keywords without a number of their own bring together where nobody says how many; one for each of more than 100."""

TARGET_MET = "valid, but the target was already met"
"""Detail of an image that the target has no room for."""

PRIOR_YIELD = 0.9
"""Share of candidates that is expected to become images before any has an outcome."""

PRIOR_CANDIDATES = 4
"""Outcomes that the prior weighs as much as: a single failure among the first candidates says little."""

LOWEST_YIELD = 0.1
"""The yield that is expected at least, so that one round fetches about ten times the missing images at most."""

MARGIN = 1.5
"""Standard deviations of the number of images by which a round exceeds what is missing; 93 of 100 rounds are then enough."""


@dataclass(frozen=True, slots=True)
class Supply:
    """What one keyword has given so far, and what it can still give.

    Attributes:
        valid: images that are kept if the target has room for them.
        tried: candidates with an outcome, valid or not.
        fetched: candidates that are still to be validated.
        in_flight: candidates that are still to be fetched, or that an open search is to find.
        deferred: candidates whose host asked to be left alone for a while, or that a search is to find whose source did.
        searches: by id, the spare candidates of a search; None if its source has more. Empty while none is planned, or all are open.
    """

    valid: int = 0
    tried: int = 0
    fetched: int = 0
    in_flight: int = 0
    deferred: int = 0
    searches: Mapping[str, int | None] = field(default_factory=dict)

    @property
    def limit(self) -> int | None:
        """The most images that the keyword can give; None if that is not known."""
        spares = [spare for spare in self.searches.values() if spare is not None]
        is_known = spares and len(spares) == len(self.searches)
        return self.valid + self.fetched + self.in_flight + self.deferred + sum(spares) if is_known else None


def fair_shares(total: int, limits: Sequence[int | None]) -> list[int]:
    """Divide a total evenly; what one cannot take up to its limit goes to the others, a remainder to the first of them.

    Args:
        limits: the most that each can take; None for no limit.
    """
    shares = [0] * len(limits)
    open_ones = list(range(len(limits)))
    while open_ones:
        each, rest = divmod(total, len(open_ones))
        fair = {at: each + (place < rest) for place, at in enumerate(open_ones)}
        full = {at: limit for at in open_ones if (limit := limits[at]) is not None and limit < fair[at]}
        for at, share in (full or fair).items():
            shares[at] = share
        total -= sum(full.values())
        open_ones = [at for at in open_ones if at not in full] if full else []
    return shares


@dataclass(frozen=True, slots=True)
class Quota:
    """How many images a build wants.

    A keyword with a number of its own has that as its target. The others share what is left of ``total``: labels evenly, and the keywords
    of a label evenly; what one cannot give, the others may.

    Attributes:
        total: in all.
        labels: of each keyword; without them each keyword is a label of its own.
        numbers: of each keyword its own number, or None.
        per_label: the most of one label; the numbers of its keywords count towards it.
    """

    total: int
    labels: Sequence[str] = ()
    numbers: Sequence[int | None] = ()
    per_label: int | None = None

    def shares(self, limits: Sequence[int | None]) -> list[int]:
        """Return the share of each keyword.

        Args:
            limits: the most that each can give; None for no limit.
        """
        numbers = self._numbers(len(limits))
        shares = [0 if number is None else _least(number, limit) or 0 for number, limit in zip(numbers, limits, strict=True)]
        groups = self._sharing(len(limits))
        most = [_least(self._left_of(label), _sum(limits[at] for at in places)) for label, places in groups.items()]
        for places, share in zip(groups.values(), fair_shares(max(0, self.total - sum(shares)), most), strict=True):
            for at, own in zip(places, fair_shares(share, [limits[at] for at in places]), strict=True):
                shares[at] = own
        return shares

    def _sharing(self, size: int) -> dict[object, list[int]]:
        """The places of the keywords without a number of their own, by label."""
        groups: dict[object, list[int]] = {}
        for at, number in enumerate(self._numbers(size)):
            if number is None:
                groups.setdefault(self.labels[at] if self.labels else at, []).append(at)
        return groups

    def _numbers(self, size: int) -> Sequence[int | None]:
        return self.numbers or [None] * size

    def _left_of(self, label: object) -> int | None:
        """The most that the keywords of a label without numbers of their own may give together."""
        if self.per_label is None:
            return None
        numbered = zip(self.labels, self.numbers, strict=True) if self.labels and self.numbers else ()
        return max(0, self.per_label - sum(number or 0 for own, number in numbered if own == label))


def default_total(labels: Sequence[str], numbers: Sequence[int | None], per_label: int | None) -> int:
    """Return the images that a build from keywords wants where only its labels or some keywords have a number, or nothing has.

    Args:
        labels, numbers, per_label: as of `Quota`.
    """
    own = sum(number or 0 for number in numbers)
    sharing = sum(number is None for number in numbers)
    if per_label is None:
        return own + (max(DEFAULT_IMAGES, sharing) if sharing else 0)
    quota = Quota(own + per_label * len(labels), labels, numbers, per_label)
    return sum(quota.shares([None] * len(labels)))


def _least(*limits: int | None) -> int | None:
    """The lowest of some limits; None where there is none."""
    return min((limit for limit in limits if limit is not None), default=None)


def _sum(limits: Iterable[int | None]) -> int | None:
    """The sum of some limits; None where one is not known."""
    known = list(limits)
    return None if None in known else sum(limit or 0 for limit in known)


def candidates_to_fetch(*, wanted: int, valid: int, tried: int, fetched: int = 0, in_flight: int = 0, deferred: int = 0) -> int:
    """How many more candidates to fetch so that ``wanted`` images are probably valid; 0 while what is in flight is expected to do.

    The yield so far is smoothed by a prior. Fetched images count by the prior as well: a failure is known earlier than a valid image, so
    that the yield would look too low without them. Failures come in runs, such as all links to one dead host, so no more are in flight
    than have an outcome, or than a first round has. Others are fetched in place of deferred ones, but not of more than that number:
    a source whose every image is on one host is not read to its end while that host is closed.
    """
    missing = wanted - valid - PRIOR_YIELD * fetched
    known = tried + fetched
    share = min(1.0, max(LOWEST_YIELD, (valid + PRIOR_YIELD * (fetched + PRIOR_CANDIDATES)) / (known + PRIOR_CANDIDATES)))
    if missing <= 0:
        return 0
    most = max(known, _with_margin(missing, PRIOR_YIELD))
    expected = in_flight + max(0, deferred - max(known, _with_margin(wanted, PRIOR_YIELD)))
    if missing <= expected * share:
        return 0
    return max(0, min(_with_margin(missing, share), most) - expected)


def _with_margin(missing: float, share: float) -> int:
    """Candidates of which as many as are missing are probably valid; their number follows the binomial distribution."""
    return math.ceil((missing + MARGIN * math.sqrt(missing * (1 - share))) / share)


def plan_searches(quota: Quota, supplies: Sequence[Supply]) -> dict[str, int]:
    """How many more candidates each search shall release or find, by id; a search without any is left out.

    Keywords share the quota, and the searches of a keyword share its candidates.
    """
    planned: dict[str, int] = {}
    for wanted, supply in zip(_shares(quota, supplies), supplies, strict=True):
        more = candidates_to_fetch(
            wanted=wanted,
            valid=supply.valid,
            tried=supply.tried,
            fetched=supply.fetched,
            in_flight=supply.in_flight,
            deferred=supply.deferred,
        )
        shares = fair_shares(more, list(supply.searches.values()))
        planned |= {search_id: share for search_id, share in zip(supply.searches, shares, strict=True) if share}
    return planned


def is_met(quota: Quota, supplies: Sequence[Supply]) -> bool:
    """Whether each keyword has its share of valid images, as far as it can give it; duplicates among them are not known yet."""
    return all(supply.valid >= wanted for wanted, supply in zip(_shares(quota, supplies), supplies, strict=True))


def _shares(quota: Quota, supplies: Sequence[Supply]) -> list[int]:
    return quota.shares([supply.limit for supply in supplies])
