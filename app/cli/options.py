"""The global options, which every command has on either side of its name, and the option types that several commands share."""

import dataclasses
import difflib
import functools
import inspect
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer

from app.cli import exit_codes, setting_use
from app.cli.failures import UsageError
from app.cli.output import Output

__all__ = [
    "Cli",
    "Cursor",
    "JobId",
    "Limit",
    "Overwrite",
    "Progress",
    "Ui",
    "UiPort",
    "Yes",
    "parse_choice",
    "parse_name",
    "parse_path",
    "parse_text",
    "parse_ui",
    "with_global_options",
    "with_options_of",
]

T = TypeVar("T")

Progress = Literal["auto", "rich", "plain", "none"]
LogLevel = Literal["debug", "info", "warning", "error"]


def parse_name(value: str) -> str:
    """The name that an option gives, as it is. An empty one is an unset variable in quotes.

    Raises:
        typer.BadParameter: it is empty.
    """
    if not value:
        raise typer.BadParameter("must not be empty")
    return value


def parse_text(value: str) -> str:
    """A text that is stored: no path, which may have any bytes.

    Raises:
        typer.BadParameter: it is empty, or no UTF-8.
    """
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise typer.BadParameter("is not UTF-8")
    return parse_name(value)


def parse_path(value: str) -> Path:
    """The path that an option names. An empty one would be the current folder.

    Raises:
        typer.BadParameter: as `parse_name`.
    """
    return Path(parse_name(value))


Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it; without this, what would go is shown.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the dataset that is there.")]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="A job's id, the beginning of it, or its dataset's name.")]
Limit = Annotated[
    int | None,
    typer.Option("--limit", "-n", min=1, metavar="N", help="At most N items; without it a page on a terminal, all where redirected."),
]
Ui = Annotated[bool, typer.Option("--ui", help="Serve the pages on 127.0.0.1 while the command runs.")]
UiPort = Annotated[int | None, typer.Option("--port", metavar="PORT", help="Port of --ui (a free one).")]
Cursor = Annotated[str | None, typer.Option("--cursor", metavar="CURSOR", help="Start behind the last page's end.")]


def parse_ui(ui: bool, port: int | None) -> int | None:
    """The port of the pages, 0 for a free one; ``None`` where none are wanted.

    Raises:
        UsageError: a port without pages, or none.
    """
    if not ui:
        if port is not None:
            raise UsageError(f"--port {port} has no effect without --ui", "add --ui, or leave it out")
        return None
    if port is not None and not 0 <= port <= 65535:
        raise UsageError(f"--port {port} is no port", "0 to 65535; without it a free one is taken")
    return port or 0


@dataclass(slots=True)
class Cli(Output):
    """One run of the command: its global options, wherever they were given, and its output."""

    config: Path | None = None
    sets: list[str] = field(default_factory=list)
    workspace: Path | None = None
    verbose: int = 0
    log_level: str | None = None

    def add(self, values: Mapping[str, Any]) -> None:
        """Add options: lists and counts add up, of the rest the later one wins."""
        self.sets = [*self.sets, *(values.get("sets") or [])]
        self.verbose += values.get("verbose") or 0
        for name in ("config", "workspace", "as_json", "quiet", "log_level", "no_color", "progress"):
            if values.get(name):
                setattr(self, name, values[name])

    @property
    def workspace_options(self) -> str:
        """What to append to a suggested command so that it uses this workspace."""
        workspace = f" --workspace {self.workspace}" if self.workspace else ""
        return workspace + (f" --config {self.config}" if self.config else "")


def _option(*names: str, **more: Any) -> Any:
    return typer.Option(*names, rich_help_panel="Global options", show_default=False, **more)


_ANNOTATIONS: dict[str, Any] = {
    "config": Annotated[
        Path | None, _option("--config", metavar="FILE", parser=parse_path, help="Settings file instead of ./pictrawl.toml.")
    ],
    "sets": Annotated[list[str] | None, _option("--set", metavar="SECTION.NAME=VALUE", help="Set one setting; may be repeated.")],
    "workspace": Annotated[
        Path | None, _option("--workspace", metavar="DIR", parser=parse_path, help="Folder of the embedded database and store.")
    ],
    "as_json": Annotated[bool, _option("--json", help="One JSON document on stdout, errors too.")],
    "quiet": Annotated[bool, _option("--quiet", "-q", help="Print ids and paths only.")],
    "verbose": Annotated[int, _option("--verbose", "-v", count=True, metavar="", help="Log more; -vv: all, and tracebacks.")],
    "log_level": Annotated[LogLevel | None, _option("--log-level", help="Lowest level of log lines shown.")],
    "no_color": Annotated[bool, _option("--no-color", help="No colours; NO_COLOR does the same.")],
    "progress": Annotated[Progress | None, _option("--progress", help="Kind of progress display; auto is rich on a terminal.")],
}
_DEFAULTS: dict[str, Any] = {"as_json": False, "quiet": False, "verbose": 0, "no_color": False}

_GLOBAL_PARAMETERS = [
    inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=_DEFAULTS.get(name), annotation=annotation)
    for name, annotation in _ANNOTATIONS.items()
]


def with_global_options(function: Callable[..., int | None], reads: frozenset[str] = setting_use.NONE) -> Callable[..., int | None]:
    """Make a command of a function whose first argument is the :class:`Cli`: its other parameters, and the global options.

    Args:
        reads: the settings that it reads; see :mod:`app.cli.setting_use`.
    """
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    parameters = [item.replace(kind=inspect.Parameter.KEYWORD_ONLY) for item in own] + [context, *_GLOBAL_PARAMETERS]

    @functools.wraps(function)
    def command(*, ctx: typer.Context, **values: Any) -> int | None:
        cli: Cli = ctx.find_root().obj
        cli.add({name: values.pop(name) for name in _ANNOTATIONS})
        if ctx.invoked_subcommand is None:
            setting_use.refuse_ignored(cli.sets, ctx.command_path, reads)
        try:
            return function(cli, **values)
        except BrokenPipeError:
            return _discard_stdout()

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {item.name: item.annotation for item in parameters}
    del command.__wrapped__
    return command


def _discard_stdout() -> int:
    """The reader of stdout is gone, as with ``| head``. Point stdout to nowhere so that the interpreter's last flush does not fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return exit_codes.SIGNALLED + signal.SIGPIPE


def with_options_of(options: type) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Give a function that takes a :class:`Cli` and keywords the fields of a dataclass as its options."""
    cli = inspect.Parameter("cli", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = [
        inspect.Parameter(item.name, inspect.Parameter.KEYWORD_ONLY, default=item.default, annotation=item.type)
        for item in dataclasses.fields(options)
    ]

    def decorate(function: Callable[..., int]) -> Callable[..., int]:
        function.__signature__ = inspect.Signature([cli, *parameters])  # type: ignore[attr-defined]
        return function

    return decorate


def parse_choice(kind: Callable[[str], T], value: str | None, option: str) -> T | None:
    """A member of an enumeration, ``None`` where the option was not given.

    Raises:
        UsageError: there is no such member.
    """
    if value is None:
        return None
    try:
        return kind(value)
    except ValueError:
        known = [item.value for item in kind]  # type: ignore[attr-defined]
        near = difflib.get_close_matches(value, known, n=1)
        raise UsageError(
            f"{option} {value!r} does not exist", f"did you mean {near[0]}?" if near else f"there is {', '.join(known)}"
        ) from None
