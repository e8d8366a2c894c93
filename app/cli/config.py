"""``pictrawl config``: the settings in force, where each comes from, and whether they hold together."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from app.cli.state import Cli

__all__ = ["COMMANDS"]


def show(cli: Cli, with_origins: Annotated[bool, typer.Option("--origins", help="Also say where each value comes from.")] = False) -> int:
    """Show every setting in force. Secrets are masked."""
    from app.cli.words import table
    from app.settings import origins

    settings = cli.settings()
    found = origins(settings, cli.flags())
    if with_origins:
        document: dict[str, Any] = {name: {"value": value, "origin": origin} for name, (value, origin) in found.items()}
        text = table(("setting", "value", "origin"), [(name, _shown(value), origin) for name, (value, origin) in found.items()])
    else:
        document = {name: value for name, (value, _) in found.items()}
        text = _toml(document)
    cli.result(text, document, brief="\n".join(f"{name}={_shown(value)}" for name, (value, _) in found.items()))
    return 0


def _shown(value: Any) -> str:
    """A value as TOML writes it; there is no word for a value that is not set."""
    import json

    return "-" if value is None else json.dumps(value, ensure_ascii=False)


def _toml(values: dict[str, Any]) -> str:
    lines: list[str] = []
    section = ""
    for name, value in values.items():
        head, _, field = name.partition(".")
        if head != section:
            lines += ["", f"[{head}]"] if lines else [f"[{head}]"]
            section = head
        lines.append(f"# {field} is not set" if value is None else f"{field} = {_shown(value)}")
    return "\n".join(lines)


def validate(cli: Cli) -> int:
    """Check the settings: names, values, and the files they name."""
    from app.cli.failures import Refused

    settings = cli.settings()
    path = settings.db.password_file
    if path is not None and not path.is_file():
        raise Refused(f"db.password_file names {path}, which is no file", "mount the secret, or leave the setting out")
    cli.result("the settings are valid", {"valid": True}, brief="ok")
    return 0


COMMANDS: dict[str, Callable[..., int]] = {"show": show, "validate": validate}
