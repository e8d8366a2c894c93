"""``pictrawl version`` and ``pictrawl --version``."""

from importlib import metadata

import typer

from app.cli.options import Cli

__all__ = ["print_and_exit", "version"]


def version(cli: Cli) -> int:
    """Print the version."""
    number = _number()
    cli.result(f"pictrawl {number}", {"version": number}, brief=number)
    return 0


def print_and_exit(wanted: bool) -> None:
    """The callback of ``--version``.

    Raises:
        typer.Exit: it was given.
    """
    if wanted:
        typer.echo(f"pictrawl {_number()}")
        raise typer.Exit


def _number() -> str:
    try:
        return metadata.version("pictrawl")
    except metadata.PackageNotFoundError:
        return "0+source"
