"""Logging of the project: loguru, one event per line, secrets redacted. Depends on no other package of the project.

`config` sets logging up, `format` and `redact` make the lines, `sinks` write them, `repeats` limits equal warnings, `bridge` brings in
standard logging and Python's own reports, `capture` collects what decoder processes say.
"""

from typing import TYPE_CHECKING

from logging_setup.redact import redact

if TYPE_CHECKING:
    from loguru import Logger

__all__ = ["get_logger", "redact"]


def get_logger(name: str) -> "Logger":
    """Return loguru's logger with the module's name bound to it.

    loguru is imported on the first call: decoder processes import `logging_setup.capture` and log nothing themselves. Without loguru
    (and the asyncio that it imports) each of them starts a quarter faster and is 9 MB smaller.
    """
    import loguru

    return loguru.logger.bind(logger=name)
