"""Parses ``srcset`` as WHATWG HTML says (4.8.4.3.10): URLs that hold commas, descriptors in parentheses, and what makes one invalid."""

import math
import re
from dataclasses import dataclass
from typing import Final

__all__ = ["MAX_CANDIDATES", "SourceSize", "parse"]

MAX_CANDIDATES: Final = 100

_SPACES: Final = " \t\n\f\r"
_INTEGER: Final = re.compile(r"[0-9]{1,9}")
_FLOAT: Final = re.compile(r"-?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")


@dataclass(frozen=True, slots=True)
class SourceSize:
    """A candidate of a ``srcset``. ``width`` and ``height`` in pixels, 0 where it states none; ``density`` is 1 where it states none."""

    url: str
    width: int = 0
    height: int = 0
    density: float = 1.0


def parse(value: str) -> list[SourceSize]:
    """Return the valid candidates in their order."""
    found: list[SourceSize] = []
    at = 0
    while len(found) < MAX_CANDIDATES:
        while at < len(value) and value[at] in f"{_SPACES},":
            at += 1
        if at == len(value):
            break
        end = at
        while end < len(value) and value[end] not in _SPACES:
            end += 1
        url, at = value[at:end], end
        descriptors: list[str] = []
        if url.endswith(","):
            url = url.rstrip(",")
        else:
            descriptors, at = _descriptors(value, at)
        if url and (candidate := _candidate(url, descriptors)):
            found.append(candidate)
    return found


def _descriptors(value: str, at: int) -> tuple[list[str], int]:
    """Return the descriptors that follow a URL, and where the next candidate begins; a comma in parentheses ends nothing."""
    words: list[str] = []
    word, depth = "", 0
    for at in range(at, len(value)):  # noqa: B020 - goes on where the URL ended
        char = value[at]
        if char == "," and not depth:
            return [*words, word] if word else words, at + 1
        if char in _SPACES and not depth:
            words, word = ([*words, word] if word else words), ""
            continue
        depth = 1 if char == "(" else 0 if char == ")" else depth
        word += char
    return [*words, word] if word else words, len(value)


def _candidate(url: str, descriptors: list[str]) -> SourceSize | None:
    """Read the descriptors of a URL; None where they are invalid."""
    read: dict[str, float] = {}
    for descriptor in descriptors:
        kind, number = descriptor[-1:], descriptor[:-1]
        pattern = {"w": _INTEGER, "h": _INTEGER, "x": _FLOAT}.get(kind)
        if pattern is None or not pattern.fullmatch(number) or kind in read:
            return None
        read[kind] = float(number)
    is_valid = not ("x" in read and len(read) > 1) and not ("h" in read and "w" not in read)
    if not is_valid or not all(math.isfinite(number) for number in read.values()):
        return None
    if read.get("w") == 0 or read.get("h") == 0 or read.get("x", 1.0) <= 0:
        return None
    return SourceSize(url, int(read.get("w", 0)), int(read.get("h", 0)), read.get("x", 1.0))
