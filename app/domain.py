"""The values that the parts of pictrawl pass to each other, in the order of an image's life. Plain values without I/O.

A *candidate* becomes a row of ``images``, is fetched, validated, checked for duplicates, labelled, compressed, and exported as a
:class:`Sample`. An image that does not get that far has one :class:`Reason`. Jobs and units are in :mod:`app.job_states`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from app.boxes import Box
from errors import Reason

__all__ = [
    "COLOUR_GRID_SIDE",
    "EXTENSIONS",
    "FOLDER_SOURCE",
    "LISTED_SOURCES",
    "LIST_SOURCE",
    "LOCK_SOURCE",
    "MEDIA_TYPES",
    "PAGES_SOURCE",
    "Candidate",
    "Compressed",
    "ExportFormat",
    "ImageState",
    "LabelConflicts",
    "LicenseConfidence",
    "ListProblem",
    "Reason",
    "Rendition",
    "Reuse",
    "Sample",
    "StoredImage",
    "UnknownLicenses",
    "Verdict",
]

LabelConflicts = Literal["drop", "keep-first", "keep-all"]
"""What becomes of one picture with several labels: none of its images is kept, those with the label of the first one, or one per label."""

UnknownLicenses = Literal["keep", "drop"]
"""What becomes of an image of which no licence is known."""

ExportFormat = Literal[
    "files", "imagefolder", "webdataset", "parquet", "tfrecord", "coco", "yolo", "captions", "labelstudio", "jsonl", "csv"
]
"""The formats of exports; :data:`app.exports.formats.EXPORTERS` has an exporter for each."""

LicenseConfidence = Literal["asserted", "derived", "unknown"]
"""How a licence is known: stated for the image itself, derived from a rule or from a record around it, or not understood or not stated."""

LIST_SOURCE = "list"
"""Name of the source of images from a URL list."""

PAGES_SOURCE = "pages"
"""Name of the source of images from pages, sitemaps, feeds and IIIF manifests."""

FOLDER_SOURCE = "folder"
"""Name of the source of images that lie in a folder of this machine."""

LOCK_SOURCE = "lock"
"""Name of the search that reads a lock; its images have the sources that they were found in first."""

LISTED_SOURCES = (LIST_SOURCE, FOLDER_SOURCE)
"""Sources whose rows a user has written: several of them may name one image, and not every one has a label."""

COLOUR_GRID_SIDE = 4
"""Cells a side of the grid of mean colours by which images are compared."""

MEDIA_TYPES = {name: f"image/{name}" for name in ("jpeg", "png", "webp", "gif", "bmp", "tiff", "avif", "heif")}
"""Media type of each format that a dataset may hold."""

EXTENSIONS = {media_type: "jpg" if name == "jpeg" else name for name, media_type in MEDIA_TYPES.items()}
"""File name extension, without the dot, of each media type."""


# An image, from candidate to sample


class ImageState(StrEnum):
    """State of an image; all but ``pending``, ``fetched``, ``valid`` and ``kept`` have a reason.

    ``kept`` may have ``label_conflict``, or ``changed``: what is exported of an image of a rebuild differs from what its lock has.

    - ``spare``: a candidate that is fetched only if the target needs it. ``pending``: a candidate, not fetched yet.
      ``deferred``: to be fetched after its not-before time.
    - ``fetched``: its bytes are in the store. ``valid``: it passed the checks. ``kept``: it is part of the dataset.
    - ``failed``: it could not be fetched. ``rejected``: a check failed, it is a placeholder, its picture has several labels, or the
      target was already met.
    - ``duplicate``: another image of the dataset shows the same. ``tombstoned``: it was removed later, on request.
    """

    SPARE = "spare"
    PENDING = "pending"
    FETCHED = "fetched"
    VALID = "valid"
    KEPT = "kept"
    FAILED = "failed"
    REJECTED = "rejected"
    DUPLICATE = "duplicate"
    DEFERRED = "deferred"
    TOMBSTONED = "tombstoned"


class Reuse(StrEnum):
    """How an image came by bytes that were stored before its job."""

    STORED = "stored"
    """Without a request."""

    NOT_MODIFIED = "not_modified"
    """By a conditional request, which the origin answered with 304."""


@dataclass(frozen=True, slots=True)
class Rendition:
    """One of the sizes in which a source offers an image. ``width`` and ``height`` in pixels, ``None`` where the source does not say."""

    url: str
    width: int | None = None
    height: int | None = None
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """An image that a source offers: its URL, and what the source says about it. Nothing has been fetched yet.

    Attributes:
        url: absolute URL of the image file.
        source: name of the source, such as ``wikimedia``, or ``list``.
        rank: position in the source's own order, 0 first.
        license: SPDX-like id (``CC-BY-4.0``) where it is known, else the source's own words.
        license_raw: what the source stated, as it stated it; several statements are joined by `` | ``.
        license_note: how statements that disagree were settled, in words.
        tags: words of the source for what is shown.
        identities: what else names the same picture, as in ``sha1:...`` or ``flickr:53``.
        stated_bytes: size of the file, as the source says.
        renditions: other sizes in which the source offers it.
        group_id: images with the same group stay in one split (an album, an observation); ``None`` for no group.
        expected_sha256: digest that a list promises, lower-case hex.
        width, height: pixels, as the source says.
        line: line of the list, from 1; ``None`` for a search result.
        split: the split that the list names.
        captions, labels: all of them where a row of the list gives several; the first is ``caption`` or ``label``.
        extra: further columns of the list by name: text, numbers, booleans; a list of one text where the list has no types.
        origin_url, origin: of an image in a folder, the URL that it came from and the source that found it, as its metadata says.
        boxes: objects in the image, in pixels of the upright picture.
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
    license_raw: str | None = None
    license_confidence: LicenseConfidence = "unknown"
    license_note: str | None = None
    creator: str | None = None
    creator_url: str | None = None
    attribution: str | None = None
    group_id: str | None = None
    expected_sha256: str | None = None
    width: int | None = None
    height: int | None = None
    line: int | None = None
    split: str | None = None
    captions: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    identities: tuple[str, ...] = ()
    stated_bytes: int | None = None
    renditions: tuple[Rendition, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)
    origin_url: str | None = None
    origin: str | None = None
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True, slots=True)
class ListProblem:
    """A line of a URL list, or an item of a source, that cannot be used. ``line`` counts from 1."""

    line: int
    message: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Compressed:
    """One image as it leaves. ``width`` and ``height`` in pixels.

    Attributes:
        changes: what was removed from the fetched bytes so that loaders read them, for people.
    """

    body: bytes = field(repr=False)
    format: str
    width: int
    height: int
    changes: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of the validation of one image.

    Attributes:
        reason: ``None`` if the image is valid.
        detail: the failed check in words, with its value and its limit.
        format: the real format, lower case (``jpeg``).
        width, height: pixels, after the EXIF orientation is applied.
        phash: 64-bit perceptual hash as 16 hex digits.
        measures: measured value of each check, by name.
        thumbnail: JPEG bytes, at most 256 pixels on the longer side.
        output: the image as it leaves, if that differs from the file and the image is valid: compressed, if that was requested together
            with the verdict, or the same pixels without metadata over which loaders fail.
        colour_grid: mean colours of 4 x 4 cells as 96 hex digits, see `app.images.measures.colour_grid`.
        rights: what the file of a valid image says about its licence: where it stands, and the text.
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
    colour_grid: str | None = None
    rights: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class StoredImage:
    """One row of the table ``images``: an image and everything known about it. Times are Unix seconds.

    Attributes:
        detail: the reason in words, with values.
        sha256, size_bytes, media_type, width, height: of the fetched bytes; pixels after the EXIF orientation is applied.
        phash, measures: see :class:`Verdict`.
        duplicate_of: id of the kept image that it repeats; of a placeholder or a label conflict another image of the same picture.
        out_sha256, out_media_type, out_size_bytes, out_width, out_height: of the bytes that are exported, where they differ from the
            fetched ones: compressed, or without broken metadata.
        changes: what was removed from the fetched bytes so that loaders read them.
        not_before: when a deferred image may be fetched; ``deferred_at`` is its first deferral.
        evidence: the quoted cause of the reason: a header line, a rule of robots.txt, an address.
        robots: a `downloader.models.RobotsVerdict` from its last fetch; ``None`` before the first.
        opt_out: a `downloader.models.OptOutVerdict` from its last fetch; ``None`` before the first.
        captions, labels: all of them where its list gives several, else ``None``; the first is ``caption`` or ``label``.
        extra: further columns of its list, as in :class:`Candidate`.
        fetched_at: when its bytes came from the origin, or were last confirmed by it.
        reuse: a :class:`Reuse`; None where its own request brought the bytes. ``reused_from`` is the job whose request did.
        license_raw, license_confidence: as in :class:`Candidate`; ``None`` in rows of older versions.
        license_note: how statements that disagree were settled, in words.
        stated: what else the source says: ``tags``, ``bytes``, ``renditions``, ``identities``, and of an image in a folder its
            former ``url`` and ``source``; what it does not say is absent.
        offers: further sources that offered the same picture, each with its ``source``, ``url``, ``page_url`` and licence.
        boxes: objects in it, as its list says: ``label``, ``x``, ``y``, ``width`` and ``height`` of each, in pixels of the fetched image.
        copied_from: id of the row in another version of the dataset, or in another dataset, that this one was copied from.
        reviewed: what a person decided about it, a :class:`app.review_actions.Reviewed`. ``reviewed_by`` is who, ``None`` where a lock
            says so, ``reviewed_label`` the label that it was given, ``review_id`` the row of ``reviews`` that says so.
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
    changes: str | None = None
    captions: Sequence[str] | None = None
    labels: Sequence[str] | None = None
    extra: Mapping[str, Any] | None = None
    reuse: str | None = None
    reused_from: str | None = None
    license_raw: str | None = None
    license_confidence: str | None = None
    license_note: str | None = None
    creator_url: str | None = None
    stated: Mapping[str, Any] | None = None
    offers: Sequence[Mapping[str, Any]] | None = None
    boxes: Sequence[Mapping[str, Any]] | None = None
    copied_from: int | None = None
    reviewed: str | None = None
    reviewed_by: str | None = None
    reviewed_at: float | None = None
    reviewed_label: str | None = None
    review_id: int | None = None

    @property
    def warning(self) -> str | None:
        """What a user should know of an image that leaves as it came, or with its metadata changed only; None if there is nothing."""
        bits = int((self.measures or {}).get("bits", 8))
        if bits <= 8 or self.state is not ImageState.KEPT or (self.out_sha256 is not None and self.changes is None):
            return None
        return f"{bits} bits a channel leave as they came, which many loaders cut or refuse; compress.format png makes 8 of them"

    @property
    def list_columns(self) -> dict[str, Any]:
        """The further columns of its list, text without a type as text."""
        return {name: value[0] if isinstance(value, list) else value for name, value in (self.extra or {}).items()}


@dataclass(frozen=True, slots=True)
class Sample:
    """One kept image as an exporter needs it.

    Attributes:
        index: position in the export, dense, 0 first.
        image_id: id of the row in ``images``.
        sha256: digest of the exported bytes, which is also their key in the store; ``source_sha256`` is the digest of the fetched bytes.
        extension: without the dot (``jpg``).
        width, height: pixels of the exported image.
        changes: how the exported bytes differ from the fetched ones, besides size and encoding.
        license_raw, license_confidence, license_note: as in :class:`StoredImage`.
        captions, labels: all of them where there are several; the first is ``caption`` or ``label``.
        extra: further columns of the list, as in :class:`Candidate`.
        boxes: objects in the exported image.
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
    group_id: str | None = None
    changes: str | None = None
    license_raw: str | None = None
    license_confidence: str | None = None
    license_note: str | None = None
    creator_url: str | None = None
    captions: Sequence[str] = ()
    labels: Sequence[str] = ()
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)
    boxes: Sequence[Box] = ()
