"""The licence gate: what is known of a candidate's licence, and whether a build may fetch the candidate. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from app.discovery import licences
from app.discovery.licence_policy import Decision, LicencePolicy
from app.domain import Candidate, LicenseConfidence
from app.spec import JobSpec

__all__ = ["Sorted", "policy_of", "settle", "sort", "statements_of"]

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
    for url, candidate in candidates:
        decision = policy.decide(*statements_of(candidate.license, candidate.license_url, candidate.license_raw))
        settled = settle(candidate, decision)
        if decision.is_taken:
            taken.append((url, settled))
        else:
            refused.append((url, settled, decision.words))
    return Sorted(taken, refused)


def statements_of(licence: str | None, address: str | None, raw: str | None) -> tuple[str | None, ...]:
    """All that was stated about one image."""
    return licence, address, *(raw.split(licences.SEPARATOR) if raw else ())


def settle(candidate: Candidate, decision: Decision) -> Candidate:
    """The candidate with the licence that holds. Its own words stay where none was understood."""
    raw = candidate.license_raw or licences.SEPARATOR.join(filter(None, (candidate.license, candidate.license_url)))
    return replace(
        candidate,
        license=decision.licence or (candidate.license and candidate.license[:MAX_CHARS]),
        license_url=address_of(decision.licence, candidate.license_url),
        license_raw=raw[:MAX_RAW_CHARS] or None,
        license_confidence=_confidence(decision, candidate.license_confidence),
        license_note=decision.note,
    )


def address_of(licence: str | None, stated: str | None) -> str | None:
    """The stated address, unless it is that of another licence."""
    if licence is None or licences.normalise(stated) in (None, licence):
        return stated or licences.url_of(licence)
    return licences.url_of(licence)


def _confidence(decision: Decision, stated: LicenseConfidence) -> LicenseConfidence:
    if decision.licence is None:
        return "unknown"
    return "asserted" if stated == "unknown" else stated
