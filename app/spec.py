"""What a user asks for: the request that the API and the command line validate, and the spec a job carries in its row."""

import re
from dataclasses import asdict
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    field_validator,
    model_validator,
)

from app import encoders
from app.boxes import MAX_BOXES
from app.domain import ExportFormat, LabelConflicts, LicenseConfidence, Reason, UnknownLicenses
from app.inputs import FolderSpec, ListSpec, LockSpec, MergedDataset
from app.pages_spec import PagesSpec
from app.paper_texts import NO_TEXTS, PaperTexts
from app.quotas import Quota
from app.rules import DEFAULT_SPLIT_BY, ENCODER_SIDES, MAX_DRAWN_PIXELS, CompressionRules, Encode, Level, Resize, SplitKind, ValidationRules
from app.split_names import ultralytics_splits
from app.strict import Strict, Word

__all__ = [
    "BALANCE",
    "MAX_IMAGES",
    "MAX_KEYWORDS",
    "MAX_PER_LABEL",
    "WHERE",
    "Compression",
    "FolderSpec",
    "JobRequest",
    "JobSpec",
    "Keyword",
    "ListSpec",
    "ListedImage",
    "LockSpec",
    "Side",
]

MAX_IMAGES = 10_000_000
"""Images of one job; the database counts them in 32 bits."""

MAX_KEYWORDS = 1_000

MAX_SEARCHES = 20_000
"""Keywords and their synonyms times sources: each is a row and a unit of work, planned in one transaction."""

Side = Annotated[int, Field(ge=1, le=100_000)]
"""A limit on width or height, pixels; no format that is decoded holds more than that within the limit on pixels."""

Seed = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]

Captions = Literal["first", "all"]

Also = list[ExportFormat]

INTO = "Id of a dataset: what is found is added to its images, as another version of it. max_images counts what is added."
ALSO = "Further formats that are written, each an export of its own."

LICENSE = (
    "Licences to take: any, open, commercial, derivatives, cc0, pdm, by, by-sa, by-nc, by-nd, by-nc-sa, by-nc-nd, or SPDX ids; "
    "default: any for keywords, everything for URLs."
)
LICENSE_UNKNOWN = "Images of which no licence is known; default: drop, keep for URLs without license."

SPLIT_BY = "What images that stay in one split share; default: cluster (nearly the same picture) and group (of the list)."
WHERE = "Only images for which this is true, as in `label = cat and width >= 512 and license = cc0`."
MAX_PER_LABEL = "At most this many images of each label; images without a label are not limited."
BALANCE = "As many images of each label as the smallest one has; images without a label are not limited."

ListedLabel = Annotated[str, StringConstraints(max_length=100)]
ListedCaption = Annotated[str, StringConstraints(max_length=5000)]


class Compression(Strict):
    """How images are encoded and resized for exports."""

    format: Encode = Field("keep", description="Output format; keep leaves the original encoding.")
    level: int = Field(95, ge=1, le=100, description="Encoder quality, 1 to 100; of webp-lossless and png the time spent.")
    resize: Resize = Field("none", description="How images are resized to size.")
    size: int = Field(256, ge=8, le=16384, description="Target size, pixels.")
    only_if_bigger: bool = Field(True, description="Never enlarge an image.")

    @model_validator(mode="before")
    @classmethod
    def _from_rules(cls, value: Any) -> Any:
        return asdict(value) if isinstance(value, CompressionRules) else value

    @field_validator("format")
    @classmethod
    def _encoder_is_here(cls, value: Encode) -> Encode:
        if missing := encoders.find_missing(value):
            raise ValueError(missing)
        return value

    @model_validator(mode="after")
    def _border_can_be_written(self) -> Self:
        if self.resize == "border":
            longest = min(ENCODER_SIDES.get(self.format, self.size), int(MAX_DRAWN_PIXELS**0.5))
            if self.size > longest:
                raise ValueError(f"size {self.size} with resize border and format {self.format}: at most {longest}, or another resize")
        return self

    def rules(self) -> CompressionRules:
        """Return the rules that are stored in a job's spec."""
        return CompressionRules(**self.model_dump())


class ListedBox(Strict):
    """An object in an image, in pixels of the upright picture from its upper left corner."""

    label: str = Field(min_length=1, max_length=100, description="Its class.")
    x: float
    y: float
    width: float = Field(gt=0)
    height: float = Field(gt=0)


