"""What may not be in a log line: credentials, query strings, control characters. Pure text in, text out."""

import contextlib
import functools
import re
from typing import Any, Final

__all__ = ["escape_controls", "is_secret_name", "redact", "redact_value"]

_MASK: Final = "***"
_MAX_DEPTH: Final = 6
_MAX_CHARS: Final = 20_000
"""A log line is for reading; a longer value is cut."""

_SUSPECT: Final = re.compile(
    r"://\S*[@?#]|\?\S*=|ptk_|whsec_|bearer|basic |authorization|cookie|passw|pwd|secret|token|api[-_]?key|signature", re.IGNORECASE
)
"""One cheap search decides whether the exact ones are worth their time."""

_NAMES: Final = (
    r"passw(?:or)?d|passphrase|pwd|secret(?:[-_]?access)?(?:[-_]?key)?|client[-_]?secret|api[-_]?key"
    r"|(?:access|refresh|auth|id|session)?[-_]?token|signature"
)
_RULES: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (re.compile(r"(://)[^\s/?#\"'<>]+@"), rf"\1{_MASK}@"),
    (re.compile(r"(://[^\s?#\"'<>]*)[?#][^\s\"'<>]*"), rf"\1?{_MASK}"),
    (re.compile(r"(/[^\s?\"'<>]*)\?[^\s\"'<>]*=[^\s\"'<>]*"), rf"\1?{_MASK}"),
    (re.compile(r"\b(ptk|whsec)_[\w+/=.-]+"), rf"\1_{_MASK}"),
    (
        re.compile(r"\b((?:proxy-)?authorization|(?:set-)?cookie|x-api-key)\b([\"']?\s*[:=,]\s*(?:b?[\"'])?)[^\r\n\"']+", re.IGNORECASE),
        rf"\1\2{_MASK}",
    ),
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{6,}", re.IGNORECASE), rf"\1 {_MASK}"),
    (re.compile(rf"\b((?:\w+[-_])?(?:{_NAMES}))([\"']?\s*[=:]\s*(?:b?[\"'])?)[^\s\"',;&)}}\]]+", re.IGNORECASE), rf"\1\2{_MASK}"),
)

_SECRET_NAME: Final = re.compile(
    rf"(?:\w*[-_])?(?:{_NAMES}|(?:proxy[-_])?authorization|(?:set[-_])?cookies?|credentials?|private[-_]?key)", re.IGNORECASE
)
_CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))} | {
    0x0A: "\\n",
    0x0D: "\\r",
    0x09: "\\t",
    0x2028: "\\u2028",
    0x2029: "\\u2029",
    0x202E: "\\u202e",
}


def redact(text: str) -> str:
    """Return a text without credentials: no userinfo or query in URLs, no header, DSN or key secrets."""
    if not _SUSPECT.search(text):
        return text if len(text) <= _MAX_CHARS else text[:_MAX_CHARS]
    text = text[:_MAX_CHARS]
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def redact_value(name: str, value: Any, depth: int = 0) -> Any:
    """Return a value fit for a log line: plain ones as they are, text redacted, containers item by item, the rest as text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if is_secret_name(name):
        return _MASK
    if isinstance(value, str):
        return redact(value)
    if depth < _MAX_DEPTH and isinstance(value, dict):
        return {redact(str(key)): redact_value(str(key), item, depth + 1) for key, item in value.items()}
    if depth < _MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
        return [redact_value("", item, depth + 1) for item in value]
    return redact(_as_text(value))


@functools.lru_cache(maxsize=1024)
def is_secret_name(name: str) -> bool:
    """Tell whether a field of that name is a secret whatever it holds."""
    return _SECRET_NAME.fullmatch(name) is not None


def escape_controls(text: str) -> str:
    """Return a text that stays on its line and cannot speak to the terminal."""
    return text if text.isprintable() else text.translate(_CONTROLS)


def _as_text(value: Any) -> str:
    with contextlib.suppress(Exception):  # a foreign __str__ must not cost the line
        return str(value)
    return f"<{type(value).__name__}>"
