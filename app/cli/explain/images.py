"""One image's story: where it was found, each request, each check, what decided."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import errors
from app.cli.documents import attempt_document, image_document
from app.cli.explain.checks import CheckLine, check_lines
from app.cli.explain.evidence import evidence_words
from app.cli.explain.requests import attempt_lines
from app.cli.words import clipped, size, when
from app.db import Database, attempts, images, jobs
from app.records import ImageState, StoredImage
from app.spec import JobSpec
from downloader import Attempt

__all__ = ["ImageStory", "image_story"]


@dataclass(frozen=True, slots=True)
class ImageStory:
    """An image with all that is known of it."""

    image: StoredImage
    dataset: str
    tries: Sequence[tuple[str, Attempt]]
    checks: Sequence[CheckLine]
    original: StoredImage | None

    def text(self) -> str:
        """The story in words."""
        image = self.image
        lines = [clipped(image.url, 300), f"  {_verdict(image)}", *(f"  {line}" for line in self._origin())]
        if self.tries:
            lines += ["  requests", *(f"    {line}" for line in attempt_lines(self.tries, ended=_ended(image)))]
        elif image.state not in (ImageState.PENDING,):
            lines.append("  requests   none: it was refused before any was sent")
        if image.sha256:
            lines.append(f"  bytes      {size(image.size_bytes or 0)} {image.media_type}, sha256 {image.sha256}")
        if self.checks:
            lines += ["  checks", *(f"    {check.words()}" for check in self.checks)]
        if self.original is not None:
            lines.append(f"  duplicate  of image {self.original.id}, {clipped(self.original.url, 200)}")
        return "\n".join(lines)

    def _origin(self) -> list[str]:
        image = self.image
        at = f"line {image.line}" if image.line else f"rank {image.rank}"
        lines = [f"found      by {image.source}, {at}; image {image.id} of {clipped(self.dataset, 60)}, job {image.job_id}"]
        if image.evidence:
            lines.append(f"evidence   {evidence_words(image.reason, image.evidence)}")
        if image.final_url and image.final_url != image.url:
            lines.append(f"redirect   {clipped(image.final_url, 200)}")
        if image.license or image.creator:
            lines.append(f"licence    {clipped(image.license or 'unknown', 60)}, {clipped(image.creator or 'creator unknown', 80)}")
        if image.not_before and image.state is ImageState.DEFERRED:
            lines.append(f"deferred   until {when(image.not_before)}")
        return lines

    def document(self) -> dict[str, Any]:
        """The story as data."""
        checks = [{"name": check.name, "value": check.value, "limit": check.limit, "passed": check.passed} for check in self.checks]
        tries = [attempt_document(attempt) | {"state": state} for state, attempt in self.tries]
        return image_document(self.image) | {"attempts": tries, "checks": checks, "dataset_name": self.dataset}


def _verdict(image: StoredImage) -> str:
    """``failed: http_404, the origin answered 404``."""
    words = image.state.value
    if image.reason:
        words += f": {image.reason.value}"
    return f"{words}, {clipped(image.detail, 300)}" if image.detail else words


def _ended(image: StoredImage) -> str:
    if image.state is ImageState.FAILED:
        return "gave up"
    return "asked to come back later" if image.state is ImageState.DEFERRED else ""


async def image_story(db: Database, image: StoredImage) -> ImageStory:
    """Read all that is known of an image."""
    made = await attempts.of_image(db, image.id)
    job = await jobs.get(db, image.job_id)
    rules = JobSpec(**job.spec).validation if job.spec.get("validation") else JobSpec().validation
    return ImageStory(
        image=image,
        dataset=(await jobs.get_dataset(db, image.dataset_id)).name,
        tries=[(state, attempt) for _, state, attempt in made],
        checks=check_lines(image.measures or {}, rules, media_type=image.media_type if image.measures else None),
        original=await _original(db, image),
    )


async def _original(db: Database, image: StoredImage) -> StoredImage | None:
    if image.duplicate_of is None:
        return None
    try:
        return await images.get(db, image.duplicate_of)
    except errors.NotFoundError:
        return None
