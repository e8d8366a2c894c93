"""The options of ``pictrawl build``: one field each, with its help, and the functions that parse their values."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer
from pydantic import ValidationError

import errors
from app.cli.delivery import OUTPUT_METAVAR, PRIVATE
from app.cli.failures import UsageError
from app.cli.options import parse_name, parse_path
from app.domain import ExportFormat, LabelConflicts, UnknownLicenses
from app.exports.destination import FORMS
from app.formatting import clipped, either
from app.jobs.settle import parse_selection
from app.rules import CompressionRules, Encode, Resize
from app.split_names import parse_shares
from app.validation_errors import requirement

__all__ = [
    "BALANCE",
    "CAPTIONS",
    "FORMATS",
    "MAX_PER_LABEL",
    "OPTION_NAMES",
    "REPORT",
    "STDIN",
    "WHERE",
    "BuildOptions",
    "Captions",
    "list_fields_as_options",
    "parse_compression",
    "parse_size",
    "parse_splits",
    "parse_where",
    "validation_as_usage",
]

Dedupe = Literal["none", "exact", "near"]
LevelName = Literal["basic", "standard", "strict"]
Captions = Literal["first", "all"]
Text = str | None
Texts = list[str] | None
Count = int | None

STDIN = "-"
"""Names stdin where a file is expected."""

ENCODINGS = get_args(Encode)
RESIZES = tuple(word for word in get_args(Resize) if word != "none")


def _option(panel: str, *names: str, help: str, **more: Any) -> Any:
    return typer.Option(*names, rich_help_panel=panel, show_default=False, help=help, **more)


def _what(*names: str, help: str, **more: Any) -> Any:
    return _option("What", *names, help=help, **more)


def _many(*names: str, help: str, **more: Any) -> Any:
    return _option("How many", *names, help=help, metavar="N", **more)


def _quality(*names: str, help: str, **more: Any) -> Any:
    return _option("Quality", *names, help=help, **more)


def _output(*names: str, help: str, **more: Any) -> Any:
    return _option("Output", *names, help=help, **more)


def _politeness(*names: str, help: str, **more: Any) -> Any:
    return _option("Politeness", *names, help=help, **more)


OUTPUT = f"Folder of the dataset (./datasets/NAME), or {FORMS}."
KEYWORDS = "What to search for; a phrase in quotes is one."
KEYWORDS_FILE = "Up to 1000 keywords: txt, one a line, or csv, tsv, jsonl with keyword, label, number; - is stdin."
CONTACT = "Your mail or web address, which origins see; Wikimedia requires it."
URLS = "A list of image URLs instead of keywords: txt, csv, tsv, json, jsonl or parquet, also with .gz or .zst; - is stdin."
PAGES = "Pages instead of keywords: a page, gallery, sitemap, feed or IIIF manifest, or a file with one URL a line; may be repeated."
FOLLOW_HOSTS = "Host to follow besides that of the page, with its subdomains; * for all; may be repeated."
FOLDER = "Images that are here already: a folder, tars, Parquet files or an earlier dataset. They are read, never changed."
URL_COL = "Column of URLs, inside objects as in image.src; default: found by name."
KEEP_COL = "Further column of the list to carry to the dataset; may be repeated; none for none; default: all with single values."
INTO = "Add what is found to a dataset, as another version of it; -n counts what is added."
LABEL_CONFLICTS = "What is kept of one picture with several labels: nothing, the first label's image, or one image per label (drop)."
FORMATS = f"Format: {', '.join(get_args(ExportFormat))}"
CAPTIONS = "Captions in the .txt of webdataset and captions: the first, or all, one on a line (first)."
REFRESH = "Request URLs again whose bytes an earlier build stored; an origin that has the same bytes answers 304."
LICENSE = (
    "Licences taken: cc0, pdm, by, by-sa ..., open, commercial, derivatives, any, or SPDX ids, with commas; default: any for keywords."
)
LICENSE_UNKNOWN = "What becomes of images of which no licence is known: drop, but for lists without --license, which keep all."
ENCODE = f"{either(ENCODINGS)}, as in webp:80 (keep)."
RESIZE = "How --size is reached: keep_ratio by the shorter side, longest by the longer, else a square (none)."
WHERE = 'Take only images for which this is true, as in "width>=512 and license=cc0"; see how-to/shape-a-dataset.md.'
MAX_PER_LABEL = "Keep at most N of each label; images without a label are not limited."
BALANCE = "Keep as many of each label as the smallest one has."
SPLIT_BY = "What images of one split share, with commas: cluster, group, creator, page, host (cluster,group)."
ALSO = "Further format, written beside the first as OUTPUT-FORMAT; may be repeated."
SIZE = "Side in pixels for --resize (256)."
ONLY_IF_BIGGER = "Whether --resize leaves small images as small as they are (it does)."
REPORT = "Whether report.html is written beside the dataset, to look at (it is)."
DRY_RUN = "Ask the sources for counts only, and show what the build would find, fetch and cost; nothing is stored."
LIST_FORMAT = "Format of the list where its name has no suffix, as in csv.gz; stdin is txt."


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """The options of one build."""

    keywords: Annotated[Texts, typer.Argument(metavar="KEYWORDS", help=KEYWORDS, show_default=False)] = None
    keywords_file: Annotated[Text, _what("--keywords-file", metavar="FILE|-", parser=parse_name, help=KEYWORDS_FILE)] = None
    urls: Annotated[Texts, _what("--urls", metavar="FILE|-", parser=parse_name, help=URLS)] = None
    folder: Annotated[Path | None, _what("--folder", metavar="PATH", parser=parse_path, help=FOLDER)] = None
    url_col: Annotated[Text, _what("--url-col", metavar="NAME", help=URL_COL)] = None
    caption_col: Annotated[Text, _what("--caption-col", metavar="NAME", help="Column of captions.")] = None
    label_col: Annotated[Text, _what("--label-col", metavar="NAME", help="Column of labels.")] = None
    license_col: Annotated[Text, _what("--license-col", metavar="NAME", help="Column of licences.")] = None
    group_col: Annotated[Text, _what("--group-col", metavar="NAME", help="Column of groups that splits do not divide.")] = None
    keep_col: Annotated[Texts, _what("--keep-col", metavar="NAME", help=KEEP_COL)] = None
    list_format: Annotated[Text, _what("--list-format", metavar="KIND", help=LIST_FORMAT)] = None
    pages: Annotated[Texts, _what("--pages", metavar="URL|FILE", parser=parse_name, help=PAGES)] = None
    depth: Annotated[Count, _what("--depth", metavar="N", help="Links that are followed from --pages; 0 for those pages alone (1).")] = None
    max_pages: Annotated[Count, _what("--max-pages", metavar="N", help="Read at most N pages (1000, or as many as are named).")] = None
    follow_hosts: Annotated[Texts, _what("--follow-hosts", metavar="HOST", help=FOLLOW_HOSTS)] = None
    css_images: Annotated[bool, _what("--css-images", help="Take backgrounds in the styles of pages as well.")] = False
    label: Annotated[Text, _what("--label", metavar="NAME", help="Label of every image; default: the keyword, or the list's.")] = None
    into: Annotated[Text, _what("--into", metavar="DATASET", help=INTO)] = None
    name: Annotated[Text, _what("--name", metavar="NAME", help="Name of the dataset; default: the keywords, or the list.")] = None
    source: Annotated[Texts, _what("--source", "-s", metavar="NAME", help="Where to search; may be repeated (wikimedia).")] = None
    expand: Annotated[int, _what("--expand", metavar="N", help="Also search up to N other names of each keyword.")] = 0
    lang: Annotated[Texts, _what("--lang", metavar="CODE", help="Language for --expand; may be repeated (en).")] = None
    license: Annotated[Texts, _what("--license", metavar="WORDS", help=LICENSE)] = None
    license_unknown: Annotated[UnknownLicenses | None, _what("--license-unknown", help=LICENSE_UNKNOWN)] = None
    max_images: Annotated[Count, _many("--max-images", "-n", help="Stop at N; default: 100 for keywords, all of a list.")] = None
    per_label: Annotated[Count, _many("--per-label", help="Stop at N of each label; several keywords may share one.")] = None
    min_images: Annotated[int, _many("--min-images", help="Exit code 3 where fewer than N are kept.")] = 0
    min_images_per_label: Annotated[int, _many("--min-images-per-label", help="Exit code 3 where a label has fewer than N.")] = 0
    where: Annotated[Text, _quality("--where", metavar="EXPRESSION", help=WHERE)] = None
    max_per_label: Annotated[Count, _many("--max-per-label", help=MAX_PER_LABEL)] = None
    balance: Annotated[bool, _option("How many", "--balance", help=BALANCE)] = False
    level: Annotated[LevelName | None, _quality("--level", help="How strictly images are checked (standard).")] = None
    min_size: Annotated[Text, _quality("--min-size", metavar="WxH", help="Smallest image taken, pixels (64x64).")] = None
    dedupe: Annotated[Dedupe, _quality("--dedupe", help="Which duplicates are dropped (near).")] = "near"
    label_conflicts: Annotated[LabelConflicts | None, _quality("--label-conflicts", help=LABEL_CONFLICTS)] = None
    encode: Annotated[Text, _output("--encode", metavar="FORMAT[:QUALITY]", help=ENCODE)] = None
    resize: Annotated[Resize | None, _output("--resize", help=RESIZE)] = None
    size: Annotated[Count, _output("--size", metavar="PX", help=SIZE)] = None
    only_if_bigger: Annotated[bool | None, _output("--only-if-bigger/--no-only-if-bigger", help=ONLY_IF_BIGGER)] = None
    export_format: Annotated[ExportFormat | None, _output("--format", "-f", metavar="FORMAT", help=f"{FORMATS} (files).")] = None
    also: Annotated[Texts, _output("--also", metavar="FORMAT", help=ALSO)] = None
    captions: Annotated[Captions, _output("--captions", help=CAPTIONS)] = "first"
    output: Annotated[Text, _output("--output", "-o", metavar=OUTPUT_METAVAR, parser=parse_name, help=OUTPUT)] = None
    overwrite: Annotated[bool, _output("--overwrite", help="Replace the dataset that is there.")] = False
    private: Annotated[bool | None, _output("--private/--public", help=PRIVATE)] = None
    report: Annotated[bool | None, _output("--report/--no-report", help=REPORT)] = None
    split: Annotated[Text, _output("--split", metavar="NAME=SHARE,...", help="As in train=0.8,val=0.1,test=0.1 (train=1).")] = None
    split_by: Annotated[Text, _output("--split-by", metavar="KINDS", help=SPLIT_BY)] = None
    seed: Annotated[int, _output("--seed", metavar="N", help="Random seed of the splits (0).")] = 0
    refresh: Annotated[bool, _politeness("--refresh", help=REFRESH)] = False
    per_host: Annotated[Count, _politeness("--per-host", metavar="N", help="Concurrent requests to one host (2).")] = None
    concurrency: Annotated[Count, _politeness("--concurrency", metavar="N", help="Concurrent requests in all (64).")] = None
    contact: Annotated[Text, _politeness("--contact", metavar="MAIL|URL", help=CONTACT)] = None
    no_robots: Annotated[bool, _politeness("--no-robots", help="Ignore robots.txt; only for your own hosts.")] = False
    dry_run: Annotated[bool, _option("Run", "--dry-run", help=DRY_RUN)] = False
    ui: Annotated[bool, _option("Run", "--ui", help="Serve the pages on 127.0.0.1 while the build runs.")] = False
    port: Annotated[Count, _option("Run", "--port", metavar="PORT", help="Port of --ui (a free one).")] = None
    detach: Annotated[bool, _option("Run", "--detach", help="Only submit the job; a running worker or server does it.")] = False

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that options were given for, by dotted name."""
        flags = {
            "fetch.per_host": self.per_host,
            "fetch.concurrency": self.concurrency,
            "fetch.contact": self.contact,
            "fetch.robots": False if self.no_robots else None,
            "export.report": self.report,
        }
        return {name: value for name, value in flags.items() if value is not None}

    def dataset_name(self, keywords: Sequence[str], list_name: str | None) -> str:
        """``--name`` or ``--label``, else the name of the file of keywords, else the keywords, else the name of the list or folder."""
        if self.name or self.label:
            return self.name or self.label or ""
        if self.keywords_file and self.keywords_file != STDIN:
            return (Path(self.keywords_file).name.split(".")[0] or "keywords")[:100]
        if keywords:
            return ", ".join(keywords)[:100]
        return ((list_name or "dataset").split(".")[0] or "dataset")[:100]


