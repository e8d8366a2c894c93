"""What an export says of one image: the row that stands in ``metadata.jsonl`` and in the ``json`` of a shard.

JSON Lines and not CSV: no spreadsheet runs a caption that begins with ``=``, and a newline in one breaks no row. No value is null:
what is unknown is the empty string, in a column that exists only if some image has it.
"""

from typing import Any

import orjson

from app.domain import Sample
from app.exports.spool import Facts, class_of

__all__ = ["INTEGER_COLUMNS", "column_names", "encode", "row"]

INTEGER_COLUMNS = frozenset({"width", "height", "size_bytes"})
_BEFORE = ("split", "width", "height", "size_bytes", "media_type", "sha256", "source_sha256", "source", "url")


def column_names(facts: Facts) -> tuple[str, ...]:
    """The columns of every row, in order, without ``file_name``."""
    return (*(("label",) if facts.labels else ()), *_BEFORE, *facts.columns)


def row(sample: Sample, facts: Facts, file_name: str | None = None) -> dict[str, Any]:
    """One image as JSON. ``file_name`` is relative to the file that the row stands in."""
    values: dict[str, Any] = {} if file_name is None else {"file_name": file_name}
    for name in column_names(facts):
        values[name] = class_of(sample, facts) if name == "label" else (getattr(sample, name) or _nothing(name))
    return values


def encode(values: dict[str, Any]) -> bytes:
    """One line of JSON, without its newline."""
    return orjson.dumps(values)


def _nothing(name: str) -> str | int:
    return 0 if name in INTEGER_COLUMNS else ""
