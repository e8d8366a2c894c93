"""One picture offered more than once: which candidates of a page are new, and what a further offer changes. Pure.

The first offer becomes the image; further ones stand on its row. Of their licences the stricter holds.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.discovery import licences
from app.discovery.licences import gate as licence_gate
from app.discovery.licences.policy import LicencePolicy
from app.domain import Candidate

__all__ = ["MAX_OFFERS", "Change", "Found", "Offered", "add_offer", "divide"]

MAX_OFFERS = 20
"""Offers that a row holds."""


@dataclass(frozen=True, slots=True)
class Found:
    """A candidate, its normalised URL, and every name of its picture: the key of the URL and its identities."""

    url: str
    candidate: Candidate
    names: tuple[str, ...] = ()

    @property
    def identities(self) -> tuple[str, ...]:
        """The names but for the key of the URL."""
        return self.names[1:]


@dataclass(frozen=True, slots=True)
class Offered:
    """What the row of an image says of its origin."""

    id: int
    url: str
    source: str
    page_url: str | None
    license: str | None
    license_url: str | None
    license_raw: str | None
    license_confidence: str | None
    offers: Sequence[Mapping[str, Any]] | None


@dataclass(frozen=True, slots=True)
class Change:
    """What a further offer changes in the row of an image.

    Attributes:
        values: by column.
        refused: why the licence is not taken any more, in words; None where it is.
        is_first_word: the row stated no licence and may have been refused for that; now there is one, which is taken.
    """

    values: Mapping[str, Any]
    refused: str | None = None
    is_first_word: bool = False

    def applied_to(self, row: Offered) -> Offered:
        """Return the row with the change."""
        return replace(row, **{name: value for name, value in self.values.items() if name != "license_note"})

    def followed_by(self, later: "Change") -> "Change":
        """Return both in one; what the first refused stays refused."""
        refused = later.refused or self.refused
        return Change({**self.values, **later.values}, refused, refused is None and (self.is_first_word or later.is_first_word))


def divide(found: Sequence[Found], known: Collection[str]) -> tuple[list[Found], list[Found]]:
    """Return the candidates that are new, and those that offer a picture again: a known one, or that of an earlier candidate.

    Args:
        known: names that the dataset has.
    """
    seen = set(known)
    fresh: list[Found] = []
    again: list[Found] = []
    for item in found:
        (fresh if seen.isdisjoint(item.names) else again).append(item)
        seen.update(item.names)
    return fresh, again


def add_offer(row: Offered, candidate: Candidate, policy: LicencePolicy) -> Change | None:
    """Return what an offer changes in the row of its picture; None for one that the row has."""
    offers = list(row.offers or ())
    if (candidate.source, candidate.url) in {(row.source, row.url), *((str(item["source"]), str(item["url"])) for item in offers)}:
        return None
    if candidate.source == row.source and candidate.page_url == row.page_url is not None:
        return None  # another size of it
    values: dict[str, Any] = {"offers": [*offers, _as_offer(candidate)][:MAX_OFFERS]}
    mine = licence_gate.statements_of(row.license, row.license_url, row.license_raw)
    theirs = licence_gate.statements_of(candidate.license, candidate.license_url, candidate.license_raw)
    if not licences.stated_ids(*theirs):
        return Change(values)
    decision = policy.decide(*mine, *theirs)
    stated = dict.fromkeys(filter(None, (row.license_raw, candidate.license_raw or candidate.license)))
    values |= {"license_raw": licences.SEPARATOR.join(stated)[: licence_gate.MAX_RAW_CHARS], "license_note": decision.note}
    if decision.licence != row.license:
        address = licence_gate.address_of(decision.licence, row.license_url if row.license else candidate.license_url)
        values |= {"license": decision.licence, "license_url": address}
        values |= {"license_confidence": row.license_confidence if row.license else candidate.license_confidence}
    is_first_word = decision.is_taken and not licences.stated_ids(*mine)
    return Change(values, None if decision.is_taken else decision.words, is_first_word)


def _as_offer(candidate: Candidate) -> dict[str, str]:
    names = ("source", "url", "page_url", "license", "license_url", "license_raw")
    return {name: value for name in names if (value := getattr(candidate, name))}