class ListedImage(Strict):
    """An image URL and what is known of it: a row of a list with these columns. A number is taken as its text."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    url: str = Field(min_length=1, max_length=8192, description="Absolute URL of the image file.")
    label: str | None = Field(None, max_length=100, description="Class; that of the job wins.")
    labels: list[ListedLabel] | None = Field(None, max_length=1000, description="Several classes.")
    caption: str | None = Field(None, max_length=5000)
    captions: list[ListedCaption] | None = Field(None, max_length=1000, description="Several captions.")
    group_id: str | None = Field(None, max_length=200, description="Images of one group stay in one split.")
    sha256: str | None = Field(None, pattern="^[0-9a-fA-F]{64}$", description="Expected digest; other bytes are rejected as corrupt.")
    split: str | None = Field(None, pattern="^[a-z][a-z0-9_]{0,31}$", description="Split, unless the job asks for other shares.")
    license: str | None = Field(None, max_length=200)
    license_url: str | None = Field(None, max_length=8192)
    license_raw: str | None = Field(None, max_length=500, description="What was stated of the licence, several statements joined by ` | `.")
    license_confidence: LicenseConfidence | None = None
    license_note: str | None = Field(None, max_length=500)
    creator: str | None = Field(None, max_length=300)
    creator_url: str | None = Field(None, max_length=8192)
    attribution: str | None = Field(None, max_length=1000, description="Credit line.")
    title: str | None = Field(None, max_length=500)
    page_url: str | None = Field(None, max_length=8192, description="The page that shows the image.")
    width: int | None = Field(None, ge=1, le=1_000_000, description="Pixels, as the source says.")
    height: int | None = Field(None, ge=1, le=1_000_000)
    boxes: list[ListedBox] | None = Field(None, max_length=MAX_BOXES, description="Objects in the image.")


class Keyword(Strict):
    """A keyword with a class and a target of its own."""

    keyword: Word = Field(description="What to search for.")
    label: Word | None = Field(default=None, description="Class of its images; several keywords may share one. Default: the keyword.")
    max_images: int | None = Field(default=None, ge=1, le=MAX_IMAGES, description="Its own target; default: a fair share.")


def _kind(value: object) -> str | None:
    if isinstance(value, str):
        return "word"
    return "object" if isinstance(value, dict | Strict) else None


ListedUrl = Annotated[
    Annotated[str, Tag("word")] | Annotated[ListedImage, Tag("object")],
    Discriminator(_kind, custom_error_type="url_or_object", custom_error_message="must be a URL, or an object with a url"),
]

AskedKeyword = Annotated[
    Annotated[Word, Tag("word")] | Annotated[Keyword, Tag("object")],
    Discriminator(_kind, custom_error_type="word_or_object", custom_error_message="must be a word, or an object with a keyword"),
]


class JobRequest(Strict):
    """A dataset to build: keywords or URLs, how many, how good, and in which form."""

    keywords: list[AskedKeyword] = Field(
        default_factory=list, max_length=MAX_KEYWORDS, description="What to search for: words, or objects with label and max_images."
    )
    urls: list[ListedUrl] | None = Field(
        default=None, max_length=100_000, description="Image URLs, or objects with what is known of each, instead of keywords."
    )
    pages: PagesSpec | None = Field(default=None, description="Pages to take images from, instead of keywords or urls.")
    sources: list[str] = Field(default_factory=lambda: ["wikimedia"], min_length=1, description="Where to search; see /v1/sources.")
    expand: int = Field(default=0, ge=0, le=20, description="Add up to this many aliases and translations of each keyword, from Wikidata.")
    lang: list[str] = Field(default_factory=lambda: ["en"], min_length=1, max_length=10, description="Languages for expand.")
    license: list[Word] | None = Field(default=None, min_length=1, max_length=100, description=LICENSE)
    license_unknown: UnknownLicenses | None = Field(default=None, description=LICENSE_UNKNOWN)
    name: Word | None = Field(default=None, description="Name of the dataset.")
    into: str | None = Field(default=None, min_length=1, max_length=200, description=INTO)
    label: Word | None = Field(default=None, description="Label of every image; default: the keyword, or the list's label column.")
    max_images: int | None = Field(default=None, ge=1, le=MAX_IMAGES, description="Stop at this many; 100 for keywords, all for URLs.")
    per_label: int | None = Field(default=None, ge=1, le=MAX_IMAGES, description="Of each label of the keywords, this many.")
    min_images: int = Field(default=0, ge=0, le=MAX_IMAGES, description="Fewer than this is a shortfall.")
    min_images_per_label: int = Field(default=0, ge=0, le=MAX_IMAGES, description="Fewer than this of one label is a shortfall.")
    where: str | None = Field(default=None, max_length=4000, description=WHERE)
    max_per_label: int | None = Field(default=None, ge=1, le=MAX_IMAGES, description=MAX_PER_LABEL)
    balance: bool = Field(default=False, description=BALANCE)
    validation_level: Level | None = None
    min_width: Side | None = None
    min_height: Side | None = None
    dedupe: Literal["none", "exact", "near"] = "near"
    label_conflicts: LabelConflicts | None = Field(
        default=None, description="What is kept of a picture with several labels: nothing, the first label's image, or one per label."
    )
    captions: Captions = Field(default="first", description="Captions in a .txt (webdataset, captions): the first, or all, one on a line.")
    compression: Compression | None = None
    export_format: ExportFormat | None = None
    also: Also = Field(default_factory=list, max_length=10, description=ALSO)
    storage_tier: Literal["standard"] | None = None
    splits: dict[str, float] = Field(default_factory=lambda: {"train": 1.0}, description="Share of each split; shares sum to 1.")
    split_by: list[SplitKind] | None = Field(default=None, min_length=1, max_length=5, description=SPLIT_BY)
    seed: Seed = 0
    priority: int = Field(default=0, ge=-100, le=100)
    refresh: bool = Field(default=False, description="Request URLs again whose bytes are stored; an origin may confirm them by a 304.")

    @field_validator("lang")
    @classmethod
    def _languages(cls, value: list[str]) -> list[str]:
        for code in value:
            if not re.fullmatch(r"[a-z]{2,3}(-[a-z0-9]{2,8})*", code):
                raise ValueError(f"{code!r} is not a language code such as 'en' or 'pt-br'")
        return value

    @field_validator("splits")
    @classmethod
    def _shares(cls, value: dict[str, float]) -> dict[str, float]:
        for name, share in value.items():
            if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name):
                raise ValueError(f"split name {name!r} must be lower-case letters, digits and underscores")
            if not 0 <= share <= 1:  # which no comparison with NaN is
                raise ValueError(f"share {share:g} of split {name!r} is not between 0 and 1")
        if abs(sum(value.values()) - 1.0) > 1e-6:
            raise ValueError(f"shares sum to {sum(value.values()):g}, not 1")
        return value

    @model_validator(mode="after")
    def _one_input(self) -> Self:
        if sum((bool(self.keywords), self.urls is not None, self.pages is not None)) != 1:
            raise ValueError("give one of keywords, urls and pages")
        if self.urls is not None and not self.urls:
            raise ValueError("urls is empty")
        if self.into is not None and self.name is not None:
            raise ValueError("name has no effect with into: a version has the name of its dataset")
        if self.max_images is not None and self.min_images > self.max_images:
            raise ValueError(f"min_images {self.min_images} is more than max_images {self.max_images}")
        if self.max_images is not None and self.least_images > self.max_images:
            labels = f" for {self.least_labels} labels" if self.least_labels > 1 else ""
            least = f"min_images_per_label {self.min_images_per_label}{labels}"
            raise ValueError(f"{least} takes {self.least_images} images, max_images is {self.max_images}")
        return self

    @model_validator(mode="after")
    def _split_by_has_splits(self) -> Self:
        if self.split_by is not None and sum(share > 0 for share in self.splits.values()) < 2:
            raise ValueError(f"split_by {', '.join(self.split_by)} has no effect on one split; name the shares with splits")
        return self

    @model_validator(mode="after")
    def _splits_fit_the_format(self) -> Self:
        if self.export_format == "yolo":
            ultralytics_splits(name for name, share in self.splits.items() if share)
        return self

    @model_validator(mode="after")
    def _keywords_agree(self) -> Self:
        if self.per_label is not None and not self.keywords:
            raise ValueError("per_label is for keywords; a list has a label column and max_images")
        if self.label is not None and any(item.label for item in self.asked):
            raise ValueError(f"label {self.label!r} is for every image, and keywords have labels of their own; leave one out")
        own = sum(item.max_images or 0 for item in self.asked)
        if self.max_images is not None and own > self.max_images:
            raise ValueError(f"the keywords' own numbers are {own} together, max_images is {self.max_images}")
        searches = len(self.keywords) * (1 + self.expand) * len(self.sources)
        if searches > MAX_SEARCHES:
            raise ValueError(
                f"{len(self.keywords)} keywords, expand {self.expand} and {len(self.sources)} sources make {searches} searches, at most "
                f"{MAX_SEARCHES} are made; ask for less of one, or divide the keywords among several builds"
            )
        return self

    @property
    def asked(self) -> list[Keyword]:
        """The keywords, each with what is asked of it."""
        return [item if isinstance(item, Keyword) else Keyword(keyword=item) for item in self.keywords]

    @property
    def least_labels(self) -> int:
        """How many labels the dataset has at least: those of the keywords, unless all images have the same."""
        return 1 if self.label else max(1, len({(item.label or item.keyword).casefold() for item in self.asked}))

    @property
    def least_images(self) -> int:
        """How many images it takes to have enough of each of them."""
        return max(self.min_images, self.min_images_per_label * self.least_labels)


class JobSpec(BaseModel):
    """What a job was asked to do, settled: every default is filled in, so that each worker decides the same.

    Attributes:
        update_of: the dataset whose images are asked for again, and whose searches begin anew; ``retry_failed`` asks for failed ones too.
        into: the dataset whose images are taken as they are, beside the new ones.
        base_images: images that the dataset has before, and that ``max_images`` counts as well.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    keywords: list[str] = Field(default_factory=list)
    keyword_labels: dict[str, str] = Field(default_factory=dict)
    keyword_targets: dict[str, int] = Field(default_factory=dict)
    url_list: ListSpec | None = None
    pages: PagesSpec | None = None
    folder: FolderSpec | None = None
    lock: LockSpec | None = None
    merge_of: tuple[MergedDataset, ...] = ()
    sources: list[str] = Field(default_factory=lambda: ["wikimedia"])
    expand: int = 0
    lang: list[str] = Field(default_factory=lambda: ["en"])
    license: list[str] = Field(default_factory=list)
    license_unknown: UnknownLicenses = "keep"
    label: str | None = None
    max_images: int | None = None
    per_label: int | None = None
    min_images: int = 0
    min_images_per_label: int = 0
    where: str | None = None
    max_per_label: int | None = None
    balance: bool = False
    validation: ValidationRules = ValidationRules()
    dedupe: Literal["none", "exact", "near"] = "near"
    captions: Captions = "first"
    near_distance: int = 6
    label_conflicts: LabelConflicts = "drop"
    url_label_conflicts: Literal["keep", "drop"] = "keep"
    placeholder_min: int = 5
    compression: CompressionRules = CompressionRules()
    export_format: ExportFormat = "files"
    also: list[ExportFormat] = Field(default_factory=list)
    storage_tier: Literal["standard"] = "standard"
    splits: dict[str, float] = Field(default_factory=lambda: {"train": 1.0})
    split_by: tuple[SplitKind, ...] = DEFAULT_SPLIT_BY
    seed: int = 0
    shard_samples: int = 10_000
    shard_bytes: int = 1_000_000_000
    output: str | None = None
    destination: str | None = None
    overwrite: bool = False
    private: bool = True
    retry_reasons: list[Reason] | None = None
    parent_job_id: str | None = None
    update_of: str | None = None
    into: str | None = None
    base_images: int = 0
    retry_failed: bool = False
    refresh: bool = False
    side_px: int | None = None
    papers: PaperTexts = NO_TEXTS

    @property
    def formats(self) -> list[ExportFormat]:
        """The formats that the dataset is written in, the first one first."""
        return [self.export_format, *self.also]

    @property
    def quota(self) -> Quota | None:
        """How many images it wants, of keywords in their order; None for all that there are."""
        if self.max_images is None:
            return None
        labels = [self.label or self.keyword_labels.get(keyword, keyword) for keyword in self.keywords]
        numbers = [self.keyword_targets.get(keyword) for keyword in self.keywords]
        return Quota(max(0, self.max_images - self.base_images), labels, numbers, self.per_label)

    @property
    def is_update(self) -> bool:
        """Whether it asks for the images of ``update_of`` again; a retry of it asks for what has failed."""
        return self.update_of is not None and self.retry_reasons is None

    @property
    def base_id(self) -> str | None:
        """The dataset whose images a build begins with; none for a retry, which goes on with its own."""
        return None if self.retry_reasons is not None else self.update_of or self.into
