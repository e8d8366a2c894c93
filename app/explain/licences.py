"""The licences of a dataset: how many images have which, how that is known, and what a choice of licences would leave."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.db.licences import LicenceCount
from app.discovery.licences import normalise, stated_terms
from app.discovery.licences.policy import LicencePolicy

__all__ = ["Answer", "Departure", "LedgerLine", "answer", "ledger"]


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """What is known of the images under one licence.

    Attributes:
        licence: its id, or what was stated where that is not understood; None where nothing is stated.
        is_known: whether what was stated is understood.
        kept, refused: images in the dataset, and images that it left out for this licence.
        contradicted: those of ``kept`` of which two statements disagree.
        sources, confidence: ``kept`` by source, and by how the licence is known.
        terms: what it permits and asks for, in words.
    """

    licence: str | None
    is_known: bool
    kept: int = 0
    refused: int = 0
    contradicted: int = 0
    sources: dict[str, int] = field(default_factory=dict)
    confidence: dict[str, int] = field(default_factory=dict)
    terms: str = ""


@dataclass(frozen=True, slots=True)
class Departure:
    """Kept images that a choice of licences would not take, and why."""

    licence: str | None
    count: int
    why: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a choice of licences would leave of the kept images."""

    stays: int
    goes: tuple[Departure, ...]


def ledger(counts: Sequence[LicenceCount]) -> list[LedgerLine]:
    """Return a line for each licence, the one with the most kept images first."""
    groups: dict[str | None, list[LicenceCount]] = {}
    for one in counts:
        groups.setdefault(normalise(one.license) or one.license, []).append(one)
    lines = [_line(licence, members) for licence, members in groups.items()]
    return sorted(lines, key=lambda line: (-line.kept, -line.refused, line.licence or ""))


def answer(counts: Sequence[LicenceCount], policy: LicencePolicy) -> Answer:
    """Return what a policy would take of the kept images, and what not."""
    stays = 0
    goes: Counter[tuple[str | None, str]] = Counter()
    for one in counts:
        decision = policy.decide(one.license)
        if one.is_kept and decision.is_taken:
            stays += one.count
        elif one.is_kept:
            goes[decision.licence or one.license, decision.words] += one.count
    return Answer(stays, tuple(Departure(licence, number, why) for (licence, why), number in goes.most_common()))


def _line(licence: str | None, members: Sequence[LicenceCount]) -> LedgerLine:
    kept = [one for one in members if one.is_kept]
    sources: Counter[str] = Counter()
    confidence: Counter[str] = Counter()
    for one in kept:
        sources[one.source] += one.count
        confidence[one.confidence or "unknown"] += one.count
    return LedgerLine(
        licence,
        is_known=normalise(licence) is not None,
        kept=sum(sources.values()),
        refused=sum(one.count for one in members if not one.is_kept),
        contradicted=sum(one.count for one in kept if one.is_contradicted),
        sources=dict(sources.most_common()),
        confidence=dict(confidence.most_common()),
        terms=describe_terms(licence),
    )


def describe_terms(licence: str | None) -> str:
    """``credit, share alike``; what a licence permits not, and what it asks for."""
    terms = stated_terms(licence)
    if terms is None:
        return "not stated" if licence is None else "not understood"
    if not terms.use:
        return "no use permitted"
    asked = {
        "credit": terms.attribution,
        "share alike": terms.share_alike,
        "no commercial use": not terms.commercial,
        "no changes": not terms.derivatives,
    }
    return ", ".join(words for words, holds in asked.items() if holds) or "nothing asked"
