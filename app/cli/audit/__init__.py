"""``pictrawl audit``: the rules that the code keeps, and the project's success metrics with what was measured for each."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli import codes
from app.cli.state import Cli

__all__ = ["audit"]

IMAGES = 400
SOURCE = "Read the sources below DIR instead of the installed ones; implies --static."
COVERAGE = "What coverage left: a data file or a report in JSON (./coverage.json or ./.coverage)."


def audit(
    cli: Cli,
    static: Annotated[bool, typer.Option("--static", help="Only read the sources; run no pipeline.")] = False,
    images: Annotated[int, typer.Option("--images", min=20, metavar="N", help="Images of the run that measures CPU.")] = IMAGES,
    coverage: Annotated[Path | None, typer.Option("--coverage", metavar="FILE", help=COVERAGE, show_default=False)] = None,
    source: Annotated[Path | None, typer.Option("--source", metavar="DIR", help=SOURCE, show_default=False)] = None,
) -> int:
    """Check that retries, errors and logs keep their rules, and measure it.

    Runs small builds against a failing server on this machine, for half a minute; nothing leaves it.
    Exit code 7 where a rule is broken or a metric is missed. A time over its bound is shown as such and is no failure.
    """
    from app.cli.audit.inspecting import inspect
    from app.cli.audit.show import document, text

    found = inspect(cli, static=static, images=images, coverage=coverage, source=source)
    broken = "\n".join(found.failures)
    cli.result(text(found), document(found), brief=broken or "ok")
    return codes.UNVERIFIED if found.failures else codes.OK
