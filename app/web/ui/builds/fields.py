"""The fields of the form: their labels, their hints, and the words of their choices. The names are those of the request of a build."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from app.domain import ExportFormat, LabelConflicts
from app.rules import SPLIT_KINDS, Encode, Level, Resize

__all__ = ["COLUMNS", "COMPRESSION", "FIELDS", "INPUTS", "LICENCES", "OWN_LICENCES", "PAGES", "Field", "Licence", "licence_words"]

INPUTS: Final = {"keywords": "Keywords", "list": "A list of image URLs", "pages": "Pages"}
"""What a build is made from."""

OWN_LICENCES: Final = "words"
"""The choice of licences that a field of words has instead."""

COLUMNS: Final = ("url_column", "caption_column", "label_column", "license_column", "group_column", "keep_columns")
PAGES: Final = ("depth", "max_pages", "follow_hosts", "css_images")
COMPRESSION: Final = ("encode", "quality", "resize", "size", "enlarge")


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the form.

    Attributes:
        kind: ``words`` is a list with commas.
        choices: (value, words) of a choice or of boxes.
    """

    label: str
    hint: str = ""
    kind: Literal["text", "number", "words", "choice", "check", "boxes"] = "text"
    choices: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Licence:
    """A choice of licences, with what it refuses."""

    value: str
    label: str
    refuses: str


_OF_SEARCHES: Final = "refuses reserved rights, and pictures without a known licence."
_OF_LISTS: Final = "refuses nothing, records what is stated."

LICENCES: Final = (
    Licence("", "What permits some use", f"Keywords: {_OF_SEARCHES} Lists and pages: {_OF_LISTS}"),
    Licence("open", "Open licences", "CC0, public domain, BY, BY-SA and the like. Refuses NC, ND, reserved rights and unknown licences."),
    Licence("commercial", "Commercial use", "Refuses NC, reserved rights and unknown licences."),
    Licence("commercial,derivatives", "Commercial use, changes", "Refuses NC, ND, reserved rights and unknown licences."),
    Licence(
        "cc0,pdm",
        "Public domain only",
        "CC0 and works in the public domain. Refuses everything that asks for credit, and unknown licences.",
    ),
    Licence(OWN_LICENCES, "These words", "Takes only what the words name."),
)


def licence_words(value: str, *, is_search: bool) -> str:
    """A choice of licences, and what it refuses of a search, or of a list or pages."""
    chosen = next(licence for licence in LICENCES if licence.value == value)
    refuses = chosen.refuses if value else (_OF_SEARCHES if is_search else _OF_LISTS)
    return f"{chosen.label}: {refuses}"


_LEVELS: Final[Mapping[Level, str]] = {
    "basic": "basic",
    "standard": "standard",
    "strict": "strict",
}
_CONFLICTS: Final[Mapping[LabelConflicts, str]] = {
    "drop": "drop all of them",
    "keep-first": "keep the first label's image",
    "keep-all": "keep one image for each label",
}
_RESIZES: Final[Mapping[Resize, str]] = {
    "none": "leave the size",
    "keep_ratio": "keep_ratio: by the shorter side",
    "longest": "longest: by the longer side",
    "center_crop": "center_crop: a square from the middle",
    "border": "border: a square with a border",
}
_LIST_FORMATS: Final = ("txt", "csv", "tsv", "json", "jsonl", "parquet")


