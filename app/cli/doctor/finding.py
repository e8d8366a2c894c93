"""What one check found."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["Finding", "fail", "ok", "warn"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: ``value`` is what was measured, ``hint`` what to do about it."""

    group: str
    name: str
    status: Literal["ok", "warn", "fail"]
    value: str
    hint: str = ""

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def ok(group: str, name: str, value: str) -> Finding:
    """All is well."""
    return Finding(group, name, "ok", value)


def warn(group: str, name: str, value: str, hint: str) -> Finding:
    """Works, but not as it should."""
    return Finding(group, name, "warn", value, hint)


def fail(group: str, name: str, value: str, hint: str) -> Finding:
    """Would keep a build from working."""
    return Finding(group, name, "fail", value, hint)
