"""How a command says that it failed: an ``error:`` line, a ``hint:`` line, a problem document for scripts, and the exit code."""

import sys
import traceback
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from app.cli import codes
from app.cli.aside import say
from logging_setup import redact

__all__ = ["Failure", "Refused", "describe", "install_bug_report", "known_errors"]


class Refused(Exception):
    """The command cannot or will not go on. The message says what is wrong, the hint what to do."""

    def __init__(self, message: str, hint: str = "", *, code: int = codes.USAGE) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure in words. ``kind`` is a stable slug."""

    kind: str
    message: str
    hint: str
    code: int

    def lines(self) -> str:
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


_TITLES = {
    codes.BUG: "Internal error",
    codes.USAGE: "Wrong usage or configuration",
    codes.TOO_FEW: "Fewer images than asked for",
    codes.NOTHING_KEPT: "Nothing was kept",
    codes.ENVIRONMENT: "The environment cannot be used",
    codes.SERVER: "The server cannot run",
    codes.UNVERIFIED: "Verification failed",
}


def known_errors() -> tuple[type[BaseException], ...]:
    """What :func:`describe` has words for. Built when something was raised: the imports are not for free."""
    from pydantic import ValidationError
    from typer import Abort
    from typer.exceptions import TyperException

    from errors import PictrawlError

    return (Refused, TyperException, Abort, PictrawlError, ValidationError, OSError, MemoryError)


def describe(error: BaseException) -> Failure:
    """One of :func:`known_errors` in words, with its exit code."""
    import errors

    match error:
        case Refused():
            return Failure(_KINDS[error.code], error.message, error.hint, error.code)
        case errors.ConfigurationError():
            return _from_configuration(error)
        case errors.PermanentError():
            message, hint = _split(error.message)
            return Failure("refused", message, hint, codes.USAGE)
        case errors.QueueUnavailableError():
            return _environment("queue", error, "is Redis running, and is queue.url right? pictrawl doctor --only queue")
        case errors.InfrastructureError():
            return _environment("database", error, "is db.url right? pictrawl doctor --only database")
        case errors.PictrawlError():
            return _environment("storage", error, "is there space, and are the credentials right? pictrawl doctor --only storage")
        case MemoryError():
            return Failure("memory", "out of memory", "lower fetch.concurrency or jobs.builder_slots", codes.ENVIRONMENT)
        case OSError():
            return Failure("system", _of_system(error), "pictrawl doctor", codes.ENVIRONMENT)
    return _usage(error)


_KINDS = {
    codes.BUG: "bug",
    codes.USAGE: "usage",
    codes.TOO_FEW: "too-few",
    codes.NOTHING_KEPT: "nothing-kept",
    codes.ENVIRONMENT: "environment",
    codes.SERVER: "server",
    codes.UNVERIFIED: "unverified",
}


def _from_configuration(error: Exception) -> Failure:
    """Our messages name the way out behind a semicolon; several wrong settings in one message stay together."""
    several = getattr(error.__cause__, "error_count", lambda: 1)() > 1
    message, hint = (str(error), "") if several else _split(str(error))
    return Failure("configuration", message, hint, codes.USAGE)


def _split(message: str) -> tuple[str, str]:
    what, _, hint = message.partition("; ")
    return what, hint


def _environment(kind: str, error: Exception, hint: str) -> Failure:
    return Failure(kind, str(error), hint, codes.ENVIRONMENT)


def _of_system(error: OSError) -> str:
    what = error.strerror or type(error).__name__
    return f"{error.filename}: {what}" if error.filename else what


def _usage(error: BaseException) -> Failure:
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        words = [_of_field(item) for item in error.errors()]
        return Failure("usage", "; ".join(words), "", codes.USAGE)
    text = getattr(error, "format_message", lambda: "aborted")()
    message, _, hint = text.partition(" Did you mean")
    path = getattr(getattr(error, "ctx", None), "command_path", "pictrawl")
    return Failure("usage", message, f"did you mean{hint}" if hint else f"{path} --help", codes.USAGE)


def _of_field(item: Any) -> str:
    name = ".".join(str(part) for part in item["loc"])
    words = str(item["msg"]).removeprefix("Value error, ")
    return f"{name}: {words}" if name else words


def install_bug_report(*, as_json: bool, verbose: bool) -> None:
    """From now on an exception that nobody expected is reported as a bug, with its traceback only where ``verbose``; the exit code is 1."""

    def report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if verbose:
            say(redact("".join(traceback.format_exception(kind, error, trace))))
        failure = Failure("bug", f"{kind.__name__}: {redact(str(error))}", "this is a bug; -vv shows the traceback", codes.BUG)
        show(failure, as_json=as_json)

    sys.excepthook = report


def show(failure: Failure, *, as_json: bool) -> None:
    """Write a failure where it belongs: a document on stdout for scripts, lines on stderr for people."""
    if as_json:
        import json

        sys.stdout.write(json.dumps(failure.problem(), ensure_ascii=False) + "\n")
        sys.stdout.flush()
    else:
        say(_escaped(failure.lines()) + "\n")


def _escaped(text: str) -> str:
    """A message may quote what a stranger wrote: it does not get to speak to the terminal."""
    return "\n".join(line if line.isprintable() else line.encode("unicode_escape").decode() for line in text.split("\n"))
