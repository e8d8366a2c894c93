"""The words, numbers, quoted texts and operators of a selection, each with its position."""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

import errors
from app.formatting import clipped

__all__ = ["MAX_CHARS", "Token", "TokenKind", "fail", "quote", "tokenize"]

MAX_CHARS: Final = 4_000
"""Characters of a selection: some hundred comparisons."""

SHOWN_CHARS: Final = 40

_TOKEN = re.compile(
    r"""(?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<operator><=|>=|!=|!~|==|[=<>~])|(?P<mark>[(),])|(?P<word>[^\s()'",=!<>~]+)""",
    re.DOTALL,
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


class TokenKind(Enum):
    """Kind of a token; the value is what messages call it."""

    WORD = "a word"
    QUOTED = "a quoted text"
    OPERATOR = "an operator"
    MARK = "a mark"
    END = "the end"


@dataclass(frozen=True, slots=True)
class Token:
    """One token. ``text`` is without quotes and escapes; ``at`` counts characters from 1."""

    kind: TokenKind
    text: str
    at: int

    def is_word(self, *words: str) -> bool:
        """Whether it is one of these words, in any case, and not quoted."""
        return self.kind is TokenKind.WORD and self.text.lower() in words

    def is_mark(self, mark: str) -> bool:
        """Whether it is this mark."""
        return self.kind is TokenKind.MARK and self.text == mark


def tokenize(text: str) -> list[Token]:
    """Return the tokens of a text; the last one is its end.

    Raises:
        errors.ValidationError: the text is too long, or a character of it begins no token.
    """
    if len(text) > MAX_CHARS:
        raise errors.ValidationError(f"a selection has at most {MAX_CHARS} characters, this one has {len(text)}")
    tokens: list[Token] = []
    place = 0
    while place < len(text):
        if text[place].isspace():
            place += 1
            continue
        match = _TOKEN.match(text, place)
        if match is None:
            raise errors.ValidationError(_no_token(text, place))
        tokens.append(_token(match))
        place = match.end()
    return [*tokens, Token(TokenKind.END, "", len(text) + 1)]


def _token(match: re.Match[str]) -> Token:
    kind, found = str(match.lastgroup), match[0]
    if kind == "quoted":
        found = _ESCAPED.sub(r"\1", found[1:-1])
    return Token(TokenKind[kind.upper()], "=" if found == "==" and kind == "operator" else found, match.start() + 1)


def _no_token(text: str, place: int) -> str:
    if text[place] in "'\"":
        return f"position {place + 1}: the quote {text[place]} is not closed"
    return f"position {place + 1}: {text[place]!r} stands alone; operators are = != < <= > >= ~ !~"


def quote(text: str) -> str:
    """A text in quotes, as `tokenize` reads it back."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def fail(token: Token, expected: str) -> errors.ValidationError:
    """The error about a token: its position, the token, and what was expected or what is wrong with it."""
    shown = "the selection ends" if token.kind is TokenKind.END else quote(clipped(token.text, SHOWN_CHARS))
    return errors.ValidationError(f"position {token.at}: {shown}: {expected}")
