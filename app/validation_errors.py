"""What pydantic finds wrong with a value, in our words.

The command line puts the option in front of them, the API the place in the body, the settings the setting and where it was set.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, get_args

from app.formatting import clipped

if TYPE_CHECKING:  # every command imports this module, and --help loads nothing heavy
    from pydantic import BaseModel

__all__ = ["near_field", "requirement", "with_value"]

_WHOLE = "must be a whole number"
_NUMBER = "must be a number"
_TEXT = "must be text"
_TRUTH = "must be true or false"
_LIST = "must be a list"
_OBJECT = "must be an object"

_WORDS: Final[Mapping[str, str]] = {
    "missing": "is required",
    **dict.fromkeys(("extra_forbidden", "unexpected_keyword_argument"), "is not known here"),
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "finite_number": "must be a finite number",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
    "too_short": "must have at least {min_length} items",
    "too_long": "must have at most {max_length} items",
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float", "int_parsing_size"), _WHOLE),
    **dict.fromkeys(("float_parsing", "float_type"), _NUMBER),
    **dict.fromkeys(("string_type", "string_unicode", "path_type"), _TEXT),
    **dict.fromkeys(("bool_parsing", "bool_type"), _TRUTH),
    **dict.fromkeys(("list_type", "tuple_type"), _LIST),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), _OBJECT),
}
"""Words by pydantic's type of error; its context fills the braces. Errors of our own validators have their own words."""


def requirement(error: Mapping[str, Any]) -> str:
    """``must be at least 8``: what the value has to be."""
    words = _WORDS.get(error["type"])
    if words is None:
        return str(error["msg"]).removeprefix("Value error, ")
    context = dict(error.get("ctx") or {})
    if context.get("min_length") == 1:
        return "must not be empty"
    if "expected" in context:
        context["expected"] = str(context["expected"]).replace("'", "")
    return words.format(**context)


def with_value(error: Mapping[str, Any]) -> str:
    """``must be at least 8, not 0``: with the value if it is a number; text is not quoted, it may be a secret."""
    value = error.get("input")
    is_shown = isinstance(value, int | float) and error["type"] not in ("value_error", "extra_forbidden")
    return f"{requirement(error)}, not {clipped(repr(value), 60)}" if is_shown else requirement(error)


def near_field(models: "Iterable[type[BaseModel]]", place: Sequence[str | int]) -> str | None:
    """Return the field that may be meant by the last step of a place in a value of one of these models.

    Args:
        place: as pydantic names it: fields, positions in lists and tags of unions.
    """
    *parents, name = place
    level = list(models)
    for step in parents:
        fields = [field for model in level if (field := model.model_fields.get(str(step))) is not None]
        level = [inner for field in fields for inner in _models_in(field.annotation)] or level
    near = difflib.get_close_matches(str(name)[:_LONGEST], [field for model in level for field in model.model_fields], n=1)
    return near[0] if near else None


_LONGEST = 100  # characters of a name that are compared


def _models_in(annotation: Any) -> "Iterator[type[BaseModel]]":
    """Yield the models in a type: itself, and those of its arguments."""
    if isinstance(annotation, type) and hasattr(annotation, "model_fields"):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)
