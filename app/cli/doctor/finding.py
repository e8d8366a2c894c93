"""The result of one check."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["Finding", "fail", "note", "ok", "warn"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: ``value`` is what was measured, ``hint`` what to do about it."""

    group: str
    name: str
    status: Literal["ok", "note", "warn", "fail"]
    value: str
    hint: str = ""

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def ok(group: str, name: str, value: str) -> Finding:
    """A check that passed."""
    return Finding(group, name, "ok", value)


def note(group: str, name: str, value: str, hint: str) -> Finding:
    """Something optional that is not there."""
    return Finding(group, name, "note", value, hint)


def warn(group: str, name: str, value: str, hint: str) -> Finding:
    """Something that works, but not well."""
    return Finding(group, name, "warn", value, hint)


def fail(group: str, name: str, value: str, hint: str) -> Finding:
    """Something without which a build of this kind, by these settings, fails."""
    return Finding(group, name, "fail", value, hint)
