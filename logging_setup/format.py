"""A loguru record as one flat dict, and that dict as a line: JSON for machines, aligned text for a terminal.

Not loguru's ``serialize=True``: it nests every field under ``record``, and orjson writes a line in 8 us where that takes 21.
"""

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

_RESERVED: Final = frozenset({"ts", "level", "event", "logger", "error_type", "error", "traceback"})
_ERROR_FIELDS: Final = frozenset({"error_type", "error", "traceback"})
_PRETTY_HEAD: Final = frozenset({"ts", "level", "event", "logger", "traceback"})
_IDS: Final = frozenset({"job", "run", "worker", "job_id", "user_id", "unit_id", "chunk_id", "request_id", "traceparent"})
_JSON_OPTIONS: Final = orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE
_COLOURS: Final = {"DEBUG": "2", "INFO": "32", "SUCCESS": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}


def flatten(record: "Record") -> dict[str, Any]:
    """Return ts, level, event and logger, then every bound or passed field, then error_type, error and traceback of an exception.

    A passed field with one of those names gets an underscore appended. All text is redacted.
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
    exception = record["exception"]
    if exception is not None and exception.type is not None:
        fields["error_type"] = exception.type.__name__
        fields["error"] = redact_value("", exception.value)
        fields["traceback"] = redact("".join(traceback.format_exception(exception.type, exception.value, exception.traceback)))
    return fields


@functools.lru_cache(maxsize=1024)
def _event(text: str) -> str:
    """Cached: our events are constants, only the lines of libraries vary."""
    return redact(text)


def _field_name(name: str, record: "Record") -> str:
    """``error_type``, ``error`` and ``traceback`` may be passed as fields when no exception is attached."""
    if name in _RESERVED and (record["exception"] is not None or name not in _ERROR_FIELDS):
        return f"{name}_"
    return name


def _timestamp(time: datetime) -> str:
    """RFC 3339, UTC, microseconds."""
    return f"{_second(int(time.timestamp()))}.{time.microsecond:06d}Z"


@functools.lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    """Cached: most lines share their second with the line before."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def format_json(fields: Mapping[str, Any]) -> str:
    """Return one line of JSON. Text that orjson refuses (lone surrogates) is written by the standard library."""
    try:
        return escape_json(orjson.dumps(fields, option=_JSON_OPTIONS).decode()[:-1]) + "\n"
    except (TypeError, ValueError):
        return escape_json(json.dumps(fields, default=str, separators=(",", ":"))) + "\n"


def format_pretty(fields: Mapping[str, Any], *, colour: bool, ids: bool = True) -> str:
    """Return one line for people, followed by an indented traceback. Control characters are escaped, so data cannot forge a line.

    Args:
        ids: whether the line has the logger, the ids of its context and fields that others imply; else its URL is last.
    """
    shown = {name: value for name, value in fields.items() if name not in _PRETTY_HEAD}
    shown = shown if ids else _short(shown)
    level = fields["level"]
    label = f"\x1b[{_COLOURS.get(level, '0')}m{level:<8}\x1b[0m" if colour else f"{level:<8}"
    pairs = "".join(f"  {escape_controls(name)}={_quote(value)}" for name, value in shown.items())
    logger = f"{escape_controls(fields['logger'])}  " if ids else ""
    line = f"{fields['ts'][11:23]} {label} {logger}{escape_controls(fields['event'])}{pairs}\n"
    return line + "".join(f"    | {escape_controls(row)}\n" for row in str(fields.get("traceback") or "").splitlines())


def _short(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields without ids and what others imply: the host of a URL, the class of an error with a status, what is not known."""
    implied = {"host"} if "url" in fields else set()
    implied |= {"error_type"} if fields.get("status") is not None else set()
    shown = {name: value for name, value in fields.items() if name not in _IDS | implied and value is not None}
    return shown | ({"url": shown.pop("url")} if "url" in shown else {})


def _quote(value: Any) -> str:
    text = escape_controls(str(value))
    return json.dumps(text, ensure_ascii=False) if " " in text or not text else text
