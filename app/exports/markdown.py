"""Text of strangers, made safe to stand in Markdown and in YAML."""

import re
from urllib.parse import quote, urlsplit

__all__ = ["cell", "link", "plain", "yaml_text"]

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~$!])")
_URL_SAFE = "/:?#@&=+,;%-._~"


def plain(text: str) -> str:
    """On one line, without control or direction characters."""
    return "".join(char for char in " ".join(text.split()) if char.isprintable())


def cell(text: str | None) -> str:
    """Words in a table or a heading: no markup, no HTML, no way out of the cell."""
    return _SPECIAL.sub(r"\\\1", plain(text or ""))


def link(url: str | None) -> str:
    """A URL as an autolink if it is a web address, else as plain words."""
    if not url or _scheme(url) not in ("http", "https"):
        return cell(url)
    return f"<{quote(plain(url), safe=_URL_SAFE)}>"


def yaml_text(text: str) -> str:
    """A YAML double-quoted scalar that reads back as exactly ``text``."""
    return '"' + "".join(map(_yaml_char, text)) + '"'


def _yaml_char(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    if char.isprintable():
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme.lower()
    except ValueError:
        return ""
