"""The same build for a terminal: as the command line, and as the body of a request."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.rules import ValidationRules
from app.spec import Keyword, ListSpec
from app.split_names import shares_text
from app.web.api.jobs import NewJob

__all__ = ["Command", "body_text", "command_of"]

MOST_ARGUMENTS: Final = 20
"""Keywords of a command line; more are given on stdin."""

MOST_LINES: Final = 200
"""Lines of a list that are shown."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command with what it reads from stdin.

    Attributes:
        left_out: lines of stdin that are not shown.
    """

    arguments: Sequence[str]
    stdin: str = ""
    left_out: int = 0

    def __str__(self) -> str:
        line = shlex.join(self.arguments)
        return f"{line} <<'{_end_of(self.stdin)}'\n{self.stdin}\n{_end_of(self.stdin)}" if self.stdin else line


def _end_of(text: str) -> str:
    """A word that is no line of a text."""
    lines, word = set(text.splitlines()), "END"
    while word in lines:
        word += "_"
    return word


def body_text(document: Mapping[str, Any]) -> str:
    """The body of ``POST /v1/jobs``, to be read."""
    return json.dumps(document, ensure_ascii=False, indent=1)


def command_of(body: NewJob, rules: ValidationRules, *, listed: ListSpec | None = None, pasted: str = "") -> Command:
    """``pictrawl build`` for a request.

    Args:
        rules: of the settings, for the side that is not given of a smallest size.
        listed: how a list is read, instead of the URLs of the request.
        pasted: its text, where it was pasted; an uploaded one is named.
    """
    arguments = ["pictrawl", "build", *_options(body, rules)]
    if listed is not None:
        lines = pasted.strip().splitlines()
        kind = ["--list-format", listed.suffix.removeprefix(".")] if pasted and listed.suffix != ".txt" else []
        columns = [part for name, option in _COLUMNS.items() if (value := getattr(listed, name)) for part in (option, value)]
        kept = ["none"] if listed.keep_columns == [] else listed.keep_columns or []
        keep = [part for name in kept for part in ("--keep-col", name)]
        source = ["--urls", "-" if pasted else listed.name]
        return Command([*arguments, *source, *kind, *columns, *keep], "\n".join(lines[:MOST_LINES]), max(0, len(lines) - MOST_LINES))
    words = [item.keyword for item in body.asked]
    if all(item.label is None and item.max_images is None for item in body.asked) and _fit(words):
        return Command([*arguments[:2], *words, *arguments[2:]])
    return Command([*arguments, "--keywords-file", "-"], "\n".join(map(_line, body.asked)))


_COLUMNS: Final = {
    "url_column": "--url-col",
    "caption_column": "--caption-col",
    "label_column": "--label-col",
    "license_column": "--license-col",
    "group_column": "--group-col",
}

_VALUES: Final = {
    "name": "--name",
    "label": "--label",
    "into": "--into",
    "license_unknown": "--license-unknown",
    "max_images": "-n",
    "per_label": "--per-label",
    "where": "--where",
    "max_per_label": "--max-per-label",
    "validation_level": "--level",
    "label_conflicts": "--label-conflicts",
    "export_format": "--format",
}
"""Options that take the value of a field as it is."""

_UNLESS: Final = {
    "expand": (0, "--expand"),
    "min_images": (0, "--min-images"),
    "min_images_per_label": (0, "--min-images-per-label"),
    "dedupe": ("near", "--dedupe"),
    "captions": ("first", "--captions"),
    "seed": (0, "--seed"),
}
"""The same, with the default that needs no option."""


def _fit(words: Sequence[str]) -> bool:
    return len(words) <= MOST_ARGUMENTS and not any(word.startswith("-") for word in words)


def _line(item: Keyword) -> str:
    values = {"keyword": item.keyword, "label": item.label, "number": item.max_images}
    return json.dumps({name: value for name, value in values.items() if value is not None}, ensure_ascii=False)


def _options(body: NewJob, rules: ValidationRules) -> Iterator[str]:
    for name in body.sources if body.keywords else ():
        yield from ("--source", name)
    for url in body.pages.urls if body.pages else ():
        yield from ("--pages", url)
    yield from _crawl(body)
    if body.expand:
        yield from (part for code in body.lang for part in ("--lang", code))
    if body.license:
        yield from ("--license", ",".join(body.license))
    for name, option in _VALUES.items():
        if (value := getattr(body, name)) is not None:
            yield from (option, str(value))
    for name, (default, option) in _UNLESS.items():
        if (value := getattr(body, name)) != default:
            yield from (option, str(value))
    if body.min_width is not None or body.min_height is not None:
        yield from ("--min-size", f"{body.min_width or rules.min_width}x{body.min_height or rules.min_height}")
    yield from _form(body)
    yield from (option for name, option in (("balance", "--balance"), ("refresh", "--refresh")) if getattr(body, name))


def _crawl(body: NewJob) -> Iterator[str]:
    if body.pages is None:
        return
    for name in ("depth", "max_pages"):
        if name in body.pages.model_fields_set:
            yield from (f"--{name.replace('_', '-')}", str(getattr(body.pages, name)))
    for host in body.pages.follow_hosts:
        yield from ("--follow-hosts", host)
    if body.pages.css_images:
        yield "--css-images"


def _form(body: NewJob) -> Iterator[str]:
    """In which form images leave."""
    rules = body.compression
    if rules is not None:
        yield from ("--encode", rules.format if rules.format == "keep" else f"{rules.format}:{rules.level}")
        yield from ("--resize", rules.resize)
        if rules.resize != "none":
            yield from ("--size", str(rules.size), "--only-if-bigger" if rules.only_if_bigger else "--no-only-if-bigger")
    for name in body.also:
        yield from ("--also", name)
    if body.splits != {"train": 1.0}:
        yield from ("--split", shares_text(body.splits))
    if body.split_by:
        yield from ("--split-by", ",".join(body.split_by))
