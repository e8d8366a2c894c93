"""The format of a lock, JSON Lines: a header, a line for each image in the order of an export, and a last line that seals them.

Owns what each line holds and how it is encoded. Knows no files, rows or jobs.
"""

import hashlib
import re
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import unquote_to_bytes

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

import errors
from app.boxes import MAX_BOXES
from app.domain import FOLDER_SOURCE, MEDIA_TYPES, LicenseConfidence
from app.exports.provenance import Provenance, Seconds
from app.rules import CompressionRules
from downloader.url_guard import normalise

__all__ = [
    "MARK",
    "PLAIN_VERSION",
    "REJECTED",
    "SCHEMA_VERSION",
    "Form",
    "LockEnd",
    "LockHeader",
    "LockedDataset",
    "LockedExport",
    "LockedImage",
    "LockedRejection",
    "LockedReview",
    "Sealer",
    "is_inside",
]

SCHEMA_VERSION: Final = 2
"""The newest of a lock; increased when readers of the old version would misread the new one. 2 has decisions of people."""

PLAIN_VERSION: Final = 1
"""Of a lock without any, which earlier versions of pictrawl read."""

REJECTED: Final = "rejected"
"""The only field of a line about an image that a person took out."""

MARK: Final = "pictrawl_lock"
"""The first field of a header, with the schema version; no list has it."""

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, lt=2**63)]
MAX_SIDE: Final = 1_000_000
Pixels = Annotated[int, Field(ge=1, le=MAX_SIDE)]
MediaType = Annotated[str, Field(pattern=f"^({'|'.join(MEDIA_TYPES.values())})$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class LockedDataset(_Part):
    """Which version of which dataset is locked, as every export of it shows wherever it is made.

    Attributes:
        digest: of the version; None for one of a folder, whose records are named by paths of one machine.
    """

    name: str = Field(min_length=1, max_length=100)
    id: str = Field(max_length=40)
    lineage_id: str = Field(max_length=40)
    version: str = Field(pattern=r"^\d{1,9}\.\d{1,9}\.\d{1,9}$")
    created_at: Seconds
    digest: Digest | None = None


class LockedExport(_Part):
    """How the dataset leaves: a format, and the options of :class:`app.export_spec.ExportSpec`."""

    format: str = Field(max_length=40)
    options: dict[str, Any] = Field(default_factory=dict)


class LockHeader(_Part):
    """The first line.

    Attributes:
        images: how many lines of images follow; ``size_bytes`` is the size of all that is fetched.
        recipe: how the forms that are exported are derived from what is fetched.
        libraries: versions of what decides about the bytes of derived forms.
        provenance: facts for the papers of an export.
    """

    pictrawl_lock: int
    generator: str = Field(max_length=100)
    dataset: LockedDataset
    images: int = Field(ge=1, le=2**31 - 1)
    size_bytes: Count
    export: LockedExport
    recipe: CompressionRules = CompressionRules()
    libraries: dict[str, str] = Field(default_factory=dict)
    provenance: dict[str, Any]

    @field_validator("provenance")
    @classmethod
    def _readable(cls, value: dict[str, Any]) -> dict[str, Any]:
        try:
            Provenance.from_json(value)
        except errors.ValidationError as exc:
            raise ValueError(f"cannot be read: {exc}") from exc
        return value


class Form(_Part):
    """What is exported of an image, where that is not what is fetched. ``changes`` says what was removed so that loaders read it."""

    sha256: Digest
    media_type: MediaType
    size_bytes: Count
    width: Pixels
    height: Pixels
    changes: str | None = None


def _check_box(box: dict[str, Any]) -> dict[str, Any]:
    sides = [box.get(name) for name in ("x", "y", "width", "height")]
    if len(box) != len(sides) + 1 or not isinstance(box.get("label"), str):
        raise ValueError("must have a label, x, y, width and height, and nothing else")
    if not all(isinstance(side, int | float) and abs(side) <= MAX_SIDE for side in sides):
        raise ValueError("must have numbers of pixels as x, y, width and height")
    return box


LockedBox = Annotated[dict[str, Any], AfterValidator(_check_box)]
"""A box as its row has it, number for number."""


class LockedReview(_Part):
    """What a person decided about a kept image, and when; who it was stays where it was decided.

    Attributes:
        label: the one that they gave it.
    """

    decision: Literal["keep", "relabel", "replaced", "changed"]
    at: Seconds
    label: str | None = Field(None, max_length=100)


class LockedRejection(_Part):
    """An image that a person took out, which a later version of the rebuilt dataset must not take in again; nor a copy of it.

    Attributes:
        url, path: as in :class:`LockedImage`.
        phash, colour_grid: by which copies are found.
    """

    url: str | None = Field(None, min_length=1, max_length=8192)
    path: str | None = Field(None, min_length=1, max_length=8192)
    sha256: Digest
    source: str = Field(min_length=1, max_length=40)
    at: Seconds
    width: Pixels | None = None
    height: Pixels | None = None
    phash: str | None = Field(None, pattern="^[0-9a-f]{16}$")
    colour_grid: str | None = Field(None, pattern="^[0-9a-f]{96}$")

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.url is None) is (self.path is None):
            raise ValueError("must have a url or a path")
        if self.url is not None:
            try:
                normalise(self.url)
            except errors.InvalidURLError as exc:
                raise ValueError(f"is no URL: {exc}") from exc
        if self.path is not None and not is_inside(self.path):
            raise ValueError("leads out of the folder")
        return self


class LockedImage(_Part):
    """A line in between: one kept image. What is not known of it is left out.

    Attributes:
        index: its position in every export, from 0.
        url: where it is fetched; an image in a folder has a ``path`` instead, relative to the folder, as a URL spells it.
        sha256, size_bytes, media_type, width, height: of what is fetched.
        stated, boxes, extra: as in :class:`app.domain.StoredImage`.
    """

    index: Count
    url: str | None = Field(None, min_length=1, max_length=8192)
    path: str | None = Field(None, min_length=1, max_length=8192)
    sha256: Digest
    size_bytes: Count
    media_type: MediaType
    width: Pixels
    height: Pixels
    source: str = Field(min_length=1, max_length=40)
    split: str = Field(pattern="^[a-z][a-z0-9_]{0,31}$")
    label: str | None = Field(None, max_length=100)
    labels: list[str] | None = None
    caption: str | None = None
    captions: list[str] | None = None
    boxes: list[LockedBox] | None = Field(None, max_length=MAX_BOXES)
    group_id: str | None = Field(None, max_length=200)
    title: str | None = None
    page_url: str | None = None
    license: str | None = Field(None, max_length=200)
    license_url: str | None = None
    license_raw: str | None = None
    license_confidence: LicenseConfidence | None = None
    license_note: str | None = None
    creator: str | None = None
    creator_url: str | None = None
    attribution: str | None = None
    phash: str | None = Field(None, pattern="^[0-9a-f]{16}$")
    extra: dict[str, Any] | None = None
    stated: dict[str, Any] | None = None
    form: Form | None = None
    review: LockedReview | None = None

    @field_validator("url")
    @classmethod
    def _usable(cls, value: str | None) -> str | None:
        try:
            if value is not None:
                normalise(value)
        except errors.InvalidURLError as exc:
            raise ValueError(f"is no URL to fetch: {exc}") from exc
        return value

    @field_validator("path")
    @classmethod
    def _within(cls, value: str | None) -> str | None:
        if value is not None and not is_inside(value):
            raise ValueError("leads out of the folder")
        return value

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.url is None) is (self.path is None) or (self.path is None) is (self.source == FOLDER_SOURCE):
            raise ValueError(f"must have a url, or with source {FOLDER_SOURCE} a path")
        return self

    @property
    def place(self) -> str:
        """Its normalised URL, or its path; no other image of the lock has it."""
        return normalise(self.url) if self.url is not None else str(self.path)


