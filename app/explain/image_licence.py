"""What was stated about the licence of an image, what it means, and which word of ``--license`` took or refused it."""

from collections.abc import Iterator, Mapping
from typing import Any

from app.discovery.licences.gate import statements_of
from app.discovery.licences.policy import LicencePolicy, describe
from app.domain import Reason, StoredImage
from app.explain.image import ExplanationLine
from app.formatting import clipped

__all__ = ["licence_lines"]

_CONFIDENCE: Mapping[str | None, str] = {
    "asserted": "stated for this image",
    "derived": "derived by its source from a rule or a record around the image",
}


def licence_lines(image: StoredImage, spec: Mapping[str, Any]) -> Iterator[ExplanationLine]:
    """Yield the licence with its creator, the statements that it was read from, and the decision.

    Args:
        spec: of the image's job.
    """
    if image.license or image.creator or image.attribution:
        licence = describe(clipped(image.license, 80)) if image.license else "licence unknown"
        words = [licence, clipped(image.creator or "creator unknown", 80)]
        words += [f"credit: {clipped(image.attribution, 200)}"] if image.attribution else []
        yield ExplanationLine("licence", ", ".join(words))
    if image.license_raw:
        means = _CONFIDENCE.get(image.license_confidence, "not understood")
        yield ExplanationLine("stated", f"by {clipped(image.source, 40)}: {clipped(image.license_raw, 300)} ({means})")
    if image.license_note:
        yield ExplanationLine("stated", clipped(image.license_note, 300))
    if image.license_confidence or image.reason is Reason.LICENCE:
        yield ExplanationLine("decided", _decision(image, spec))


def _decision(image: StoredImage, spec: Mapping[str, Any]) -> str:
    """``--license open refuses it: CC-BY-NC-4.0: not taken by open``. A refusal is quoted as it was written down."""
    policy = LicencePolicy(tuple(spec.get("license") or ()), spec.get("license_unknown") or "keep")
    rule = f"--license {clipped(','.join(policy.words), 100)}" if policy.words else None
    if image.reason is Reason.LICENCE:
        refuses = f"{rule} refuses it" if rule else "refused without --license"
        return f"{refuses}: {clipped(image.detail or 'not in the list of accepted licences', 200)}"
    decision = policy.decide(*statements_of(image.license, image.license_url, image.license_raw))
    return f"{rule} takes it: {decision.words}" if rule else f"taken without --license: {decision.words}"