def _same(words: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return tuple((word, word) for word in words)


def _default(words: str, choices: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return (("", words), *choices)


FIELDS: Final[Mapping[str, Field]] = {
    "input": Field("From", kind="choice", choices=tuple(INPUTS.items())),
    "keywords": Field(
        "Keywords",
        "One a line. With labels and numbers: a first line keyword,label,number, then a keyword a line in these columns.",
    ),
    "sources": Field("Sources", kind="boxes"),
    "urls": Field("Image URLs", "One a line; or CSV, TSV or JSON lines with a column url, and label, caption, license, boxes or others."),
    "file": Field("Or a file", "txt, csv, tsv, json, jsonl or parquet, also with .gz or .zst."),
    "pages": Field("Pages", "Galleries, sitemaps, feeds or IIIF manifests, one URL a line."),
    "license": Field("Licences", kind="choice"),
    "license_words": Field("Licence words", "cc0, pdm, by, by-sa, open, any, commercial ... or SPDX ids, with commas.", "words"),
    "license_unknown": Field(
        "No licence known", "", "choice", (("", "as the choice says"), ("drop", "refuse the picture"), ("keep", "take the picture"))
    ),
    "max_images": Field("Images", "Stop at this many. Default: 100 for keywords, else all.", "number"),
    "per_label": Field("Per label", "With keywords: stop at this many of each label.", "number"),
    "min_images": Field("At least", "Fewer than this is reported as a shortfall.", "number"),
    "validation_level": Field(
        "Checks", "basic: decodes, size. strict: also blur, exposure.", "choice", _default("default", tuple(_LEVELS.items()))
    ),
    "export_format": Field("Format", "", "choice", _default("default", _same(get_args(ExportFormat)))),
    "splits": Field("Splits", "They sum to 1, as in train=0.8, val=0.1, test=0.1."),
    "name": Field("Name", "Of the dataset. Default: the keywords, the list or the host."),
    "also": Field("Further formats", "", "boxes", _same(get_args(ExportFormat))),
    "encode": Field("Encoding", "", "choice", _default("default", _same(get_args(Encode)))),
    "quality": Field("Quality", "1 to 100.", "number"),
    "resize": Field("Resize", "", "choice", _default("default", tuple(_RESIZES.items()))),
    "size": Field("Side, pixels", "", "number"),
    "enlarge": Field("Enlarge small images", kind="check"),
    "min_width": Field("Smallest width, pixels", "", "number"),
    "min_height": Field("Smallest height, pixels", "", "number"),
    "where": Field("Only where", "As in width >= 512 and license = cc0."),
    "dedupe": Field("Duplicates", "", "choice", (("near", "drop near ones"), ("exact", "drop exact ones"), ("none", "keep them"))),
    "label_conflicts": Field("One picture, several labels", "", "choice", _default("default", tuple(_CONFLICTS.items()))),
    "label": Field("Label of every image", "Default: the keyword, or the list's."),
    "into": Field("Add to a dataset", "Id of a dataset, of which this becomes another version."),
    "min_images_per_label": Field("At least per label", "", "number"),
    "max_per_label": Field("At most per label", "", "number"),
    "balance": Field("As many of each label", kind="check"),
    "expand": Field("Synonyms", "Search up to this many other names of each keyword, from Wikidata.", "number"),
    "lang": Field("Their languages", "Codes with commas, as in en, de.", "words"),
    "captions": Field("Captions in a .txt", "", "choice", (("first", "the first"), ("all", "all, one on a line"))),
    "split_by": Field("One split has all images of a", "", "boxes", _same(SPLIT_KINDS)),
    "seed": Field("Seed of the splits", "", "number"),
    "priority": Field("Priority", "-100 to 100; higher goes first.", "number"),
    "refresh": Field("Request stored URLs again", kind="check"),
    "list_format": Field("Format of the list", "", "choice", _default("by its name and content", _same(_LIST_FORMATS))),
    "url_column": Field("Column of URLs"),
    "caption_column": Field("Column of captions"),
    "label_column": Field("Column of labels"),
    "license_column": Field("Column of licences"),
    "group_column": Field("Column of groups", "Splits do not divide a group."),
    "keep_columns": Field("Further columns", "Names with commas, or none. Default: all with single values.", "words"),
    "depth": Field("Links to follow", "0 for these pages alone; default: 1.", "number"),
    "max_pages": Field("Pages to read at most", "Default: 1,000.", "number"),
    "follow_hosts": Field("Further hosts", "With commas; * for all. Default: those of the pages.", "words"),
    "css_images": Field("Take backgrounds of styles as well", kind="check"),
}
