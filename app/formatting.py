"""Numbers, times and foreign text, formatted for people. Pure functions."""

import time
from collections.abc import Mapping, Sequence

__all__ = ["ago", "clipped", "clock", "count", "day", "duration", "either", "listing", "number", "size", "when"]


def number(value: float) -> str:
    """``12 345``: groups of three digits with spaces between them."""
    return f"{value:,.0f}".replace(",", " ")


def count(value: int, noun: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{number(value)} {noun}" if value == 1 else f"{number(value)} {noun}s"


def size(value: float) -> str:
    """Bytes in decimal units: ``1.2 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def duration(seconds: float) -> str:
    """``45s``, ``1m58s``, ``3h05m``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def clock(seconds: float) -> str:
    """``0:01:58``."""
    whole = max(0, int(seconds))
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"


def when(at: float | None) -> str:
    """A Unix time as local date and time; ``-`` for none."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at)) if at else "-"


def day(at: float | None) -> str:
    """A Unix time as a date in UTC, the same on every machine; ``-`` for none."""
    return time.strftime("%Y-%m-%d", time.gmtime(at)) if at else "-"


def ago(at: float | None, now: float) -> str:
    """How long ago a Unix time was; ``-`` for none."""
    return f"{duration(now - at)} ago" if at else "-"


def clipped(text: str, columns: int) -> str:
    """A text cut to a number of columns, with control characters replaced by spaces."""
    shown = text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)
    return shown if len(shown) <= columns else shown[: max(0, columns - 1)] + "…"


def either(words: Sequence[str]) -> str:
    """``jpeg, webp or png``."""
    return " or ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def listing(counts: Mapping[str, int], *, most: int = 100) -> str:
    """``http_404 17 · timeout 9``; counts behind the first ``most`` are summed as ``other``."""
    shown = [f"{name} {number(value)}" for name, value in list(counts.items())[:most]]
    rest = sum(list(counts.values())[most:])
    return " · ".join([*shown, f"other {number(rest)}"] if rest else shown)
