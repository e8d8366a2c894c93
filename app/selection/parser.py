"""Parses the text of ``--where`` by recursive descent.

::

    either     = each ("or" each)*
    each       = one ("and" one)*
    one        = "not" one | "(" either ")" | comparison
    comparison = name operator value | name ["not"] "in" "(" value ("," value)* ")" | name "is" ["not"] ("known" | "unknown")
    operator   = "=" | "!=" | "<" | "<=" | ">" | ">=" | "~" | "!~"
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import errors
from app.discovery.licences.policy import LicencePolicy
from app.domain import StoredImage
from app.selection.expressions import And, Comparison, Expression, Not, Or, Test, Value, as_number, make_test, to_text
from app.selection.fields import COLUMN_PREFIX, FIELDS, FORMATS, Field, Kind, column, suggest
from app.selection.tokens import Token, TokenKind, fail, tokenize

__all__ = ["MAX_DEPTH", "Selection", "parse"]

MAX_DEPTH: Final = 50
"""Parentheses and ``not`` within each other."""

_ORDER = ("<", "<=", ">", ">=")
_RESERVED = ("and", "or", "not", "in", "is")


@dataclass(frozen=True, slots=True)
class Selection:
    """A parsed selection; its text is one that parses to the same."""

    expression: Expression
    _test: Test = field(compare=False, repr=False)

    def matches(self, image: StoredImage) -> bool:
        """Whether an image is selected."""
        return self._test(image)

    @property
    def names(self) -> frozenset[str]:
        """The names that it asks for."""
        return frozenset(_names(self.expression))

    def __str__(self) -> str:
        return to_text(self.expression)


def parse(text: str) -> Selection:
    """Parse a selection.

    Raises:
        errors.ValidationError: it is none; the message has the position, counted from 1, what stands there, and what was expected.
    """
    parser = _Parser(tokenize(text))
    expression = parser.either(0)
    parser.expect_end()
    return Selection(expression, make_test(expression))


def _names(expression: Expression) -> Iterator[str]:
    match expression:
        case Comparison():
            yield expression.field.name
        case Not(operand):
            yield from _names(operand)
        case And(operands) | Or(operands):
            for one in operands:
                yield from _names(one)


class _Parser:
    """The tokens, and the place of the next one."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._place = 0

    @property
    def _next(self) -> Token:
        return self._tokens[self._place]

    def _take(self) -> Token:
        token = self._next
        self._place += token.kind is not TokenKind.END
        return token

    def _take_word(self, *words: str) -> str | None:
        return self._take().text.lower() if self._next.is_word(*words) else None

    def _take_mark(self, mark: str, expected: str) -> None:
        if not self._next.is_mark(mark):
            raise fail(self._next, f"expected {expected}")
        self._take()

    def expect_end(self) -> None:
        if self._next.kind is not TokenKind.END:
            raise fail(self._next, "expected and, or, or the end; a value of several words stands in quotes")

    def either(self, depth: int) -> Expression:
        operands = [self._each(depth)]
        while self._take_word("or"):
            operands.append(self._each(depth))
        return operands[0] if len(operands) == 1 else Or(tuple(operands))

    def _each(self, depth: int) -> Expression:
        operands = [self._one(depth)]
        while self._take_word("and"):
            operands.append(self._one(depth))
        return operands[0] if len(operands) == 1 else And(tuple(operands))

    def _one(self, depth: int) -> Expression:
        if depth > MAX_DEPTH:
            raise fail(self._next, f"more than {MAX_DEPTH} parentheses or not within each other")
        if self._take_word("not"):
            return Not(self._one(depth + 1))
        if self._next.is_mark("("):
            self._take()
            inner = self.either(depth + 1)
            self._take_mark(")", "and, or, or )")
            return inner
        return self._comparison()

    def _comparison(self) -> Expression:
        name = self._name()
        if self._take_word("is"):
            return self._is_known(name)
        at = self._next
        sign = self._operator(name)
        if not sign.endswith("in"):
            return Comparison(name, sign, (self._value(name, sign),))
        self._take_mark("(", f"( after {sign}, as in {name.name} {sign} (a, b)")
        values = [self._value(name, sign)]
        while self._next.is_mark(","):
            self._take()
            values.append(self._value(name, sign))
        self._take_mark(")", f", or ) in the list that begins at position {at.at}")
        return Comparison(name, sign, tuple(values))

    def _name(self) -> Field:
        token = self._take()
        if token.kind is TokenKind.QUOTED:
            return column(token.text)
        if token.kind is not TokenKind.WORD or token.is_word(*_RESERVED):
            raise fail(token, "expected a name, as in label = cat")
        if token.text.startswith(COLUMN_PREFIX) and token.text != COLUMN_PREFIX:
            return column(token.text.removeprefix(COLUMN_PREFIX))
        if token.text.lower() not in FIELDS:
            raise fail(token, suggest(token.text))
        return FIELDS[token.text.lower()]

    def _is_known(self, name: Field) -> Expression:
        negated = self._take_word("not")
        token = self._take()
        if not token.is_word("known", "unknown"):
            raise fail(token, "expected known or unknown")
        is_unknown = token.is_word("unknown") != bool(negated)
        return Comparison(name, "=" if is_unknown else "!=", (None,))

    def _operator(self, name: Field) -> str:
        token = self._take()
        sign = token.text if token.kind is TokenKind.OPERATOR else token.text.lower() if token.is_word("in", "not") else ""
        if sign == "not":
            if not self._take_word("in"):
                raise fail(self._next, "expected in after not")
            sign = "not in"
        if sign not in name.kind.operators:
            what = "expected" if not sign else f"{name.name} is {name.kind.value}, compared with"
            raise fail(token, f"{what} {', '.join(name.kind.operators)}, is known or is unknown")
        return sign

    def _value(self, name: Field, sign: str) -> Value:
        token = self._take()
        if token.kind not in (TokenKind.WORD, TokenKind.QUOTED):
            raise fail(token, f"expected a value of {name.name}")
        if token.is_word(*_RESERVED):
            raise fail(token, f"expected a value of {name.name}; a value that is this word stands in quotes")
        if token.is_word("none"):
            if sign not in ("=", "!=", "in", "not in"):
                raise fail(token, f"a missing value is found by {name.name} is unknown")
            return None
        return _convert(token, name, sign)


def _convert(token: Token, name: Field, sign: str) -> Value:
    """The value that a token gives for a field; its kind decides what is one."""
    if name.kind is Kind.NUMBER or sign in _ORDER:
        number = as_number(token.text)
        if number is None:
            raise fail(token, f"expected a number for {name.name} {sign}")
        return number
    if name.kind is Kind.FORMAT and token.text.lower() not in FORMATS:
        raise fail(token, f"there is no such format; there are {', '.join(FORMATS)}")
    if name.kind is Kind.LICENCE:
        try:
            LicencePolicy.of([token.text])
        except errors.ValidationError as error:
            raise fail(token, error.message) from error
    return token.text.lower() if name.kind is Kind.FORMAT else token.text
