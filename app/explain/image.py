"""Finds the rows of an image and reads its history: requests, events, checks, duplicates, exports.

:mod:`app.explain.render` turns the result into text.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import errors
from app.db import Database, attempts, datasets, events, image_search, images, jobs, reviews, units
from app.db.rows import Dataset, Event, Export, Job, Review, Search
from app.domain import LISTED_SOURCES, ImageState, StoredImage
from app.explain.checks import CheckLine, Duplicate, check_lines
from app.job_states import JobKind
from app.rules import ValidationRules
from downloader.models import Attempt

__all__ = [
    "EVENT_NAMES",
    "ExplanationLine",
    "ImageHistory",
    "RequestRecord",
    "describe_duplicate",
    "explain_image",
    "find_images",
    "names_image",
    "robots_txt_of",
]

NEAR_DISTANCE = 6
"""Bits; the default of ``validate.near_distance``, for job specs without the value."""

EXPORTS = 20
"""Maximum number of exports that are read, newest first."""

EVENT_NAMES = (
    "job.retry",
    "job.retries_exhausted",
    "unit.dead",
    "unit.rests",
    "unit.taken_back",
    "unit.quarantined",
    "quarantine.began",
    "quarantine.ended",
    "unit.interrupted",
    "unit.lease_lost",
    "unit.retried",
    "unit.discarded",
    "image.poison",
)
"""Events of a chunk's units that matter for its images."""


@dataclass(frozen=True, slots=True)
class ExplanationLine:
    """One line of an explanation.

    Attributes:
        topic: one or two words.
        words: printable text.
        at: Unix time in seconds, if known.
    """

    topic: str
    words: str
    at: float | None = None


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """A request to an image's origin; ``state`` is ``reserved``, ``done``, or ``lost`` if the process died before or during it."""

    job_id: str
    state: str
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class ImageHistory:
    """An image and its history.

    Attributes:
        job: the job of the image's row.
        rules: the validation rules of the last job that validated it.
        search: the search that found it; ``None`` if its row is gone.
        events: crashes, retries and dead units of its chunk.
        exports: finished exports that contain it.
        others: rows with the same URL in other datasets, or with the same bytes.
        reviews: what people decided about it, the first one first.
    """

    image: StoredImage
    job: Job
    dataset: Dataset
    search: Search | None
    rules: ValidationRules
    requests: Sequence[RequestRecord]
    events: Sequence[Event]
    checks: Sequence[CheckLine]
    duplicate: Duplicate | None
    exports: Sequence[Export]
    others: Sequence[StoredImage] = ()
    reviews: Sequence[Review] = ()

    @property
    def robots_txt(self) -> str | None:
        """URL of the robots.txt that applies to it; ``None`` if its row records no verdict."""
        return robots_txt_of(self.image.final_url or self.image.url) if self.image.robots else None


async def explain_image(db: Database, found: Sequence[StoredImage]) -> ImageHistory:
    """Read the history of the first of these images; the others become :attr:`ImageHistory.others`."""
    image = found[0]
    job = await jobs.get(db, image.job_id)
    rules = await _rules(db, image, job)
    return ImageHistory(
        image=image,
        job=job,
        dataset=await datasets.get_dataset(db, image.dataset_id),
        search=await jobs.find_search(db, image.search_id) if image.search_id else None,
        rules=rules,
        requests=[RequestRecord(*made) for made in await attempts.of_image(db, image.id)],
        events=await _events_of_chunk(db, image),
        checks=check_lines(image, rules),
        duplicate=await _duplicate(db, image, job),
        exports=await _exports(db, image),
        others=found[1:],
        reviews=await reviews.of_image(db, image.id),
    )


async def _rules(db: Database, image: StoredImage, job: Job) -> ValidationRules:
    """The rules of the newest validation job of the dataset, if one has started; else those of the image's own job."""
    if image.measures is not None:
        later = await jobs.newest_of_dataset(db, image.dataset_id, JobKind.VALIDATION)
        if later is not None and later.started_at is not None and later.spec.get("validation"):
            job = later
    given: dict[str, Any] = dict(job.spec.get("validation") or {})
    return ValidationRules(**given | ({"formats": tuple(given["formats"])} if "formats" in given else {}))


async def _events_of_chunk(db: Database, image: StoredImage) -> list[Event]:
    if image.chunk_id is None:
        return []
    of_chunk = await units.units_of_chunk(db, image.job_id, image.chunk_id)
    return await events.named(db, image.job_id, EVENT_NAMES, chunk_id=image.chunk_id, unit_ids=[unit.id for unit in of_chunk])


async def _duplicate(db: Database, image: StoredImage, job: Job) -> Duplicate | None:
    if image.duplicate_of is None or image.state is not ImageState.DUPLICATE:
        return None
    try:
        original = await images.get(db, image.duplicate_of)
    except errors.NotFoundError:
        return None
    return describe_duplicate(image, original, job.spec)


