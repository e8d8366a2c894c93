"""The vocabulary: what the parts of pictrawl hand to each other. Plain values; nothing here does I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from errors import Reason

__all__ = [
    "ACTIVE_JOB_STATES",
    "EXTENSIONS",
    "FINAL_JOB_STATES",
    "MEDIA_TYPES",
    "OPEN_UNIT_STATES",
    "TRACED",
    "WAITING_UNIT_STATES",
    "Candidate",
    "CheckKind",
    "Compressed",
    "CompressionRules",
    "ExportFormat",
    "ExportReport",
    "ImageState",
    "JobKind",
    "JobState",
    "Level",
    "ListProblem",
    "Reason",
    "Sample",
    "StoredImage",
    "UnitKind",
    "UnitState",
    "ValidationRules",
    "Verdict",
    "VerifyReport",
]

MEDIA_TYPES = {name: f"image/{name}" for name in ("jpeg", "png", "webp", "gif", "bmp", "tiff", "avif")}
"""Media type of each format that a dataset may hold."""

EXTENSIONS = {media_type: "jpg" if name == "jpeg" else name for name, media_type in MEDIA_TYPES.items()}
"""File name extension, without the dot, of each media type."""

TRACED = ("request_id", "traceparent")
"""What says whence a job comes: the request that made it, and the trace it belongs to (W3C Trace Context). Goes with the ids through the
queue, so that log lines have it even before the database was asked."""

Level = Literal["basic", "standard", "strict"]
ExportFormat = Literal["files", "imagefolder", "webdataset"]


class JobKind(StrEnum):
    """What a job is for. A build makes a dataset; the others work on one that exists."""

    BUILD = "build"
    EXPORT = "export"
    VERIFY = "verify"
    INTEGRITY = "integrity"
    DUPLICATES = "duplicates"
    VALIDATION = "validation"


class JobState(StrEnum):
    """Where a job stands."""

    PENDING = "pending"
    PLANNING = "planning"
    RUNNING = "running"
    PAUSED = "paused"
    FINALIZING = "finalizing"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL_JOB_STATES = frozenset({JobState.SUCCEEDED, JobState.PARTIAL, JobState.FAILED, JobState.CANCELLED})
ACTIVE_JOB_STATES = frozenset(JobState) - FINAL_JOB_STATES


class UnitState(StrEnum):
    """Where a unit of work stands."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"
    CANCELLED = "cancelled"
    QUARANTINED = "quarantined"


class UnitKind(StrEnum):
    """The kind of a unit of work; each of the 12 job functions claims one kind."""

    PLAN = "plan"
    KEYWORDS = "keywords"
    SEARCH = "search"
    FETCH = "fetch"
    COMPRESS = "compress"
    LABELS = "labels"
    EXPORT = "export"
    FINALIZE = "finalize"
    VALIDATE = "validate"
    DUPLICATES = "duplicates"
    INTEGRITY = "integrity"
    VERIFY = "verify"

    @property
    def queue(self) -> str:
        """``validator`` for what reads hostile bytes or whole datasets, ``builder`` for the rest."""
        return "validator" if self in VALIDATOR_KINDS else "builder"


VALIDATOR_KINDS = frozenset({UnitKind.VALIDATE, UnitKind.DUPLICATES, UnitKind.INTEGRITY, UnitKind.VERIFY})


class ImageState(StrEnum):
    """Where an image stands. ``pending``, ``fetched``, ``valid`` and ``deferred`` are on the way; the rest is final."""

    PENDING = "pending"
    FETCHED = "fetched"
    VALID = "valid"
    KEPT = "kept"
    FAILED = "failed"
    REJECTED = "rejected"
    DUPLICATE = "duplicate"
    DEFERRED = "deferred"
    TOMBSTONED = "tombstoned"


class CheckKind(StrEnum):
    """A check that a user may ask for on its own."""

    INTEGRITY = "integrity"
    DUPLICATES = "duplicates"
    VALIDATION = "validation"


@dataclass(frozen=True, slots=True)
class Candidate:
    """An image that a source offers: where its bytes are and what the source says of it.

    Attributes:
        url: absolute URL of the image file.
        rank: position in the source's own order, 0 first.
        license: SPDX-like id (``CC-BY-4.0``) where it could be told, else the source's own words.
        group_id: what must stay in one split (an album, an observation); empty if nothing.
        expected_sha256: digest that the list promises, lower-case hex.
    """

    url: str
    source: str
    rank: int = 0
    page_url: str | None = None
    label: str | None = None
    caption: str | None = None
    title: str | None = None
    license: str | None = None
    license_url: str | None = None
    creator: str | None = None
    attribution: str | None = None
    group_id: str | None = None
    expected_sha256: str | None = None
    width: int | None = None
    height: int | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class ListProblem:
    """A line of a list, or an item of a source, that could not be used. ``line`` counts from 1."""

    line: int
    message: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class ValidationRules:
    """What an image must be to enter a dataset.

    Attributes:
        level: ``basic`` (decodes fully, real format, size), ``standard`` (+ aspect, low information, truncated, animated),
            ``strict`` (+ blur, extreme exposure).
        min_width, min_height: pixels.
        max_pixels: width times height above which an image is not decoded at all.
        max_aspect: longer side over shorter side.
        min_entropy: bits of the grey histogram of the 1/8-scale image, 0 to 8.
        min_sharpness: variance of the Laplacian of the grey image, scaled to 256 pixels on its longer side.
        min_brightness, max_brightness: mean grey, 0 to 255, outside of which exposure is extreme.
        formats: format names as Pillow gives them, lower case.
    """

    level: Level = "standard"
    min_width: int = 64
    min_height: int = 64
    max_pixels: int = 50_000_000
    max_aspect: float = 4.0
    min_entropy: float = 1.0
    min_sharpness: float = 20.0
    min_brightness: float = 8.0
    max_brightness: float = 247.0
    formats: tuple[str, ...] = ("jpeg", "png", "webp", "gif", "bmp", "tiff", "avif")


