"""The form for an export: from what is typed into it to the request, or to what is wrong with each field. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args

from pydantic import ValidationError
from starlette.datastructures import FormData

from app.domain import ExportFormat
from app.rules import Encode, Resize
from app.validation_errors import with_value
from app.web.api.datasets import NewExport

__all__ = ["CHOICES", "Problems", "fields_of", "place_of_error", "read"]

Problems = Mapping[str, str]
"""What is wrong, by field; of no field in particular under an empty name."""

CHOICES: Final[Mapping[str, Sequence[str]]] = {
    "export_format": get_args(ExportFormat),
    "encode": get_args(Encode),
    "resize": get_args(Resize),
    "captions": ("first", "all"),
}

_TEXTS: Final = ("export_format", "where", "captions", "destination")
_NUMBERS: Final = ("max_per_label", "shard_samples")
_PLACES: Final = {"format": "encode", "level": "quality", "only_if_bigger": "enlarge", "compression": "size"}
"""Fields of the form that have another name than in the request."""

_NAMED: Final = ("where", "destination", "also", "export_format", "size", "quality")


def fields_of(form: FormData) -> dict[str, str]:
    """What was typed, to be shown again; formats besides the first as one text."""
    typed = {name: str(value).strip() for name, value in form.multi_items() if name not in ("also", "csrf_token")}
    return typed | {"also": " ".join(str(value) for value in form.getlist("also"))}


def read(fields: Mapping[str, str]) -> tuple[NewExport | None, Problems]:
    """Return the request that the fields make, or what is wrong with them."""
    body: dict[str, Any] = {name: fields[name] for name in _TEXTS if fields.get(name)}
    body |= {name: _number(fields[name]) for name in _NUMBERS if fields.get(name)}
    body["also"] = fields.get("also", "").split()
    body |= {"balance": "balance" in fields, "overwrite": "overwrite" in fields, "private": "public" not in fields}
    if compression := _compression(fields):
        body["compression"] = compression
    try:
        return NewExport(**body), {}
    except ValidationError as error:
        return None, {_place(item["loc"]): with_value(item) for item in reversed(error.errors())}


def _compression(fields: Mapping[str, str]) -> dict[str, Any]:
    """Only where something is asked for: without it the images stay as the dataset has them."""
    given: dict[str, Any] = {"format": fields["encode"]} if fields.get("encode", "keep") != "keep" else {}
    given |= {"resize": fields["resize"]} if fields.get("resize", "none") != "none" else {}
    if given:
        given |= {place: _number(fields[name]) for name, place in (("quality", "level"), ("size", "size")) if fields.get(name)}
        given["only_if_bigger"] = "enlarge" not in fields
    return given


def _number(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() else text


def _place(loc: Sequence[int | str]) -> str:
    names = [str(step) for step in loc if isinstance(step, str)]
    return _PLACES.get(names[-1], names[-1]) if names else ""


def place_of_error(text: str) -> str:
    """The field that a message of ours begins with; empty where it names none."""
    return next((name for name in _NAMED if text.startswith(name)), "")
