"""The command tree, and the one place where what went wrong becomes words and an exit code."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import typer

from app import collector
from app.cli import codes, config, datasets, db, dead, failures, images, jobs, keys, sources, workers
from app.cli.again import resume, retry
from app.cli.aside import say
from app.cli.build import build
from app.cli.demo import demo
from app.cli.doctor import doctor
from app.cli.explain import explain
from app.cli.fetch import fetch
from app.cli.helping import SectionedCommand, SectionedGroup
from app.cli.openapi import openapi
from app.cli.options import with_globals
from app.cli.queues import queues
from app.cli.serving import serve, worker
from app.cli.state import Cli
from app.cli.version import version
from logging_setup import redact

__all__ = ["application", "main", "run"]


Command = Callable[..., int]
Commands = Mapping[str, Command]

FIRST: tuple[Callable[..., int], ...] = (build, resume, retry, explain, fetch)
LAST: tuple[Callable[..., int], ...] = (serve, worker, queues, doctor, openapi, demo, version)

GROUPS: tuple[tuple[str, str, Commands], ...] = (
    ("jobs", "Look at jobs and steer them.", jobs.COMMANDS),
    ("images", "Look at images, kept or not.", images.COMMANDS),
    ("datasets", "Look at datasets, write and verify them.", datasets.COMMANDS),
    ("workers", "Look at the workers.", workers.COMMANDS),
    ("dead", "Units of work that died: put them back to work, or do without.", dead.COMMANDS),
    ("sources", "What can be searched.", sources.COMMANDS),
    ("db", "The database's schema.", db.COMMANDS),
    ("keys", "API keys.", keys.COMMANDS),
    ("config", "The settings.", config.COMMANDS),
)


def _grouped(name: str, about: str, commands: Commands) -> typer.Typer:
    group = typer.Typer(name=name, help=about, no_args_is_help=True, cls=SectionedGroup, rich_markup_mode=None)
    for command, function in commands.items():
        group.command(command, cls=SectionedCommand)(with_globals(function))
    return group


def application() -> typer.Typer:
    """Every command."""
    app = typer.Typer(
        name="pictrawl",
        help="Turn keywords or URL lists into image datasets fit for training: polite, accounted for, and nothing lost.",
        no_args_is_help=True,
        cls=SectionedGroup,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(with_globals(_root))
    for function in FIRST:
        app.command(cls=SectionedCommand)(with_globals(function))
    for name, about, commands in GROUPS:
        app.add_typer(_grouped(name, about, commands))
    for function in LAST:
        app.command(cls=SectionedCommand)(with_globals(function))
    return app


def _root(cli: Cli) -> None:
    """Turn keywords or URL lists into image datasets fit for training: polite, accounted for, and nothing lost."""


def run(arguments: Sequence[str]) -> int:
    """Run the command with these arguments; return its exit code."""
    cli = Cli()
    as_json = "--json" in arguments
    failures.install_bug_report(as_json=as_json, verbose="-vv" in arguments)
    command: Any = typer.main.get_command(application())
    try:
        code = command.main(list(arguments), prog_name="pictrawl", standalone_mode=False, obj=cli)
    except KeyboardInterrupt:
        return codes.SIGNALLED + 2
    except failures.known_errors() as error:
        return _fail(error, cli, as_json=as_json)
    return code if isinstance(code, int) else codes.OK


def _fail(error: BaseException, cli: Cli, *, as_json: bool) -> int:
    if cli.verbose > 1:
        import traceback

        say(redact("".join(traceback.format_exception(error))))
    failure = failures.describe(error)
    failures.show(failure, as_json=as_json or cli.as_json)
    return failure.code


def main() -> None:
    """Run the command and leave with its exit code."""
    collector.defer()
    sys.exit(run(sys.argv[1:]))
