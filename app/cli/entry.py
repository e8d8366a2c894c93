"""The command tree: which module holds which command. Only the module of the command that runs is imported."""

import importlib
import sys
import traceback
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, cast

import typer
from typer.core import TyperCommand, TyperGroup

from app import process_setup
from app.cli import exit_codes, failures, setting_use
from app.cli.options import Cli, with_global_options
from app.cli.output import write_stderr
from app.cli.version import print_and_exit
from logging_setup import redact

__all__ = ["LazyGroup", "command_tree", "main", "run", "sections_of"]

ABOUT = "Turn keywords or URL lists into image datasets fit for training: polite, accounted for, and nothing lost."


@dataclass(frozen=True, slots=True)
class Command:
    """A function that is a command, by module and name, its line in the help of its group, and the settings that it reads."""

    module: str
    function: str
    help: str
    reads: frozenset[str] = setting_use.DATABASE


@dataclass(frozen=True, slots=True)
class Group:
    """Commands under one word."""

    help: str
    commands: Mapping[str, Command] = field(default_factory=dict)


_JOBS = {
    "ls": Command("app.cli.jobs", "ls", "List jobs, newest first."),
    "show": Command("app.cli.explain", "show_job", "Show a job: its progress, and what it waits for."),
    "watch": Command("app.cli.watch", "watch", "Follow a job that other processes work on."),
    "logs": Command("app.cli.watch", "logs", "Print a job's log, from submission to export."),
    "cancel": Command("app.cli.jobs", "cancel", "End a job for good."),
    "pause": Command("app.cli.jobs", "pause", "Pause a job; requests in flight are finished."),
    "resume": Command("app.cli.jobs", "resume", "Let a paused job run again on the workers that are running."),
    "rm": Command("app.cli.jobs", "rm", "Remove a job that has ended, with its images."),
}
_IMAGES = {
    "ls": Command("app.cli.images", "ls", "List images, oldest first."),
    "show": Command("app.cli.explain", "show_image", "Show an image: its requests, its checks, and what decided."),
}
_DATASETS = {
    "ls": Command("app.cli.datasets", "ls", "List datasets, newest first."),
    "show": Command("app.cli.datasets", "show", "Show a dataset: labels, reasons, exports."),
    "versions": Command("app.cli.versions", "versions", "List the versions of a dataset, the newest first."),
    "diff": Command("app.cli.versions", "diff", "Show what differs from one dataset to another."),
    "licences": Command("app.cli.licences", "licences", "Show the licences of a dataset, and what a choice of them would leave."),
    "export": Command("app.cli.export", "export", "Write a dataset in another form, verified before it appears.", setting_use.DELIVERY),
    "view": Command("app.cli.view", "view", "Make the report of a dataset, to look at.", setting_use.VIEW),
    "lock": Command("app.cli.rebuild", "lock", "Lock a dataset, for `pictrawl rebuild` to make it again.", setting_use.SERVICES),
    "verify": Command("app.cli.export", "verify", "Read a dataset back and compare.", setting_use.WORKERS),
    "merge": Command("app.cli.merge", "merge", "Make one dataset with the images of several.", setting_use.DELIVERY),
    "duplicates": Command("app.cli.review", "duplicates_of", "List the groups of duplicates of a dataset."),
    "leaks": Command("app.cli.leaks", "leaks", "Count the pairs of images that share something across splits."),
    "rm": Command("app.cli.datasets", "rm", "Remove a dataset with its jobs and images."),
}
_DEAD = {
    "ls": Command("app.cli.dead", "ls", "List dead units, newest first."),
    "retry": Command("app.cli.dead", "retry", "Retry dead units after their cause is fixed.", setting_use.SERVICES),
    "discard": Command("app.cli.dead", "discard", "Discard dead units.", setting_use.SERVICES),
}
_WORKSPACE = {
    "du": Command("app.cli.workspace", "du", "Show the disk space that the workspace takes.", setting_use.SERVICES),
    "prune": Command("app.cli.workspace", "prune", "Remove what nothing refers to any more.", setting_use.SERVICES),
}
_TOMBSTONES = {
    "ls": Command("app.cli.forget", "ls", "List what was removed on request and does not return, newest first."),
    "rm": Command("app.cli.forget", "rm", "Take a tombstone back: what it names may be downloaded again."),
}
_REVIEWS = {
    "ls": Command("app.cli.review", "ls", "List what people decided about the images of a dataset, newest first."),
    "undo": Command("app.cli.review", "undo", "Take a review back: its images are what they were before.", setting_use.SERVICES),
}
_SOURCES = {
    "ls": Command("app.cli.sources", "ls", "List the sources and what they require.", setting_use.SOURCES),
    "show": Command("app.cli.sources", "show", "Show one source: terms, licences, limits and what it requires.", setting_use.SOURCES),
    "check": Command("app.cli.sources", "check", "Ask a source one small question and show what came.", setting_use.SOURCE_CHECKS),
}
_DB = {
    "upgrade": Command("app.cli.db", "upgrade", "Bring the database to the newest schema."),
    "current": Command("app.cli.db", "current", "Show the schema, and the newest that this version knows."),
}
_KEYS = {
    "create": Command("app.cli.keys", "create", "Make an API key and print its token."),
    "ls": Command("app.cli.keys", "ls", "List API keys, without their tokens."),
    "revoke": Command("app.cli.keys", "revoke", "Revoke an API key at once."),
}
_CONFIG = {
    "show": Command("app.cli.config", "show", "Show every setting in force. Secrets are masked.", setting_use.ALL),
    "validate": Command("app.cli.config", "validate", "Check the settings: names, values, and the files they name.", setting_use.ALL),
}

