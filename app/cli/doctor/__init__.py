"""``pictrawl doctor``: whether this machine is fit for a crawl. Each check shows what was measured and what to do."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

import errors
from app.cli import exit_codes
from app.cli.doctor import machine, services
from app.cli.doctor.finding import Finding, fail, note, ok
from app.cli.doctor.network import check_network
from app.cli.failures import UsageError
from app.cli.options import Cli
from app.cli.session import configure_logging, run
from app.cli.settings import load_settings, settings_flags
from app.formatting import clipped, count
from app.settings import Settings, origins

__all__ = ["GROUPS", "doctor"]

GROUPS = ("packages", "settings", "workspace", "database", "queue", "storage", "limits", "images", "network", "clock")
"""Groups of checks, in the order they are made."""

ONLY = f"Only this group; may be repeated: {', '.join(GROUPS)}."

MARKS = {"ok": "ok", "note": "note", "warn": "WARN", "fail": "FAIL"}


URL = "Fail unless the host of this URL answers, instead of asking those of the sources; may be repeated."


def doctor(
    cli: Cli,
    only: Annotated[list[str] | None, typer.Option("--only", metavar="GROUP", help=ONLY)] = None,
    url: Annotated[list[str] | None, typer.Option("--url", metavar="URL", help=URL)] = None,
) -> int:
    """Check whether this machine is fit for a crawl.

    Packages, settings, disk, database, Redis, storage, limits, codecs, clock, and the network: DNS, proxy, certificates.
    Exit code 5 where something is missing that every build by these settings needs: Redis, PostgreSQL, an object store and a
    proxy only where the settings name them. A source that does not answer is a note, since a list needs none.
    """
    groups = tuple(only or GROUPS)
    for group in groups:
        if group not in GROUPS:
            raise UsageError(f"there is no group {group!r}", f"there is {', '.join(GROUPS)}")
    findings = run(_check(cli, groups, url or ()))
    failed = [finding for finding in findings if finding.status == "fail"]
    lines = []
    for finding in findings:
        lines.append(f"{MARKS[finding.status]:<5} {finding.name:<18} {clipped(finding.value, 300)}")
        if finding.hint:
            lines.append(f"      {'hint':<18} {finding.hint}")
    summary = "no check failed" if not failed else f"{len(failed)} of {count(len(findings), 'check')} failed: {_names(failed)}"
    document = {"ok": not failed, "checks": [finding.document() for finding in findings]}
    cli.result("\n".join([*lines, summary]), document, brief="\n".join(finding.name for finding in failed) or "ok")
    return exit_codes.ENVIRONMENT if failed else exit_codes.OK


def _names(findings: Sequence[Finding]) -> str:
    return ", ".join(finding.name for finding in findings)


async def _check(cli: Cli, groups: Sequence[str], urls: Sequence[str]) -> list[Finding]:
    """Run the checks of these groups. Where the settings are wrong no other check can run."""
    try:
        settings = load_settings(cli)
    except errors.ConfigurationError as error:
        return [fail("settings", "settings", str(error), "pictrawl config show lists the names there are")]
    configure_logging(cli, settings, default="ERROR")
    findings: list[Finding] = []
    for group in groups:
        findings += await (check_network(settings, urls) if group == "network" else _check_group(group, cli, settings))
    return findings


async def _check_group(group: str, cli: Cli, settings: Settings) -> list[Finding]:
    match group:
        case "settings":
            return [_check_settings(cli, settings)]
        case "database":
            return await services.check_database(settings)
        case "queue":
            return await services.check_queue(settings)
        case "storage":
            return await services.check_storage(settings)
    checks: dict[str, Callable[[Settings], Iterable[Finding]]] = {
        "packages": machine.check_packages,
        "workspace": machine.check_workspace,
        "limits": machine.check_limits,
        "images": machine.check_images,
        "clock": machine.check_clock,
    }
    return list(checks[group](settings))


def _check_settings(cli: Cli, settings: Settings) -> Finding:
    changed = [name for name, (_, origin) in origins(settings, settings_flags(cli)).items() if origin != "default"]
    secret = settings.db.password_file
    if secret is not None and not Path(secret).is_file():
        what = ("settings", "settings", f"db.password_file {secret} is no file", "mount the secret, or leave the setting out")
        return note(*what) if settings.db.url is None else fail(*what)
    return ok("settings", "settings", f"valid; not at their defaults: {', '.join(changed) or 'none'}")
