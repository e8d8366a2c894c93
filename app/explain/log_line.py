"""A line of a job's log in words, the same for the command line and the pages."""

from collections.abc import Mapping
from typing import Any, Final

from app.formatting import clipped

__all__ = ["line_words"]

NOT_SHOWN: Final = frozenset(
    {"logger", "job_id", "user_id", "request_id", "traceparent", "unit_id", "chunk_id", "job", "run", "worker", "traceback"}
)
"""Fields that are left out of lines for people; JSON has them."""


def line_words(data: Mapping[str, Any]) -> str:
    """``ok=97 failed=3 url=http://img.example/a.jpg``; names and values from strangers are clipped and made printable."""
    shown = {name: value for name, value in data.items() if name not in NOT_SHOWN and value is not None}
    return " ".join(f"{clipped(name, 40)}={_value(value)}" for name, value in shown.items())


def _value(value: Any) -> str:
    text = clipped(str(value), 200)
    return f'"{text}"' if " " in text or not text else text