COMMANDS: Mapping[str, Command | Group] = {
    "build": Command("app.cli.build", "build", "Build a dataset from keywords, URLs, pages or a folder of images.", setting_use.BUILD),
    "update": Command("app.cli.update", "update", "Make another version of a dataset, of what its origins have now.", setting_use.DELIVERY),
    "rebuild": Command("app.cli.rebuild", "rebuild", "Make the dataset of a lock again, byte for byte.", setting_use.DELIVERY),
    "resume": Command("app.cli.resume", "resume", "Continue a job that was interrupted or failed.", setting_use.DELIVERY),
    "finish": Command("app.cli.resume", "finish", "End a build with the images that it has.", setting_use.DELIVERY),
    "retry": Command("app.cli.resume", "retry", "Fetch again what failed in a build, as much as its target lacks.", setting_use.DELIVERY),
    "review": Command("app.cli.review", "review", "Decide about images of a dataset: keep, reject, relabel.", setting_use.REVIEW),
    "forget": Command("app.cli.forget", "forget", "Remove images on request, so that they do not return.", setting_use.FORGET),
    "explain": Command("app.cli.explain", "explain", "Explain what happened to a job, a URL or an image."),
    "fetch": Command("app.cli.fetch", "fetch", "Fetch one URL as a build would.", setting_use.DOWNLOADS),
    "serve": Command("app.cli.serve", "serve", "Serve the API.", setting_use.SERVE),
    "worker": Command("app.cli.worker", "worker", "Run a worker until SIGTERM.", setting_use.WORKERS),
    "queues": Command("app.cli.queues", "queues", "Show what waits in each queue, and the slots of its workers.", setting_use.SERVICES),
    "doctor": Command("app.cli.doctor", "doctor", "Check whether this machine is fit for a crawl.", setting_use.ALL),
    "openapi": Command("app.cli.openapi", "openapi", "Print the OpenAPI document of the API.", setting_use.NONE),
    "demo": Command("app.cli.demo", "demo", "Build a dataset from local hosts that misbehave.", setting_use.BUILD),
    "version": Command("app.cli.version", "version", "Print the version.", setting_use.NONE),
    "jobs": Group("Look at jobs and control them.", _JOBS),
    "images": Group("Look at images, kept or not.", _IMAGES),
    "datasets": Group("Look at datasets, export and verify them.", _DATASETS),
    "workers": Group("Look at the workers.", {"ls": Command("app.cli.workers", "ls", "List the workers and when each was last seen.")}),
    "workspace": Group("The disk space of the workspace.", _WORKSPACE),
    "dead": Group("Retry or discard units of work that died.", _DEAD),
    "tombstones": Group("What was removed on request and does not return.", _TOMBSTONES),
    "reviews": Group("What people decided about images.", _REVIEWS),
    "sources": Group("Sources that can be searched.", _SOURCES),
    "db": Group("The database's schema.", _DB),
    "keys": Group("API keys.", _KEYS),
    "config": Group("The settings.", _CONFIG),
}