def describe_duplicate(image: StoredImage, original: StoredImage, spec: Mapping[str, Any]) -> Duplicate:
    """Compare a duplicate with the image that is kept instead, by the spec of its job."""
    is_labelled = bool(image.label or spec.get("label") or image.source not in LISTED_SOURCES)  # a search has a label for all it finds
    return Duplicate(image, original, int(spec.get("near_distance") or NEAR_DISTANCE), is_labelled)


async def _exports(db: Database, image: StoredImage) -> list[Export]:
    """Finished exports that contain the image: those created after the last change of its row, if it is kept."""
    if image.state is not ImageState.KEPT:
        return []
    page = await datasets.page_exports(db, dataset_id=image.dataset_id, limit=EXPORTS)
    return [export for export in page.items if export.state == "ready" and export.created_at >= (image.updated_at or 0.0)]


HIDDEN_QUERY = "?***"
"""Replaces the query of a URL in log lines."""


def names_image(what: str) -> bool:
    """Whether a text has the form of an image's id, of a digest, or of a URL."""
    return bool(re.fullmatch(r"\d+|[0-9a-fA-F]{64}", what, re.ASCII) or _URL.match(what) or what.startswith(_LOCAL))


_LOCAL = "file://"
_URL = re.compile(r"(?i)[^\w/\\]*(https?:|[/\\]{2})[/\\]*[^/\\?#]")


async def find_images(db: Database, what: str, *, user_id: str | None = None) -> list[StoredImage]:
    """Find all rows of one image, newest first: one per dataset for a URL, all images with the bytes for a digest.

    Args:
        what: an image's id, 64 hex digits of SHA-256, or a URL: as the list has it, as it was requested, or without its query;
            of an image in a folder, its ``file:`` URL.

    Raises:
        errors.NotFoundError: no job of this user has it.
        errors.ValidationError: several images match (the message lists their ids), or ``what`` has none of these forms.
    """
    if re.fullmatch(r"\d+", what, re.ASCII):
        return [await _by_id(db, what, user_id)]
    is_digest = re.fullmatch(r"[0-9a-fA-F]{64}", what) is not None
    if is_digest:
        found = await image_search.by_digest(db, what.lower(), user_id=user_id)
    else:
        found = await _by_url(db, what, user_id)
    if not found:
        raise errors.NotFoundError(f"no job has {'an image with the digest' if is_digest else 'the URL'} {what[:200]}")
    return found


async def _by_id(db: Database, digits: str, user_id: str | None) -> StoredImage:
    if len(digits) > len(str(image_search.LAST_ID)) or int(digits) > image_search.LAST_ID:
        raise errors.NotFoundError(f"no image {digits[:40]}")
    return await images.get(db, int(digits), user_id=user_id)


async def _by_url(db: Database, url: str, user_id: str | None) -> list[StoredImage]:
    """Try the URL as given first: most are normalised already, and importing the URL parser takes longer than the query."""
    if url.startswith(_LOCAL):
        return await image_search.by_url_keys(db, [images.url_digest(url)], user_id=user_id)
    if not _URL.match(url):
        raise errors.ValidationError(
            f"{url[:80]!r} is not a job, URL, image id or sha256; write job_…, https://img.example/a.jpg, 17, or 64 hex digits"
        )
    shown = url.removesuffix(HIDDEN_QUERY)
    found = await image_search.by_url_keys(db, [images.url_digest(url)], user_id=user_id)
    if found:
        return found
    requested, key = _requested_and_key(shown)
    if shown == url:
        found = await image_search.by_url_keys(db, [images.url_digest(key)], user_id=user_id)
    return found or _one_of(shown, await image_search.by_url_prefix(db, requested, user_id=user_id))


def _requested_and_key(url: str) -> tuple[str, str]:
    """Return the URL that is requested for one as a list may have it, and its key; the text itself where it is no URL."""
    from app.discovery import urls
    from downloader.url_guard import normalise

    try:
        return (requested := urls.read(url)), normalise(requested)
    except errors.InvalidURLError:
        return url, url


def _one_of(url: str, found: list[StoredImage]) -> list[StoredImage]:
    """Return the rows if all have one URL. A URL without its query may match several."""
    if len({image.url for image in found}) < 2:
        return found
    ids = ", ".join(str(image.id) for image in found[:5]) + (" …" if len(found) > 5 else "")
    raise errors.ValidationError(f"{len(found)} images match {url[:200]}; use one of their ids: {ids}")


def robots_txt_of(url: str) -> str | None:
    """Return the URL of the robots.txt that applies to a URL, without userinfo."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/robots.txt" if parts.netloc else None
