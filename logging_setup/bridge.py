"""Standard logging into loguru, for the libraries that use it. With `overheard` the only module that imports `logging`."""

import contextlib
import logging
from typing import Final

import loguru

__all__ = ["install"]

_LEVELS: Final[dict[str, int]] = {
    "aiohttp": logging.WARNING,
    "aiosqlite": logging.WARNING,  # DEBUG is every statement with its parameters
    "alembic": logging.WARNING,
    "arq": logging.WARNING,
    "asyncio": logging.WARNING,
    "httpcore": logging.WARNING,
    "httpx": logging.WARNING,  # INFO is every URL with its query
    "opentelemetry": logging.WARNING,
    "opentelemetry.exporter": logging.CRITICAL,  # several lines for each batch; ours is one, until it works again
    "protego": logging.WARNING,
    "sqlalchemy": logging.WARNING,
    "urllib3": logging.WARNING,
    "uvicorn": logging.INFO,
    "uvicorn.access": logging.WARNING,  # the API logs its requests itself, with their ids
    "uvicorn.error": logging.INFO,
}
"""How much of each library is worth reading, whatever our own level; a stricter level of ours holds for them too."""


class _ToLoguru(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """Pass a record on: its text as the event, its logger's name as ours."""
        loguru.logger.bind(logger=record.name).opt(exception=record.exc_info or None).log(_level(record), "{}", _text(record))


def install(level: str) -> None:
    """Route the root logger to loguru and quieten the talkative. Idempotent."""
    own = loguru.logger.level(level).no
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _ToLoguru)]:
        root.removeHandler(handler)
    root.addHandler(_ToLoguru())
    root.setLevel(own)
    for name, least in _LEVELS.items():
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
        library.setLevel(max(least, own))


def _text(record: logging.LogRecord) -> str:
    """Its text; of arguments that do not fit their format, or cannot be shown, only the format. What raised here would reach the caller."""
    with contextlib.suppress(Exception):
        return str(record.getMessage())
    return record.msg if isinstance(record.msg, str) else f"<{type(record.msg).__name__}>"


def _level(record: logging.LogRecord) -> str | int:
    try:
        return loguru.logger.level(record.levelname).name
    except ValueError:  # a level of the library's own, or of nobody's
        return max(record.levelno, 0)
