"""The base of what comes from outside, and its words: what no field of a request or a setting may hold is refused here."""

import re
from typing import Annotated, Any, Final, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from app.invisible import find_invisible

__all__ = ["Strict", "Word"]


def _refuse_invisible(text: str) -> str:
    if found := find_invisible(text):
        raise ValueError(f"{text[:40]!a} holds the invisible character {found}; remove it")
    return text


Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), AfterValidator(_refuse_invisible)]
"""A keyword, a label or a name."""


class Strict(BaseModel):
    """Base of what comes from outside: unknown fields, numbers without an end, truth values for numbers, and texts that no database
    stores are refused.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _without_unstorable_text(cls, value: Any) -> Any:
        if _holds_unstorable_text(value):
            raise ValueError("text must contain neither NUL nor half of a surrogate pair")
        return value

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        wanted = cls.model_fields[str(info.field_name)].annotation
        inside = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
        if any(item is True or item is False for item in (value, *inside)) and _takes_numbers(wanted):
            raise ValueError("true and false are no numbers; write the number")
        return value


def _holds_unstorable_text(value: Any) -> bool:
    """PostgreSQL stores no NUL, and UTF-8 has no lone surrogates. A loop: JSON may be nested deeper than we may recurse."""
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if isinstance(current, str) and _UNSTORABLE.search(current):
            return True
        if isinstance(current, dict):
            waiting += [*current.keys(), *current.values()]
        elif isinstance(current, list):
            waiting += current
    return False


_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")


def _takes_numbers(annotation: Any) -> bool:
    """Whether a type, or one inside of it, is a number."""
    return annotation in (int, float) or any(map(_takes_numbers, get_args(annotation)))
