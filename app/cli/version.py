"""``pictrawl version``."""

from app.cli.state import Cli

__all__ = ["version"]


def version(cli: Cli) -> int:
    """Print the version."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        number = installed("pictrawl")
    except PackageNotFoundError:
        number = "0+source"
    cli.result(f"pictrawl {number}", {"version": number}, brief=number)
    return 0
