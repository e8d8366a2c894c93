"""The options of ``build``: one field each, with its help. Declared once; the command's signature is made from them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

__all__ = ["Wishes"]

Dedupe = Literal["none", "exact", "near"]
Format = Literal["files", "imagefolder", "webdataset"]
LevelName = Literal["basic", "standard", "strict"]
Resize = Literal["none", "keep_ratio", "center_crop", "border"]
Text = str | None
Texts = list[str] | None
Count = int | None


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


def _manners(*names: str, help: str, **more: Any) -> Any:
    return _option("Politeness", *names, help=help, **more)


URLS = "A list of image URLs instead: txt, csv, tsv, json, jsonl or parquet, also with .gz or .zst; - is stdin."
LIST_FORMAT = "Kind of the list where its name does not tell, as in csv.gz; stdin is txt."


@dataclass(frozen=True, slots=True)
class Wishes:
    """One build as it was asked for."""

    keywords: Annotated[Texts, typer.Argument(metavar="KEYWORDS", help="What to search for.", show_default=False)] = None
    urls: Annotated[Texts, _what("--urls", metavar="FILE|-", help=URLS)] = None
    url_col: Annotated[Text, _what("--url-col", metavar="NAME", help="Column of URLs; default: the one that looks like it.")] = None
    caption_col: Annotated[Text, _what("--caption-col", metavar="NAME", help="Column of captions.")] = None
    label_col: Annotated[Text, _what("--label-col", metavar="NAME", help="Column of labels.")] = None
    license_col: Annotated[Text, _what("--license-col", metavar="NAME", help="Column of licences.")] = None
    list_format: Annotated[Text, _what("--list-format", metavar="KIND", help=LIST_FORMAT)] = None
    label: Annotated[Text, _what("--label", metavar="NAME", help="Label of every image; default: the keyword, or the list's.")] = None
    name: Annotated[Text, _what("--name", metavar="NAME", help="Name of the dataset; default: the keywords, or the list.")] = None
    source: Annotated[Texts, _what("--source", "-s", metavar="NAME", help="Where to search; may be repeated (wikimedia).")] = None
    expand: Annotated[int, _what("--expand", min=0, max=20, metavar="N", help="Also search up to N other names of each keyword.")] = 0
    lang: Annotated[Texts, _what("--lang", metavar="CODE", help="Language for --expand; may be repeated (en).")] = None
    max_images: Annotated[Count, _many("--max-images", "-n", min=1, help="Stop at N; default: 100 for keywords, all of a list.")] = None
    min_images: Annotated[int, _many("--min-images", min=0, help="Fewer than N is exit code 3.")] = 0
    level: Annotated[LevelName | None, _quality("--level", help="How strictly images are checked (standard).")] = None
    min_size: Annotated[Text, _quality("--min-size", metavar="WxH", help="Smallest image taken, pixels (64x64).")] = None
    dedupe: Annotated[Dedupe, _quality("--dedupe", help="Which duplicates are dropped (near).")] = "near"
    encode: Annotated[Text, _output("--encode", metavar="FORMAT[:QUALITY]", help="keep, jpeg, webp or png, as in webp:80 (keep).")] = None
    resize: Annotated[Resize | None, _output("--resize", help="How --size is reached (none).")] = None
    size: Annotated[Count, _output("--size", min=8, max=16384, metavar="PX", help="Side in pixels for --resize (256).")] = None
    export_format: Annotated[Format | None, _output("--format", "-f", help="Form of the dataset (files).")] = None
    output: Annotated[Path | None, _output("--output", "-o", metavar="DIR", help="Where it goes (./datasets/NAME).")] = None
    overwrite: Annotated[bool, _output("--overwrite", help="Replace what stands there.")] = False
    split: Annotated[Text, _output("--split", metavar="NAME=SHARE,...", help="As in train=0.8,val=0.1,test=0.1 (train=1).")] = None
    seed: Annotated[int, _output("--seed", metavar="N", help="For the splits (0).")] = 0
    per_host: Annotated[Count, _manners("--per-host", min=1, metavar="N", help="Requests at once to one host (2).")] = None
    concurrency: Annotated[Count, _manners("--concurrency", min=1, metavar="N", help="Requests at once in all (64).")] = None
    contact: Annotated[Text, _manners("--contact", metavar="MAIL|URL", help="How origins can reach you; in the User-Agent.")] = None
    no_robots: Annotated[bool, _manners("--no-robots", help="Do not ask robots.txt; only for hosts of your own.")] = False
    detach: Annotated[bool, _option("Run", "--detach", help="Only make the job; a running worker or server does it.")] = False

    @property
    def manners(self) -> dict[str, Any]:
        """The options that stand for settings."""
        return {name: getattr(self, name) for name in ("per_host", "concurrency", "contact", "no_robots")}