def parse_size(text: str | None) -> tuple[int | None, int | None]:
    """Parse ``256x192`` as width and height in pixels; a single number is both."""
    if text is None:
        return None, None
    match = re.fullmatch(r"(\d{1,5})(?:[xX×](\d{1,5}))?", text.strip())
    if match is None or "0" in (match[1].lstrip("0") or "0", (match[2] or match[1]).lstrip("0") or "0"):
        raise UsageError(f"--min-size {text!r} is not a size", "write WxH in pixels, as in --min-size 256x256")
    return int(match[1]), int(match[2] or match[1])


def parse_splits(text: str | None) -> dict[str, float]:
    """Parse ``train=0.8,val=0.1,test=0.1``. The request checks the sum."""
    if text is None:
        return {"train": 1.0}
    try:
        return parse_shares(text)
    except ValueError as error:
        raise UsageError(f"--split {text!r}: {error}", "write --split train=0.8,val=0.1,test=0.1") from error


def parse_where(text: str | None, *, is_build: bool = False) -> str | None:
    """Check ``--where`` before anything is written; return it as it is.

    Raises:
        UsageError: it is no selection.
    """
    try:
        parse_selection(text, is_build=is_build)
    except errors.ValidationError as error:
        raise UsageError(f"--{error}", "names, values and operators are in docs/how-to/shape-a-dataset.md") from error
    return text


