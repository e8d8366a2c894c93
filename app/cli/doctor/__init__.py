"""``pictrawl doctor``: is this machine fit for a crawl? Each check with what was measured and what to do."""

from typing import Annotated

import typer

from app.cli import codes
from app.cli.state import Cli

__all__ = ["GROUPS", "doctor"]

GROUPS = ("packages", "settings", "workspace", "database", "queue", "storage", "limits", "images", "network", "clock")
"""Groups of checks, in the order they are made."""

ONLY = f"Only this group; may be repeated: {', '.join(GROUPS)}."

MARKS = {"ok": "ok", "warn": "WARN", "fail": "FAIL"}


def doctor(
    cli: Cli,
    only: Annotated[list[str] | None, typer.Option("--only", metavar="GROUP", help=ONLY)] = None,
) -> int:
    """Check whether this machine is fit for a crawl.

    Packages, settings, disk, database, Redis, storage, limits, codecs, DNS, clock.
    Exit code 5 where something would keep a build from working.
    """
    from app.cli.doctor.checkup import examine
    from app.cli.failures import Refused
    from app.cli.session import run
    from app.cli.words import clipped

    groups = tuple(only or GROUPS)
    for group in groups:
        if group not in GROUPS:
            raise Refused(f"there is no group {group!r}", f"there is {', '.join(GROUPS)}")
    findings = run(examine(cli, groups))
    failed = [finding for finding in findings if finding.status == "fail"]
    lines = []
    for finding in findings:
        lines.append(f"{MARKS[finding.status]:<5} {finding.name:<18} {clipped(finding.value, 300)}")
        if finding.hint:
            lines.append(f"      {'hint':<18} {finding.hint}")
    summary = "all is well" if not failed else f"{len(failed)} of {len(findings)} checks failed"
    document = {"ok": not failed, "checks": [finding.document() for finding in findings]}
    cli.result("\n".join([*lines, summary]), document, brief="\n".join(finding.name for finding in failed) or "ok")
    return codes.ENVIRONMENT if failed else codes.OK
