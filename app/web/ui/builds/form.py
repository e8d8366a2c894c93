"""From what is typed into the form to the request of a build, or to what is wrong with each field; and from a job back to the form.

Pure: asks nobody and stores nothing.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from pydantic import ValidationError

import errors
from app import discovery
from app.discovery import keyword_file
from app.discovery import urls as url_reading
from app.discovery.licences.policy import policy_for
from app.formatting import clipped
from app.jobs import settle
from app.resources import source_options
from app.rules import DEFAULT_SPLIT_BY
from app.settings import Settings
from app.spec import JobSpec
from app.split_names import parse_shares, shares_text
from app.validation_errors import requirement
from app.web.api.jobs import NewJob
from app.web.ui.builds.fields import COLUMNS, FIELDS, LICENCES, OWN_LICENCES, PAGES

__all__ = ["DEFAULTS", "Filled", "Values", "in_form_words", "like", "read"]

DEFAULTS: Final[Mapping[str, Sequence[str]]] = {"input": ["keywords"], "sources": ["wikimedia"], "dedupe": ["near"], "captions": ["first"]}

_PLAIN: Final = (
    "name",
    "label",
    "into",
    "where",
    "license_unknown",
    "validation_level",
    "dedupe",
    "label_conflicts",
    "export_format",
    "captions",
)
_NUMBERS: Final = (
    "max_images",
    "per_label",
    "min_images",
    "min_images_per_label",
    "max_per_label",
    "min_width",
    "min_height",
    "seed",
    "priority",
)
_PLACES: Final[Mapping[tuple[str, ...], str]] = {
    ("pages", "urls"): "pages",
    ("compression", "format"): "encode",
    ("compression", "level"): "quality",
    ("compression", "only_if_bigger"): "enlarge",
    ("compression",): "size",
}
"""Fields of the form that have another name than their place in the request."""

_NAME: Final = re.compile(rf"\b({'|'.join(sorted(FIELDS, key=len, reverse=True))})\b")


@dataclass(frozen=True, slots=True)
class Values:
    """What is typed into each field, as texts."""

    given: Mapping[str, Sequence[str]]

    def raw(self, name: str) -> str:
        """The text of a field as it was typed."""
        return next(iter(self.given.get(name, ())), "")

    def text(self, name: str) -> str:
        """The text of a field without spaces around it."""
        return self.raw(name).strip()

    def words(self, name: str) -> list[str]:
        """The words of a field, which have commas between them."""
        return [word.strip() for word in self.raw(name).split(",") if word.strip()]

    def chosen(self, name: str) -> list[str]:
        """The boxes of a field that are ticked."""
        return [value for value in self.given.get(name, ()) if value]


@dataclass(frozen=True, slots=True)
class Filled:
    """What was read from the form.

    Attributes:
        document: the body of ``POST /v1/jobs``.
        body: it, checked; ``None`` where something is wrong.
        problems: what is wrong, in words, by field; under the empty name what belongs to no field.
    """

    document: dict[str, Any]
    body: NewJob | None
    problems: dict[str, str] = field(default_factory=dict)


def read(values: Values, settings: Settings, *, listed: Sequence[str] = (), starts: bool = False) -> Filled:
    """Read and check the form.

    Args:
        listed: what stands for the rows of a list.
        starts: the build is started, so that its sources have to be ready.
    """
    problems: dict[str, str] = {}
    document: dict[str, Any] = {}
    for name, part in _PARTS.items():
        try:
            document |= part(values, settings)
        except (errors.PermanentError, ValueError) as error:
            problems[name] = in_form_words(str(error))
    if values.text("input") == "list":
        document["urls"] = list(listed) or ["a list"]
    checked = document | {name: _STAND_INS[name] for name in problems if name in _STAND_INS}  # so that the other fields are checked too
    try:
        body = NewJob.model_validate(checked)
    except ValidationError as error:
        for item in error.errors():
            problems.setdefault(_place(item), in_form_words(_words(item)))
        return Filled(document, None, problems)
    problems = dict(_refusals(body, settings, starts=starts)) | problems
    return Filled(document, None if problems else body, problems)


_STAND_INS: Final[Mapping[str, Any]] = {"keywords": ["any"], "pages": {"urls": ["https://example.org/"]}}
"""Of fields that have an error of their own."""


def in_form_words(text: str) -> str:
    """A message with the labels of fields instead of their names, and without options of the command line."""
    text = re.sub(r"(?:rename it to end in \S+, or )?add --list-format (\S+)", r"choose \1 as the format of the list", text)
    text = text.replace("add --contact you@example.org, or for a server set", "set")
    return _NAME.sub(lambda match: f"“{FIELDS[match[0]].label}”" if "_" in match[0] else match[0], text)


def _place(item: Any) -> str:
    """The field that an error belongs to: by its place in the request, else the first one that it names."""
    path = tuple(step for step in item["loc"] if isinstance(step, str))
    for end in range(len(path), 0, -1):
        name = _PLACES.get(path[:end]) or path[end - 1]
        if name in FIELDS:
            return name
    named = _NAME.search(requirement(item))
    return named[0] if named else ""


def _words(item: Any) -> str:
    value = item["input"]
    words = requirement(item)
    if item["loc"][:1] == ("sources",) and not value:
        return "choose at least one source"
    is_value = isinstance(value, str | int | float) and item["type"] != "value_error"
    return f"{clipped(str(value), 60)!r} {words}" if is_value else words


def _refusals(body: NewJob, settings: Settings, *, starts: bool) -> Iterator[tuple[str, str]]:
    """What a build refuses of a valid request, by field."""
    compression = (body.compression or settings.compress).rules()
    first = body.export_format or settings.export.format
    checks: list[tuple[str, Callable[[], Any]]] = [
        ("where", lambda: settle.parse_selection(body.where, is_build=True)),
        ("license", lambda: policy_for(body.license, body.license_unknown, is_search=bool(body.keywords))),
        ("export_format", lambda: settle.settle_formats(first, [], compression)),
        ("also", lambda: settle.settle_formats(first, body.also, compression)),
    ]
    if starts and body.keywords:
        checks += [("sources", lambda name=name: discovery.check_source(name, source_options(settings, name))) for name in body.sources]  # type: ignore[misc]
    refused: set[str] = set()
    for name, check in checks:
        try:
            check()
        except errors.PermanentError as error:
            if name not in refused and not (name == "also" and "export_format" in refused):
                refused.add(name)
                yield name, in_form_words(str(error).removeprefix(f"{name}: "))


# The parts of a request


def _keywords(values: Values, _: Settings) -> dict[str, Any]:
    if values.text("input") != "keywords":
        return {}
    try:
        found = keyword_file.parse(values.raw("keywords").encode("utf-8", "replace"), "keywords")
    except errors.ValidationError as error:
        raise errors.ValidationError(str(error).removeprefix("keywords: ")) from error
    listed = [item.model_dump(exclude_none=True) if item.label or item.max_images else item.keyword for item in found]
    return {"keywords": listed, "sources": values.chosen("sources")}


def _pages(values: Values, _: Settings) -> dict[str, Any]:
    if values.text("input") != "pages":
        return {}
    lines = [line for line in values.raw("pages").splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        raise errors.ValidationError("there is no page; write a URL a line, as in https://example.org/gallery")
    try:
        pages: dict[str, Any] = {"urls": list(dict.fromkeys(url_reading.read_each(lines, "pages")))}
    except errors.ValidationError as error:
        raise errors.ValidationError(str(error).removeprefix("pages: ")) from error
    numbers = {name: _number(values.text(name)) for name in ("depth", "max_pages") if values.text(name)}
    hosts = {"follow_hosts": values.words("follow_hosts")} if values.words("follow_hosts") else {}
    return {"pages": pages | numbers | hosts | ({"css_images": True} if values.text("css_images") else {})}


def _license(values: Values, _: Settings) -> dict[str, Any]:
    choice = values.text("license")
    if choice == OWN_LICENCES:
        if not values.words("license_words"):
            raise errors.ValidationError("there is no word; write some, as in cc0, by, or make another choice")
        return {"license": values.words("license_words")}
    if choice not in {licence.value for licence in LICENCES}:
        raise errors.ValidationError(f"{clipped(choice, 60)!r} is no choice; choose one of these")
    return {"license": choice.split(",")} if choice else {}


def _compression(values: Values, settings: Settings) -> dict[str, Any]:
    """The rules of the settings, with what was chosen."""
    given = {name: values.text(name) for name in ("encode", "quality", "resize", "size", "enlarge")}
    if not any(given.values()):
        return {}
    rules = asdict(settings.compress.rules())
    rules |= {"format": given["encode"] or rules["format"], "resize": given["resize"] or rules["resize"]}
    if given["quality"] and (rules["format"] == "keep" or not given["encode"]):
        raise errors.ValidationError(f"quality {clipped(given['quality'], 20)} has no effect without an encoding; choose one, or empty it")
    if rules["resize"] == "none" and (given["size"] or given["enlarge"]):
        raise errors.ValidationError("size and enlarging have no effect without resizing; choose how, or empty them")
    rules |= {"level": _number(given["quality"])} if given["quality"] else {}
    rules |= {"size": _number(given["size"])} if given["size"] else {}
    return {"compression": rules | ({"only_if_bigger": False} if given["enlarge"] else {})}


def _splits(values: Values, _: Settings) -> dict[str, Any]:
    text = values.text("splits")
    try:
        return {"splits": parse_shares(text)} if text else {}
    except ValueError as error:
        raise errors.ValidationError(f"{error}; write train=0.8,val=0.1,test=0.1") from error


def _rest(values: Values, _: Settings) -> dict[str, Any]:
    found: dict[str, Any] = {name: values.text(name) for name in _PLAIN if values.text(name)}
    found |= {name: _number(values.text(name)) for name in _NUMBERS if values.text(name)}
    found |= {name: values.chosen(name) for name in ("also", "split_by") if values.chosen(name)}
    found |= {name: True for name in ("balance", "refresh") if values.text(name)}
    if values.text("input") == "keywords":
        found |= {"expand": _number(values.text("expand"))} if values.text("expand") else {}
        found |= {"lang": values.words("lang")} if values.words("lang") else {}
    return {name: value for name, value in found.items() if (name, value) not in (("dedupe", "near"), ("captions", "first"))}


_PARTS: Final[Mapping[str, Callable[[Values, Settings], dict[str, Any]]]] = {
    "keywords": _keywords,
    "pages": _pages,
    "license": _license,
    "encode": _compression,
    "splits": _splits,
    "": _rest,
}


def _number(text: str) -> int | str:
    """A whole number; what is none stays text, which the request refuses with its words."""
    return int(text) if re.fullmatch(r"[+-]?\d{1,18}", text, re.ASCII) else text


# From a job back to the form


def like(spec: JobSpec, settings: Settings, *, name: str = "", priority: int = 0) -> Values:
    """Fill the form in as the request that a job was made of. What the settings decide as well is left open."""
    source = "keywords" if spec.keywords else "pages" if spec.pages else "list"
    given: dict[str, Any] = {"input": source, "name": name, "priority": priority or "", "splits": shares_text(spec.splits)}
    given |= {"keywords": _keywords_text(spec), "sources": spec.sources, "expand": spec.expand or "", "lang": ", ".join(spec.lang)}
    given |= {name: getattr(spec, name) or "" for name in ("label", "into", "where", "max_images", "per_label", "max_per_label", "also")}
    given |= {name: getattr(spec, name) or "" for name in ("min_images", "min_images_per_label", "seed", "balance", "refresh")}
    given |= {name: getattr(spec, name) for name in ("dedupe", "captions", "export_format")}
    is_usual = (spec.label_conflicts, spec.url_label_conflicts) == (settings.validate_.label_conflicts, "keep")
    given |= {} if is_usual else {"label_conflicts": spec.label_conflicts}
    given |= {"split_by": () if spec.split_by == DEFAULT_SPLIT_BY else spec.split_by}
    usual = settings.validate_.rules()
    given |= {"validation_level": spec.validation.level}
    given |= {
        side: getattr(spec.validation, side)
        for side in ("min_width", "min_height")
        if getattr(spec.validation, side) != getattr(usual, side)
    }
    rules = spec.compression
    given |= {"encode": rules.format, "quality": "" if rules.format == "keep" else rules.level, "resize": rules.resize}
    given |= {} if rules.resize == "none" else {"size": rules.size, "enlarge": "" if rules.only_if_bigger else "1"}
    given |= _licence_choice(spec)
    if spec.pages:
        given |= {name: getattr(spec.pages, name) for name in PAGES if name != "follow_hosts"}
        given |= {"pages": "\n".join(spec.pages.urls), "follow_hosts": ", ".join(spec.pages.follow_hosts)}
    if spec.url_list:
        given |= {name: getattr(spec.url_list, name) or "" for name in COLUMNS if name != "keep_columns"}
        keep = spec.url_list.keep_columns
        given |= {"keep_columns": "" if keep is None else ", ".join(keep) or "none"}
        given |= {"list_key": spec.url_list.key, "list_name": spec.url_list.name}
    return Values({field: _texts(value) for field, value in given.items()})


def _licence_choice(spec: JobSpec) -> dict[str, str]:
    usual = policy_for(None, None, is_search=bool(spec.keywords))
    if (tuple(spec.license), spec.license_unknown) == (usual.words, usual.unknown):
        return {"license": ""}
    choice = ",".join(spec.license)
    is_known = choice in {licence.value for licence in LICENCES}
    return {"license_unknown": spec.license_unknown} | (
        {"license": choice} if is_known else {"license": OWN_LICENCES, "license_words": choice}
    )


def _texts(value: Any) -> list[str]:
    if isinstance(value, list | tuple):
        return [str(item) for item in value]
    return [] if value is False or value in ("", None) else ["1" if value is True else str(value)]


def _keywords_text(spec: JobSpec) -> str:
    """The keywords one a line, or as a table where one has a label or a number of its own."""
    labels = [spec.keyword_labels.get(word, "") for word in spec.keywords]
    own = ["" if label in (spec.label, discovery.keywords.slug(word)) else label for word, label in zip(spec.keywords, labels, strict=True)]
    if not any(own) and not spec.keyword_targets:
        return "\n".join(spec.keywords)
    table = io.StringIO()
    rows = ((word, label, spec.keyword_targets.get(word, "")) for word, label in zip(spec.keywords, own, strict=True))
    csv.writer(table, lineterminator="\n").writerows([("keyword", "label", "number"), *rows])
    return table.getvalue()
