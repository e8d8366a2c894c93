"""A loguru record as one flat dict, and that dict as a line: JSON for machines, aligned text for a terminal."""

import functools
import json
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from logging_setup.redact import escape_controls, escape_json, redact, redact_value

if TYPE_CHECKING:
    from loguru import Record

__all__ = ["flatten", "format_json", "format_pretty"]

_OWN: Final = frozenset({"ts", "level", "event", "logger", "error_type", "error", "traceback"})
_OF_ERROR: Final = frozenset({"error_type", "error", "traceback"})
_JSON_OPTIONS: Final = orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE
_COLOURS: Final = {"DEBUG": "2", "INFO": "32", "SUCCESS": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}


def flatten(record: "Record") -> dict[str, Any]:
    """Return ts, level, event and logger, then every bound or passed field, then error_type, error and traceback where one was raised.

    A field that bears one of those names gets an underscore behind it. All text is redacted.
    """
    fields: dict[str, Any] = {
        "ts": _timestamp(record["time"]),
        "level": record["level"].name,
        "event": _event(record["message"]),
        "logger": record["extra"].get("logger") or record["name"] or "",
    }
    for name, value in record["extra"].items():
        if name != "logger":
            fields[_field_name(name, record)] = redact_value(name, value)
    raised = record["exception"]
    if raised is not None and raised.type is not None:
        fields["error_type"] = raised.type.__name__
        fields["error"] = redact_value("", raised.value)
        fields["traceback"] = redact("".join(traceback.format_exception(raised.type, raised.value, raised.traceback)))
    return fields


@functools.lru_cache(maxsize=1024)
def _event(text: str) -> str:
    """Events are constants; only the libraries' lines differ from one another."""
    return redact(text)


def _field_name(name: str, record: "Record") -> str:
    """``error_type``, ``error`` and ``traceback`` may be passed as fields, unless an exception brings its own."""
    if name in _OWN and (record["exception"] is not None or name not in _OF_ERROR):
        return f"{name}_"
    return name


def _timestamp(when: datetime) -> str:
    """RFC 3339, UTC, microseconds."""
    return f"{_second(int(when.timestamp()))}.{when.microsecond:06d}Z"


@functools.lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    """Most lines share their second with the one before."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def format_json(fields: Mapping[str, Any]) -> str:
    """Return one line of JSON; text that no encoding has (lone surrogates) goes the slow way."""
    try:
        return escape_json(orjson.dumps(fields, option=_JSON_OPTIONS).decode()[:-1]) + "\n"
    except (TypeError, ValueError):
        return escape_json(json.dumps(fields, default=str, separators=(",", ":"))) + "\n"


def format_pretty(fields: Mapping[str, Any], *, colour: bool) -> str:
    """Return one line for people, a traceback indented behind it; data cannot break out of its place."""
    level = fields["level"]
    shown = f"\x1b[{_COLOURS.get(level, '0')}m{level:<8}\x1b[0m" if colour else f"{level:<8}"
    pairs = "".join(f"  {escape_controls(name)}={_shown(value)}" for name, value in fields.items() if name not in _HEAD)
    line = f"{fields['ts'][11:23]} {shown} {escape_controls(fields['logger'])}  {escape_controls(fields['event'])}{pairs}\n"
    return line + "".join(f"    | {escape_controls(row)}\n" for row in str(fields.get("traceback") or "").splitlines())


_HEAD: Final = frozenset({"ts", "level", "event", "logger", "traceback"})


def _shown(value: Any) -> str:
    text = escape_controls(str(value))
    return json.dumps(text, ensure_ascii=False) if " " in text or not text else text