def parse_compression(
    default: CompressionRules, *, encode: str | None, resize: str | None, size: int | None, only_if_bigger: bool | None = None
) -> CompressionRules:
    """The default rules, changed by ``--encode``, ``--resize``, ``--size`` and ``--only-if-bigger``."""
    rules = default
    if encode is not None:
        rules = replace(rules, **_encoding(encode))
    if resize is not None:
        rules = replace(rules, resize=resize)  # type: ignore[arg-type]
    given = {"size": size, "only_if_bigger": only_if_bigger}
    given = {name: value for name, value in given.items() if value is not None}
    if given and rules.resize == "none":
        option = f"--size {size}" if size is not None else f"--{'' if only_if_bigger else 'no-'}only-if-bigger"
        raise UsageError(f"{option} has no effect without --resize", f"add --resize {either(RESIZES)}")
    return replace(rules, **given)  # type: ignore[arg-type]


def _encoding(text: str) -> dict[str, Any]:
    name, colon, quality = text.partition(":")
    if name not in ENCODINGS or (colon and not (quality.isdigit() and 1 <= int(quality) <= 100)) or (name == "keep" and colon):
        raise UsageError(f"--encode {text!r} is not an encoding", f"{either(ENCODINGS)}, with a quality of 1 to 100: --encode webp:80")
    return {"format": name} | ({"level": int(quality)} if quality else {})