class LazyCommands(MutableMapping[str, Any]):
    """Commands by name. A command's module is imported when the command is looked up, and no other module is."""

    def __init__(self, table: Mapping[str, Command | Group]) -> None:
        self.table = dict(table)
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = _load(name, self.table[name])
        return self._loaded[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.table)

    def __len__(self) -> int:
        return len(self.table)


class SectionedCommand(TyperCommand):
    """A command whose help has sections in plain text: importing rich would take longer than the whole answer."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the sections."""
        _write_sections(self, ctx, formatter)


class LazyGroup(TyperGroup):
    """A group whose help comes from the table of its commands, which are imported when they are used."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order of the table."""
        return list(self.commands)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the commands first, then the sections of options."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in cast(LazyCommands, self.commands).table.items()])
        _write_sections(self, ctx, formatter)


def _load(name: str, entry: Command | Group) -> TyperCommand | LazyGroup:
    """Import a command's module and make a Typer command of its function; make a group of a table."""
    if isinstance(entry, Group):
        commands = cast(Any, LazyCommands(entry.commands))
        return LazyGroup(name=name, help=entry.help, no_args_is_help=True, commands=commands, rich_markup_mode=None)
    function = getattr(importlib.import_module(entry.module), entry.function)
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name, cls=SectionedCommand)(with_global_options(function, entry.reads))
    return cast(TyperCommand, typer.main.get_command(app))


def command_tree() -> LazyGroup:
    """The root of all commands."""
    app = typer.Typer(
        name="pictrawl",
        help=ABOUT,
        no_args_is_help=True,
        cls=LazyGroup,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(with_global_options(_root))
    root = cast(LazyGroup, typer.main.get_command(app))
    root.commands = cast(Any, LazyCommands(COMMANDS))
    return root


def _root(
    cli: Cli,
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=print_and_exit)] = False,
) -> None:
    pass


def sections_of(command: Any, ctx: Any) -> dict[str, list[tuple[str, str]]]:
    """Parameters with their help, by section: arguments first, global options last."""
    sections: dict[str, list[tuple[str, str]]] = {"Arguments": []}
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is not None:
            default = "Arguments" if parameter.param_type_name == "argument" else "Options"
            name = getattr(parameter, "rich_help_panel", None) or default
            sections.setdefault(name, []).append((record[0], record[1]))
    ordered = sorted(sections.items(), key=lambda item: item[0].startswith("Global"))
    return {name: records for name, records in ordered if records}


def _write_sections(command: Any, ctx: Any, formatter: Any) -> None:
    for name, records in sections_of(command, ctx).items():
        with formatter.section(name):
            formatter.write_dl(records)


def run(arguments: Sequence[str]) -> int:
    """Run the command with these arguments; return its exit code."""
    cli = Cli()
    as_json = "--json" in arguments
    failures.install_bug_report(as_json=as_json, verbose="-vv" in arguments)
    try:
        code = command_tree().main(list(arguments), prog_name="pictrawl", standalone_mode=False, obj=cli)
    except KeyboardInterrupt:
        return exit_codes.SIGNALLED + 2
    except failures.KNOWN_ERRORS as error:
        return _fail(error, cli, as_json=as_json)
    return code if isinstance(code, int) else exit_codes.OK


def _fail(error: BaseException, cli: Cli, *, as_json: bool) -> int:
    if cli.verbose > 1:
        write_stderr(redact("".join(traceback.format_exception(error))))
    failure = failures.describe(error)
    failures.show(failure, as_json=as_json or cli.as_json)
    return failure.code


def main() -> None:
    """Run the command and leave with its exit code."""
    process_setup.defer_gc()
    sys.exit(run(sys.argv[1:]))
