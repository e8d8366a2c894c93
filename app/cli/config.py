"""``pictrawl config``: the settings in force, where each comes from, and whether they are valid."""

import json
from typing import Annotated, Any

import typer

from app.cli.failures import UsageError
from app.cli.options import Cli
from app.cli.output import table
from app.cli.settings import load_settings, settings_flags
from app.resources import make_network
from app.settings import origins

__all__ = ["show", "validate"]


def show(cli: Cli, with_origins: Annotated[bool, typer.Option("--origins", help="Also show where each value comes from.")] = False) -> int:
    """Show every setting in force. Secrets are masked."""
    found = origins(load_settings(cli), settings_flags(cli))
    if with_origins:
        document: dict[str, Any] = {name: {"value": value, "origin": origin} for name, (value, origin) in found.items()}
        text = table(("setting", "value", "origin"), [(name, _toml_value(value), origin) for name, (value, origin) in found.items()])
    else:
        document = {name: value for name, (value, _) in found.items()}
        text = _toml(document)
    cli.result(text, document, brief="\n".join(f"{name}={_toml_value(value)}" for name, (value, _) in found.items()))
    return 0


def _toml_value(value: Any) -> str:
    """A value as TOML writes it; ``-`` for a value that is not set."""
    if isinstance(value, dict):
        items = ", ".join(f"{json.dumps(key)} = {_toml_value(item)}" for key, item in value.items())
        return f"{{ {items} }}" if items else "{}"
    return "-" if value is None else json.dumps(value, ensure_ascii=False)


def _toml(values: dict[str, Any]) -> str:
    lines: list[str] = []
    section = ""
    for name, value in values.items():
        head, _, field = name.partition(".")
        if not field:
            lines += _tables(name, value)
            continue
        if head != section:
            lines += ["", f"[{head}]"] if lines else [f"[{head}]"]
            section = head
        lines.append(f"# {field} is not set" if value is None else f"{field} = {_toml_value(value)}")
    return "\n".join(lines)


def _tables(name: str, tables: dict[str, dict[str, Any]]) -> list[str]:
    """The tables of a setting that has one for each host, or a line that says that there is none."""
    if not tables:
        return ["", f"# {name} is not set"]
    lines: list[str] = []
    for key, fields in tables.items():
        lines += ["", f"[{name}.{json.dumps(key)}]"]
        lines += [f"{field} = {_toml_value(value)}" for field, value in fields.items() if value]
    return lines


def validate(cli: Cli) -> int:
    """Check the settings: names, values, and the files they name."""
    settings = load_settings(cli)
    make_network(settings)
    path = settings.db.password_file
    if path is not None and not path.is_file():
        raise UsageError(f"db.password_file names {path}, which is no file", "mount the secret, or leave the setting out")
    cli.result("the settings are valid", {"valid": True}, brief="ok")
    return 0