@dataclass(frozen=True, slots=True)
class CompressionRules:
    """How an image leaves: its encoding and its size.

    Attributes:
        format: ``keep`` leaves the original encoding (and, with ``resize`` none, the original bytes).
        level: encoder quality, 1 to 100, for jpeg and webp; for png the zlib level is ``min(9, level // 10)``.
        resize: ``none``, ``keep_ratio`` (shorter side becomes ``size``), ``center_crop`` or ``border`` (a square).
        size: pixels.
        only_if_bigger: never enlarge.
    """

    format: Literal["keep", "jpeg", "webp", "png"] = "keep"
    level: int = 95
    resize: Literal["none", "keep_ratio", "center_crop", "border"] = "none"
    size: int = 256
    only_if_bigger: bool = True

    @property
    def is_identity(self) -> bool:
        """Whether bytes leave as they came."""
        return self.format == "keep" and self.resize == "none"


@dataclass(frozen=True, slots=True)
class Compressed:
    """One image after compression. ``width`` and ``height`` in pixels."""

    body: bytes = field(repr=False)
    format: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What validation found out about one image.

    Attributes:
        reason: ``None`` if the image is valid.
        detail: the failed check in words, with its value and its limit.
        format: real format, lower case (``jpeg``).
        width, height: pixels after the EXIF orientation is applied.
        phash: 64-bit perceptual hash as 16 hex digits.
        measures: each check's name with its measured value.
        thumbnail: JPEG bytes, at most 256 pixels on the longer side.
        output: how the image leaves, where that was asked for along with the verdict; None if it was not, or the image is rejected.
    """

    reason: Reason | None = None
    detail: str = ""
    format: str | None = None
    width: int | None = None
    height: int | None = None
    frames: int = 1
    phash: str | None = None
    measures: Mapping[str, float] = field(default_factory=dict)
    thumbnail: bytes | None = field(default=None, repr=False)
    output: Compressed | None = None


@dataclass(frozen=True, slots=True)
class StoredImage:
    """One row of ``images``: an image and all we know of it.

    Attributes:
        evidence: what the reason rests on, in the words of whoever gave it: a header line, a rule of robots.txt, an address.
        robots: what robots.txt said of it when it was last fetched, a `downloader.models.RobotsVerdict`; None before.
        opt_out: what the reply's headers said of use for training, an `OptOutVerdict`; None before.
    """

    id: int
    dataset_id: str
    job_id: str
    chunk_id: str | None
    url: str
    source: str
    state: ImageState
    reason: Reason | None = None
    detail: str | None = None
    search_id: str | None = None
    rank: int = 0
    line: int | None = None
    page_url: str | None = None
    final_url: str | None = None
    title: str | None = None
    caption: str | None = None
    label: str | None = None
    license: str | None = None
    license_url: str | None = None
    creator: str | None = None
    attribution: str | None = None
    group_id: str | None = None
    expected_sha256: str | None = None
    sha256: str | None = None
    size_bytes: int | None = None
    media_type: str | None = None
    width: int | None = None
    height: int | None = None
    phash: str | None = None
    measures: Mapping[str, Any] | None = None
    duplicate_of: int | None = None
    split: str | None = None
    out_sha256: str | None = None
    out_media_type: str | None = None
    out_size_bytes: int | None = None
    out_width: int | None = None
    out_height: int | None = None
    not_before: float | None = None
    deferred_at: float | None = None
    fetched_at: float | None = None
    updated_at: float | None = None
    evidence: str | None = None
    robots: str | None = None
    opt_out: str | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of a dataset as an exporter needs it.

    Attributes:
        index: position in the export, 0 first, dense.
        image_id: id of the image's row.
        sha256: digest of the bytes that leave, which is also their key in the store.
        extension: without the dot (``jpg``).
    """

    index: int
    image_id: int
    sha256: str
    size_bytes: int
    media_type: str
    extension: str
    width: int
    height: int
    label: str | None
    split: str
    caption: str | None
    url: str
    source: str
    source_sha256: str
    page_url: str | None = None
    title: str | None = None
    license: str | None = None
    license_url: str | None = None
    creator: str | None = None
    attribution: str | None = None
    phash: str | None = None


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an exporter wrote. ``splits`` and ``labels`` count samples; ``files`` maps a relative path to its size in bytes."""

    format: str
    samples: int
    size_bytes: int
    splits: Mapping[str, int]
    labels: Mapping[str, int]
    files: Mapping[str, int] = field(repr=False)


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What reading an export back found. ``problems`` is empty when all is well; the first 100 are kept."""

    samples: int
    problems: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


WAITING_UNIT_STATES = (UnitState.PENDING, UnitState.QUEUED, UnitState.QUARANTINED)


OPEN_UNIT_STATES = (*WAITING_UNIT_STATES, UnitState.RUNNING)
