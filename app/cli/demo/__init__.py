"""``pictrawl demo``: an ordinary build against an origin of our own that misbehaves in every way a crawler meets."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.state import Cli

__all__ = ["demo"]


def demo(
    cli: Cli,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where everything goes.")] = Path("pictrawl-demo"),
) -> int:
    """Build a dataset from local hosts that misbehave.

    Takes half a minute. Nothing leaves this machine. Shows the retries, the reasons and the summary of a real build.
    """
    from app.cli.demo.show import run_demo
    from app.cli.session import run

    return run(run_demo(cli, output))
