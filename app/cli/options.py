"""The global options, declared once and given to every command, so that they may stand on either side of its name."""

import dataclasses
import functools
import inspect
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from app.cli import codes
from app.cli.state import Cli

__all__ = ["GLOBALS", "Progress", "taking", "with_globals"]

Progress = Literal["auto", "rich", "plain", "none"]
LogLevel = Literal["debug", "info", "warning", "error"]

_PANEL = "Global options"


def _option(*names: str, **more: Any) -> Any:
    return typer.Option(*names, rich_help_panel=_PANEL, show_default=False, **more)


_ANNOTATIONS: dict[str, Any] = {
    "config": Annotated[Path | None, _option("--config", metavar="FILE", help="Settings file instead of ./pictrawl.toml.")],
    "sets": Annotated[list[str] | None, _option("--set", metavar="SECTION.NAME=VALUE", help="Set one setting; may be repeated.")],
    "workspace": Annotated[Path | None, _option("--workspace", metavar="DIR", help="Folder of the embedded database and store.")],
    "as_json": Annotated[bool, _option("--json", help="One JSON document on stdout, errors too.")],
    "quiet": Annotated[bool, _option("--quiet", "-q", help="Ids and paths only.")],
    "verbose": Annotated[int, _option("--verbose", "-v", count=True, metavar="", help="Log more; -vv: all, and tracebacks.")],
    "log_level": Annotated[LogLevel | None, _option("--log-level", help="Least severe log line shown.")],
    "no_color": Annotated[bool, _option("--no-color", help="No colours; NO_COLOR does the same.")],
    "progress": Annotated[Progress | None, _option("--progress", help="How progress is shown; auto is rich on a terminal.")],
}
_DEFAULTS: dict[str, Any] = {"as_json": False, "quiet": False, "verbose": 0, "no_color": False}

GLOBALS = [
    inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=_DEFAULTS.get(name), annotation=annotation)
    for name, annotation in _ANNOTATIONS.items()
]
"""As parameters of a function."""


def taking(wishes: type) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Give a function that takes a :class:`Cli` and keywords the fields of a dataclass as its options."""
    cli = inspect.Parameter("cli", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    options = [
        inspect.Parameter(item.name, inspect.Parameter.KEYWORD_ONLY, default=item.default, annotation=item.type)
        for item in dataclasses.fields(wishes)
    ]

    def decorate(function: Callable[..., int]) -> Callable[..., int]:
        function.__signature__ = inspect.Signature([cli, *options])  # type: ignore[attr-defined]
        return function

    return decorate


def with_globals(function: Callable[..., int | None]) -> Callable[..., int | None]:
    """Make a command of a function whose first argument is the :class:`Cli`: the rest of its signature, and the global options."""
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    parameters = [item.replace(kind=inspect.Parameter.KEYWORD_ONLY) for item in own] + [context, *GLOBALS]

    @functools.wraps(function)
    def command(*, ctx: typer.Context, **values: Any) -> int | None:
        cli: Cli = ctx.find_root().obj
        cli.take({name: values.pop(name) for name in _ANNOTATIONS})
        try:
            return function(cli, **values)
        except BrokenPipeError:
            return _leave_quietly()

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {item.name: item.annotation for item in parameters}
    del command.__wrapped__
    return command


def _leave_quietly() -> int:
    """Whoever read stdout has gone, as ``| head`` does; the interpreter must not try to write to it again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return codes.SIGNALLED + signal.SIGPIPE
