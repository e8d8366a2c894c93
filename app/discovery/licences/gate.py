"""The licence gate: what is known of a candidate's licence, and whether a build may fetch the candidate. Pure."""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from app.discovery.licences import reading
from app.discovery.licences.policy import Decision, LicencePolicy
from app.domain import Candidate, LicenseConfidence
from app.spec import JobSpec

__all__ = ["FileStatement", "Sorted", "Stated", "decide_again", "policy_of", "read_file", "settle", "sort", "statements_of"]

MAX_CHARS, MAX_RAW_CHARS = 200, 500
"""Characters of a licence that is not understood, and of all statements, in a row."""


@dataclass(frozen=True, slots=True)
class Sorted:
    """Candidates with their normalised URLs, by what the policy says; those that are refused also with why, in words."""

    taken: Sequence[tuple[str, Candidate]]
    refused: Sequence[tuple[str, Candidate, str]]


def policy_of(spec: JobSpec) -> LicencePolicy:
    """The policy of a job."""
    return LicencePolicy.of(spec.license, spec.license_unknown)


def sort(policy: LicencePolicy, candidates: Iterable[tuple[str, Candidate]]) -> Sorted:
    """Decide about each candidate, before anything is requested."""
    taken: list[tuple[str, Candidate]] = []
    refused: list[tuple[str, Candidate, str]] = []
    decide = functools.lru_cache(policy.decide)  # most images of a page are under a few licences
    for url, candidate in candidates:
        decision = decide(*statements_of(candidate.license, candidate.license_url, candidate.license_raw))
        settled = settle(candidate, decision)
        if decision.is_taken:
            taken.append((url, settled))
        else:
            refused.append((url, settled, decision.words))
    return Sorted(taken, refused)


def statements_of(licence: str | None, address: str | None, raw: str | None) -> tuple[str | None, ...]:
    """All that was stated about one image."""
    return licence, address, *(raw.split(reading.SEPARATOR) if raw else ())


class Stated(Protocol):
    """What the row of an image says of its licence."""

    @property
    def license(self) -> str | None: ...

    @property
    def license_url(self) -> str | None: ...

    @property
    def license_raw(self) -> str | None: ...


def decide_again(policy: LicencePolicy, row: Stated) -> Decision:
    """Decide about an image by all that its row has by now: the statements of its source, of offers and of its file."""
    return policy.decide(*statements_of(row.license, row.license_url, row.license_raw))


def settle(candidate: Candidate, decision: Decision) -> Candidate:
    """The candidate with the licence that holds. Its own words stay where none was understood."""
    if decision.licence is None and not (candidate.license or candidate.license_url or candidate.license_raw):
        return candidate if candidate.license_confidence == "unknown" else replace(candidate, license_confidence="unknown")
    raw = candidate.license_raw or reading.SEPARATOR.join(filter(None, (candidate.license, candidate.license_url)))
    return replace(
        candidate,
        license=decision.licence or (candidate.license and candidate.license[:MAX_CHARS]),
        license_url=address_of(decision.licence, candidate.license_url),
        license_raw=raw[:MAX_RAW_CHARS] or None,
        license_confidence=_confidence(decision, candidate.license_confidence),
        license_note=candidate.license_note or decision.note,
    )


@dataclass(frozen=True, slots=True)
class FileStatement:
    """What the file of an image adds to what its source stated.

    Attributes:
        licence, url, raw, note: as the columns of the image have them from now on.
        refusal: why the policy does not take the image any more, in words; None where it does.
        evidence: what the file states.
    """

    licence: str
    url: str | None
    raw: str
    note: str
    refusal: str | None
    evidence: str


def read_file(policy: LicencePolicy, image: Stated, statements: Sequence[tuple[str, str]]) -> FileStatement | None:
    """Decide again by what an image's file states; None where it adds nothing.

    A notice of copyright alone is no statement: nearly every photo has one, under whatever licence.

    Args:
        statements: where each stands in the file, and its text.
    """
    stated = [(where, text) for where, text in statements if reading.named_ids(text)]
    own = statements_of(image.license, image.license_url, image.license_raw)
    known = reading.stated_ids(*own)
    added = [licence for licence in reading.stated_ids(*(text for _, text in stated)) if licence not in known]
    decision = policy.decide(*own, *(text for _, text in stated))
    if not added or decision.licence is None or reading.stated_ids(*own, *added) == known:
        return None
    evidence = reading.SEPARATOR.join(f"{where}: {text}" for where, text in stated)
    return FileStatement(
        licence=decision.licence,
        url=address_of(decision.licence, image.license_url),
        raw=reading.SEPARATOR.join(filter(None, (image.license_raw, evidence)))[:MAX_RAW_CHARS],
        note=_note_on_file(known, added, decision.licence),
        refusal=None if decision.is_taken else f"its file states another licence than its source: {decision.words}",
        evidence=evidence,
    )


def _note_on_file(known: Sequence[str], added: Sequence[str], licence: str) -> str:
    states = f"the file itself states {' and '.join(added)}"
    return f"{states}, its source {' and '.join(known)}; the stricter, {licence}, holds" if known else f"{states}, its source nothing"


def address_of(licence: str | None, stated: str | None) -> str | None:
    """The stated address, unless it is that of another licence."""
    if licence is None or reading.normalise(stated) in (None, licence):
        return stated or reading.url_of(licence)
    return reading.url_of(licence)


def _confidence(decision: Decision, stated: LicenseConfidence) -> LicenseConfidence:
    if decision.licence is None:
        return "unknown"
    return "asserted" if stated == "unknown" else stated
