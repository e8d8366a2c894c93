"""A selection as a tree, its text, and the function that tests an image. Two-valued: a missing value equals nothing and is in no order,
so ``=``, ``<``, ``~`` and ``in`` are false for it, and ``!=``, ``!~`` and ``not in``, which negate them, are true.
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from app.discovery.licences.policy import LicencePolicy
from app.domain import StoredImage
from app.selection.fields import COLUMN_PREFIX, FORMATS, Field, Kind
from app.selection.tokens import quote

__all__ = ["And", "Comparison", "Expression", "Not", "Or", "Test", "Value", "as_number", "make_test", "to_text"]

Test = Callable[[StoredImage], bool]

Value = str | float | None
"""What an image is compared with; None is the word ``none``: a missing value."""

NEGATIONS: Final[Mapping[str, str]] = MappingProxyType({"!=": "=", "not in": "in", "!~": "~"})
"""Operators that are true where another one is false."""

_ORDERS: Final[Mapping[str, Callable[[Any, Any], bool]]] = MappingProxyType(
    {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
)

_PLAIN = re.compile(r"[^\W\d][\w.-]*")
"""A text that needs no quotes."""

_RESERVED = frozenset({"and", "or", "not", "in", "is", "none"})

_NUMBER = re.compile(r"[+-]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})([eE][+-]?\d{1,3})?")

EXACT_INTEGERS: Final = 2**53
"""Below it each integer is a float."""

_LICENCES_CACHED = 1_000


@dataclass(frozen=True, slots=True)
class Comparison:
    """A field compared with one value, or with several by ``in``."""

    field: Field
    operator: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """True where its operand is false."""

    operand: "Expression"


@dataclass(frozen=True, slots=True)
class And:
    """True where each of its operands is."""

    operands: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """True where one of its operands is."""

    operands: tuple["Expression", ...]


Expression = Comparison | Not | And | Or


def as_number(text: str) -> float | None:
    """The number that a text is, None for any other text and for one that is not finite."""
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if abs(value) != float("inf") else None


# The text


def to_text(expression: Expression) -> str:
    """The expression as it can be parsed again, each operand that is itself composed in parentheses."""
    match expression:
        case Not(operand):
            return f"not {_operand(operand)}"
        case And(operands):
            return " and ".join(map(_operand, operands))
        case Or(operands):
            return " or ".join(map(_operand, operands))
        case Comparison(field, sign, values):
            texts = ", ".join(map(_value_text, values))
            return f"{_name_text(field)} {sign} {f'({texts})' if sign.endswith('in') else texts}"


def _operand(expression: Expression) -> str:
    return to_text(expression) if isinstance(expression, Comparison) else f"({to_text(expression)})"


def _name_text(field: Field) -> str:
    if field.kind is not Kind.COLUMN:
        return field.name
    name = field.name.removeprefix(COLUMN_PREFIX)
    return field.name if _PLAIN.fullmatch(name) else quote(name)


def _value_text(value: Value) -> str:
    if value is None:
        return "none"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < EXACT_INTEGERS else repr(value)
    return value if _PLAIN.fullmatch(value) and value.lower() not in _RESERVED else quote(value)


# The test


def make_test(expression: Expression) -> Test:
    """Return the function that says whether an image is selected."""
    match expression:
        case Not(operand):
            return _negate(make_test(operand))
        case And(operands):
            every = [make_test(one) for one in operands]
            return lambda image: all(test(image) for test in every)
        case Or(operands):
            some = [make_test(one) for one in operands]
            return lambda image: any(test(image) for test in some)
        case Comparison(field, sign, values) if sign in NEGATIONS:
            return _negate(make_test(Comparison(field, NEGATIONS[sign], values)))
        case Comparison(field, sign, values):
            read, tests = field.read, [_value_test(field.kind, sign, value) for value in values]
            return lambda image: any(test(read(image)) for test in tests)


def _negate(test: Test) -> Test:
    return lambda image: not test(image)


def _value_test(kind: Kind, sign: str, value: Value) -> Callable[[Any], bool]:
    """The test of what a field reads, which is None where it is missing."""
    if value is None:
        return lambda found: found is None
    if sign in _ORDERS:
        compare = _ORDERS[sign]
        return lambda found: (number := _number_of(found)) is not None and compare(number, value)
    if sign == "~":
        return _in_any(_pattern_test(str(value)))
    return _equality_test(kind, value)


def _equality_test(kind: Kind, value: str | float) -> Callable[[Any], bool]:
    if isinstance(value, float):
        return lambda found: found == value
    if kind is Kind.LICENCE:
        allows = lru_cache(_LICENCES_CACHED)(LicencePolicy.of([value]).allows)
        return lambda found: found is not None and allows(found)
    if kind is Kind.FORMAT:
        return lambda found: found == FORMATS[value]
    folded, number = value.casefold(), as_number(value) if kind is Kind.COLUMN else None
    is_same = _in_any(lambda text: text == folded)
    return lambda found: is_same(found) or (number is not None and _number_of(found) == number)


def _in_any(test: Callable[[str], bool]) -> Callable[[Any], bool]:
    """A test of one folded text, or of any of several."""
    return lambda found: found is not None and any(test(_text_of(one).casefold()) for one in _each(found))


def _each(found: Any) -> Iterable[Any]:
    return found if isinstance(found, list) else (found,)


def _text_of(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number_of(found: Any) -> float | None:
    if isinstance(found, str):
        return as_number(found.strip())
    return found if isinstance(found, int | float) and not isinstance(found, bool) else None


def _pattern_test(pattern: str) -> Callable[[str], bool]:
    """Without ``*`` the pattern is anywhere in the text; with it, it is the whole text, each ``*`` any number of characters."""
    first, *rest = pattern.casefold().split("*")
    if not rest:
        return lambda text: first in text
    *middle, last = rest
    least = sum(map(len, (first, *rest)))

    def matches(text: str) -> bool:
        if len(text) < least or not (text.startswith(first) and text.endswith(last)):
            return False
        place, end = len(first), len(text) - len(last)
        for part in middle:
            place = text.find(part, place, end)
            if place < 0:
                return False
            place += len(part)
        return True

    return matches
