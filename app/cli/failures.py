"""From an error to an exit code: an ``error:`` line and a ``hint:`` line on stderr, or a problem document for ``--json``."""

import json
import sys
import traceback
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from typer import Abort
from typer.exceptions import TyperException

import errors
from app.cli import exit_codes
from app.cli.output import write_stderr
from app.formatting import clipped
from app.validation_errors import requirement
from logging_setup import redact

__all__ = ["KNOWN_ERRORS", "Failure", "UsageError", "describe", "install_bug_report", "show"]


class UsageError(Exception):
    """The command cannot go on. The message says what is wrong, the hint what to do, ``code`` is the exit code."""

    def __init__(self, message: str, hint: str = "", *, code: int = exit_codes.USAGE) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code


KNOWN_ERRORS: tuple[type[BaseException], ...] = (UsageError, TyperException, Abort, errors.PictrawlError, OSError, MemoryError)
"""The errors that :func:`describe` takes. Any other exception is a bug."""

_TITLES = {
    exit_codes.BUG: "Internal error",
    exit_codes.USAGE: "Wrong usage or configuration",
    exit_codes.TOO_FEW: "Fewer images than asked for",
    exit_codes.NOTHING_KEPT: "Nothing was kept",
    exit_codes.ENVIRONMENT: "The environment cannot be used",
    exit_codes.SERVER: "The server cannot run",
    exit_codes.UNVERIFIED: "Verification failed",
}

_KINDS = {
    exit_codes.BUG: "bug",
    exit_codes.USAGE: "usage",
    exit_codes.TOO_FEW: "too-few",
    exit_codes.NOTHING_KEPT: "nothing-kept",
    exit_codes.ENVIRONMENT: "environment",
    exit_codes.SERVER: "server",
    exit_codes.UNVERIFIED: "unverified",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as the user sees it. ``kind`` is a stable slug."""

    kind: str
    message: str
    hint: str
    code: int

    def text(self) -> str:
        """The form for people."""
        hint = f"\n  hint: {self.hint}" if self.hint else ""
        return f"error: {self.message}{hint}"

    def problem(self) -> dict[str, Any]:
        """The form for scripts: a problem document (RFC 9457) with the exit code as an extension."""
        document: dict[str, Any] = {
            "type": f"urn:pictrawl:problem:{self.kind}",
            "title": _TITLES[self.code],
            "detail": self.message,
            "exit_code": self.code,
        }
        return document | ({"hint": self.hint} if self.hint else {})


def describe(error: BaseException) -> Failure:
    """The failure that one of :data:`KNOWN_ERRORS` is shown as."""
    match error:
        case UsageError():
            return Failure(_KINDS[error.code], error.message, error.hint, error.code)
        case errors.ConfigurationError():
            return _configuration(error)
        case errors.PermanentError():
            message, hint = _split_hint(error.message)
            return Failure("refused", message, hint, exit_codes.USAGE)
        case errors.QueueUnavailableError():
            return _environment("queue", str(error), "is Redis running, and is queue.url right? pictrawl doctor --only queue")
        case errors.InfrastructureError():
            return _environment("database", str(error), "is db.url right? pictrawl doctor --only database")
        case errors.ProxyError():
            return _environment("proxy", str(error), "is fetch.proxy right? pictrawl doctor --only network")
        case errors.PictrawlError():
            return _environment("storage", str(error), "is there space, and are the credentials right? pictrawl doctor --only storage")
        case MemoryError():
            return _environment("memory", "out of memory", "lower fetch.concurrency or jobs.builder_slots")
        case OSError():
            reason = error.strerror or type(error).__name__
            return _environment("system", f"{error.filename}: {reason}" if error.filename else reason, "pictrawl doctor")
    return _command_line(error)


def _configuration(error: Exception) -> Failure:
    """A message about one setting holds its hint behind a semicolon; a message about several stays whole."""
    several = getattr(error.__cause__, "error_count", lambda: 1)() > 1
    message, hint = (str(error), "") if several else _split_hint(str(error))
    return Failure("configuration", message, hint, exit_codes.USAGE)


def _split_hint(message: str) -> tuple[str, str]:
    what, _, hint = message.partition("; ")
    return what, hint


def _environment(kind: str, message: str, hint: str) -> Failure:
    return Failure(kind, message, hint, exit_codes.ENVIRONMENT)


def _command_line(error: BaseException) -> Failure:
    """What Typer raises for unknown commands, options and values. It checks values by pydantic."""
    path = getattr(getattr(error, "ctx", None), "command_path", "pictrawl")
    parameter, wrong = getattr(error, "param", None), getattr(error.__cause__, "errors", None)
    if parameter is not None and wrong is not None:
        return Failure("usage", _wrong_value(parameter, wrong()[0]), f"{path} --help", exit_codes.USAGE)
    if near := getattr(error, "possibilities", None):
        return Failure("usage", f"No such option: {error.option_name}", f"did you mean {' or '.join(near)}?", exit_codes.USAGE)  # type: ignore[attr-defined]
    text = getattr(error, "format_message", lambda: "aborted")()
    message, _, hint = text.partition(" Did you mean")
    return Failure("usage", message, f"did you mean{hint}" if hint else f"{path} --help", exit_codes.USAGE)


def _wrong_value(parameter: Any, item: Any) -> str:
    """``--max-images abc: must be a whole number``."""
    name = max(parameter.opts, key=len) if parameter.param_type_name == "option" else parameter.metavar or parameter.name
    if item["type"] == "value_error":  # a choice, whose words quote the value
        return f"{name}: {requirement(item).rstrip('.')}"
    return f"{name} {clipped(str(item['input']), 60)}: {requirement(item)}"


def show(failure: Failure, *, as_json: bool) -> None:
    """Write a failure: a document to stdout for ``--json``, else lines to stderr."""
    if as_json:
        sys.stdout.write(json.dumps(failure.problem(), ensure_ascii=False) + "\n")
        sys.stdout.flush()
    else:
        write_stderr(_escape(failure.text()) + "\n")


def _escape(text: str) -> str:
    """Messages may quote foreign text: show its control characters instead of sending them to the terminal."""
    return "\n".join(line if line.isprintable() else line.encode("unicode_escape").decode() for line in text.split("\n"))


def install_bug_report(*, as_json: bool, verbose: bool) -> None:
    """Report unexpected exceptions as bugs with exit code 1, with their traceback only where ``verbose``."""

    def report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if verbose:
            write_stderr(redact("".join(traceback.format_exception(kind, error, trace))))
        message = f"{kind.__name__}: {redact(str(error))}"
        show(Failure("bug", message, "this is a bug; -vv shows the traceback", exit_codes.BUG), as_json=as_json)

    sys.excepthook = report