@contextmanager
def validation_as_usage() -> Iterator[None]:
    """Translate pydantic's errors about the request into a usage error.

    Raises:
        UsageError: a value of the request is wrong.
    """
    try:
        yield
    except ValidationError as error:
        raise UsageError("; ".join(_option_error(item) for item in error.errors())) from error


OPTION_NAMES = {item.name: f"--{item.name.replace('_', '-')}" for item in fields(BuildOptions) if item.name != "keywords"} | {
    "export_format": "--format",
    "validation_level": "--level",
    "min_width": "--min-size",
    "min_height": "--min-size",
    "sources": "--source",
    "splits": "--split",
    "url_column": "--url-col",
    "caption_column": "--caption-col",
    "label_column": "--label-col",
    "license_column": "--license-col",
    "group_column": "--group-col",
    "keep_columns": "--keep-col",
    "shard_samples": "--shard-samples",
    "shard_bytes": "--shard-bytes",
}
"""The option that gives each field of a request, or of its list, its value."""

_FIELD = re.compile(rf"\b({'|'.join(name for name in OPTION_NAMES if '_' in name)})\b")

_COLUMN_FIELD = re.compile(r"(?P<before>\(|\bwith |\bas in )(?P<name>\w+_columns?)\b")
"""Where a message about a list names a field of ours; elsewhere such a name is a column of the user's."""


@contextmanager
def list_fields_as_options() -> Iterator[None]:
    """Let errors about the columns of a list name the options.

    Raises:
        errors.ConfigurationError: as the body.
    """
    try:
        yield
    except errors.ConfigurationError as error:
        words = _COLUMN_FIELD.sub(lambda match: match["before"] + OPTION_NAMES.get(match["name"], match["name"]), str(error))
        raise errors.ConfigurationError(words) from error


def _option_error(item: Any) -> str:
    """``--max-images 0: must be at least 1``; fields that the words name become options too."""
    words = _FIELD.sub(lambda match: OPTION_NAMES[match[0]], requirement(item))
    option = next((OPTION_NAMES[part] for part in reversed(item["loc"]) if part in OPTION_NAMES), "")
    value = item["input"]
    if option and item["type"] != "value_error" and isinstance(value, int | float | str):
        return f"{option} {clipped(str(value), 60)}: {words}"
    return f"{option}: {words}" if option else words
