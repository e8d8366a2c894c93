"""``pictrawl version``."""

from importlib import metadata

from app.cli.options import Cli

__all__ = ["version"]


def version(cli: Cli) -> int:
    """Print the version."""
    try:
        number = metadata.version("pictrawl")
    except metadata.PackageNotFoundError:
        number = "0+source"
    cli.result(f"pictrawl {number}", {"version": number}, brief=number)
    return 0
