"""All checks in their order. A setting that is wrong ends it: nothing else can be judged without them."""

from collections.abc import Sequence
from pathlib import Path

import errors
from app.cli.doctor import machine, services
from app.cli.doctor.finding import Finding, fail, ok
from app.cli.session import log_to
from app.cli.state import Cli
from app.settings import Settings, origins

__all__ = ["examine"]


async def examine(cli: Cli, groups: Sequence[str]) -> list[Finding]:
    """Run the checks of these groups."""
    try:
        settings = cli.settings()
    except errors.ConfigurationError as error:
        return [fail("settings", "settings", str(error), "pictrawl config show lists the names there are")]
    log_to(cli, settings, default="ERROR")
    findings: list[Finding] = []
    for group in groups:
        findings += await _group(group, cli, settings)
    return findings


async def _group(group: str, cli: Cli, settings: Settings) -> list[Finding]:
    match group:
        case "settings":
            return [_settings(cli, settings)]
        case "database":
            return await services.check_database(settings)
        case "queue":
            return await services.check_queue(settings)
        case "storage":
            return await services.check_storage(settings)
        case "network":
            return await machine.check_network(settings)
    checks = {
        "packages": machine.check_packages,
        "workspace": machine.check_workspace,
        "limits": machine.check_limits,
        "images": machine.check_images,
        "clock": machine.check_clock,
    }
    return list(checks[group](settings))


def _settings(cli: Cli, settings: Settings) -> Finding:
    changed = [name for name, (_, origin) in origins(settings, cli.flags()).items() if origin != "default"]
    secret = settings.db.password_file
    if secret is not None and not Path(secret).is_file():
        return fail("settings", "settings", f"db.password_file {secret} is no file", "mount the secret, or leave the setting out")
    return ok("settings", "settings", f"valid; not at their defaults: {', '.join(changed) or 'none'}")