class LockEnd(_Part):
    """The last line: how many images there are, and the SHA-256 of all lines before."""

    images: Count
    lines_sha256: Digest


def is_inside(path: str) -> bool:
    """Whether a relative path, as a URL spells it, stays in its folder. What follows ``#`` names a part of the file."""
    parts = re.split(rb"[/\\]", unquote_to_bytes(path.partition("#")[0]))
    return not {b"", b".", b".."} & {*parts} and not parts[0].endswith(b":") and not any(b"\0" in part for part in parts)


class Sealer:
    """Encodes the lines of a lock, and digests them."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.images = 0

    @property
    def digest(self) -> str:
        """Of the lines so far; once all images are encoded, that by which the lock is known."""
        return self._hash.hexdigest()

    def header(self, header: LockHeader) -> bytes:
        """The first line."""
        return self._seal(header)

    def image(self, image: LockedImage) -> bytes:
        """The line of the next image."""
        self.images += 1
        return self._seal(image, exclude_none=True)

    def rejection(self, rejection: LockedRejection) -> bytes:
        """A line about an image that a person took out; they stand behind the images."""
        return self._seal_values({REJECTED: rejection.model_dump(mode="json", exclude_none=True)})

    def end(self) -> bytes:
        """The last line."""
        return orjson.dumps(LockEnd(images=self.images, lines_sha256=self.digest).model_dump()) + b"\n"

    def _seal(self, part: _Part, *, exclude_none: bool = False) -> bytes:
        return self._seal_values(part.model_dump(mode="json", exclude_none=exclude_none))

    def _seal_values(self, values: dict[str, Any]) -> bytes:
        try:
            line = orjson.dumps(values) + b"\n"
        except (TypeError, UnicodeEncodeError) as exc:  # half of a surrogate pair, or a number beyond 64 bits
            raise errors.ValidationError(f"image {self.images} of the dataset cannot be written into a lock: {exc}") from exc
        self._hash.update(line)
        return line
