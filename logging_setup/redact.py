"""Removes credentials, query strings and control characters from log lines. Pure functions from text to text.

Every rule is linear in the text, which is untrusted: a slow rule would let a hostile text slow the worker down.
"""

import contextlib
import functools
import re
from itertools import islice
from typing import Any, Final

__all__ = ["escape_controls", "escape_json", "is_secret_name", "redact", "redact_value"]

_MASK: Final = "***"
_MAX_DEPTH: Final = 6
_MAX_ITEMS: Final = 100
"""Items of a container that are logged; the rest is left out."""

_MAX_CHARS: Final = 20_000
"""A longer value is cut."""

_INT64: Final = range(-(1 << 63), 1 << 64)
"""Integers that JSON writers can represent; others are logged as text."""

_SHORT_CHARS: Final = 256
"""Results for texts up to this length are cached: most values are ids, hosts and names that repeat."""

_SUSPECT: Final = re.compile(
    r"ptk_|whsec_|bearer|basic |authorization|cookie|passw|passphrase|pwd|secret|token|api[-_]?key|signature", re.IGNORECASE
)
"""One cheap search decides whether the exact rules have to run."""

_NAMES: Final = (
    r"(?:pg)?passw(?:or)?d|passphrase|pwd|secret(?:[-_]?access)?(?:[-_]?key)?|client[-_]?secret|api[-_]?key"
    r"|(?:access|refresh|auth|id|session)?[-_]?token|signature"
)
_VALUE: Final = r"""(?:"[^"\r\n]*"?|'[^'\r\n]*'?|[^\s"',;&)}\]]+)"""
_RULES: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (re.compile(r"(?<![A-Za-z0-9])(ptk|whsec)_[\w+/=.-]+"), rf"\1_{_MASK}"),
    (
        re.compile(r"\b((?:proxy-)?authorization|(?:set-)?cookie|x-api-key)\b([\"']?\s*[:=,]\s*(?:b?[\"'])?)[^\r\n\"']+", re.IGNORECASE),
        rf"\1\2{_MASK}",
    ),
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{6,}", re.IGNORECASE), rf"\1 {_MASK}"),
    (re.compile(rf"\b((?:\w{{1,60}}[-_])?(?:{_NAMES}))([\"']?\s{{0,9}}[=:]\s{{0,9}}b?){_VALUE}", re.IGNORECASE), rf"\1\2{_MASK}"),
)
_WORD: Final = re.compile(r"[^\s\"<>]+")
"""No URL contains a space, a double quote or an angle bracket (RFC 3986 2), so text is examined between them."""

_AUTHORITY_END: Final = re.compile(r"[/?#\\]")
_MARKED: Final = re.compile(r"[?#]")

_SECRET_NAME: Final = re.compile(
    rf"(?:\w*[-_])?(?:{_NAMES}|(?:proxy[-_])?authorization|(?:set[-_])?cookies?|credentials?|private[-_]?key|dsn)", re.IGNORECASE
)
_UNSHOWN: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
"""Characters that move the cursor, end a line, change the text direction (Unicode TR9), are invisible, or cannot be encoded."""

_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def redact(text: str) -> str:
    """Return a text without credentials: no userinfo or query in URLs, no header, DSN or key secrets."""
    return _redact_short(text) if len(text) <= _SHORT_CHARS else _redact(text[:_MAX_CHARS])


def _redact(text: str) -> str:
    if "@" in text or "?" in text or "#" in text:
        text = _WORD.sub(_without_address_secrets, text)
    if _SUSPECT.search(text):
        for pattern, replacement in _RULES:
            text = pattern.sub(replacement, text)
    return text


_redact_short = functools.lru_cache(maxsize=4096)(_redact)


def _without_address_secrets(word: re.Match[str]) -> str:
    """Hide the userinfo, and everything after the first question mark or, in a URL, number sign."""
    first, *others = word[0].split("://")
    if not others:
        return _without_query(_without_userinfo(first) if ":" in first.partition("@")[0] else first, is_url=False)
    schemes = [first, *others]
    shown = [first, *(_without_userinfo(rest, schemes[at]) for at, rest in enumerate(others))]
    return _without_query("://".join(shown), is_url=True)


def _without_userinfo(rest: str, before: str = "") -> str:
    """``rest`` follows ``://``. Unless it is a valid web address, a password in it may contain a slash."""
    if "@" not in rest:
        return rest
    end = _AUTHORITY_END.search(rest)
    authority, path = (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
    if "@" in authority:
        return f"{_MASK}@{authority.rpartition('@')[2]}{path}"
    port = authority.rpartition(":")[2] if ":" in authority else ""
    if before.lower().endswith(("http", "https")) and (not port or port.isdecimal() or authority.endswith("]")):
        return rest
    return f"{_MASK}@{rest.rpartition('@')[2]}"


def _without_query(word: str, *, is_url: bool) -> str:
    mark = _MARKED.search(word) if is_url else None
    at = mark.start() if mark else word.find("?")
    if at < 0 or (not is_url and "=" not in word[at:]):
        return word
    return f"{word[:at]}?{_MASK}"


def redact_value(name: str, value: Any, depth: int = 0) -> Any:
    """Return a loggable value: numbers unchanged, text redacted, containers item by item, anything else as redacted text."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if value in _INT64 else _as_text(value)
    if is_secret_name(name):
        return _MASK
    if isinstance(value, str):
        return redact(value)
    if depth < _MAX_DEPTH and isinstance(value, dict):
        return {_as_key(key): redact_value(_as_text(key), item, depth + 1) for key, item in islice(value.items(), _MAX_ITEMS)}
    if depth < _MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
        return [redact_value("", item, depth + 1) for item in islice(value, _MAX_ITEMS)]
    return redact(_as_text(value))


def _as_key(key: Any) -> str:
    return redact(_as_text(key))


@functools.lru_cache(maxsize=1024)
def is_secret_name(name: str) -> bool:
    """Return whether the name of a field marks its value as secret."""
    return _SECRET_NAME.fullmatch(name) is not None


def escape_controls(text: str) -> str:
    """Return the text with line breaks and terminal control characters escaped."""
    return text if text.isprintable() else _UNSHOWN.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    char = match[0]
    return _SHORT.get(char) or (f"\\x{ord(char):02x}" if char < "\x80" else _code_units(char))


def escape_json(text: str) -> str:
    """Return equivalent JSON with characters that could affect a terminal or a line reader escaped."""
    if text.isascii() and "\x7f" not in text:
        return text
    return _UNSHOWN.sub(lambda match: _code_units(match[0]), text)


def _code_units(char: str) -> str:
    """RFC 8259 7: a character beyond 16 bits takes two escapes."""
    raw = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{raw[at : at + 2].hex()}" for at in range(0, len(raw), 2))


def _as_text(value: Any) -> str:
    with contextlib.suppress(Exception):  # a foreign __str__ must not cost the line
        text = str(value)
        return text if type(text) is str else "".join(text)
    return f"<{type(value).__name__}>"
