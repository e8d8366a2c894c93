"""Settings from the command line: ``--set``, ``--workspace`` and the log options over the environment and the settings file."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from app.cli.failures import UsageError
from app.cli.options import Cli
from app.settings import ENV_PREFIX, Settings
from app.settings import load_settings as load

__all__ = ["SettingLine", "given_settings", "load_settings", "setting_lines", "settings_flags"]

OPTIONS: Mapping[str, str] = {
    "fetch.per_host": "--per-host",
    "fetch.concurrency": "--concurrency",
    "fetch.contact": "--contact",
    "fetch.robots": "--no-robots",
    "export.report": "--no-report",
    "serve.host": "--host",
    "serve.port": "--port",
}
"""The options of commands that are settings, by the setting."""


def load_settings(cli: Cli, more: Mapping[str, Any] | None = None) -> Settings:
    """Read the settings; ``more`` are values by dotted name that win over the global options.

    Raises:
        errors.ConfigurationError: a setting is wrong or does not exist.
    """
    if cli.config is not None:
        os.environ["PICTRAWL_CONFIG"] = str(cli.config)
    return load(settings_flags(cli, more), options={name: OPTIONS[name] for name in more or () if name in OPTIONS})


def settings_flags(cli: Cli, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The values that the command line gives to settings, by dotted name; a command's own options win over ``--set``."""
    flags = dict(_assignment(text) for text in cli.sets)
    if cli.workspace is not None:
        flags["workspace.path"] = cli.workspace
    level = cli.log_level or {0: None, 1: "INFO"}.get(cli.verbose, "DEBUG")
    if level is not None:
        flags["log.level"] = level
    return flags | dict(more or {})


def given_settings(cli: Cli, more: Mapping[str, Any]) -> dict[str, str]:
    """The settings of the command line, with the option that gives each; ``more`` are those of a command's own options."""
    sets = {text.partition("=")[0].strip() for text in cli.sets}
    return {name: f"--set {name}" for name in sets} | {name: OPTIONS[name] for name in more}


def _assignment(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    section, dot, setting = name.strip().partition(".")
    if not equals or not dot or not section or not setting:
        raise UsageError(f"--set {text!r} is not SECTION.NAME=VALUE", "for example --set fetch.per_host=4")
    return name.strip(), _value(name.strip(), value.strip())


def _value(name: str, text: str) -> Any:
    """Lists are JSON, or items with commas between them; the settings themselves parse everything else."""
    if text.startswith(("[", "{")):
        try:
            return json.loads(text)
        except ValueError as error:
            raise UsageError(f"--set {name}={text}: not JSON: {error}", f"""quote it: --set '{name}=["a", "b"]'""") from None
    is_list = any(line.is_list for line in setting_lines() if line.name == name)
    return [part.strip() for part in text.split(",") if part.strip()] if is_list else text


@dataclass(frozen=True, slots=True)
class SettingLine:
    """One setting. ``default`` is written as in the environment; empty where there is none."""

    name: str
    variable: str
    default: str
    description: str
    is_list: bool


def setting_lines(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[SettingLine]:
    """Every setting, in the order of the tree."""
    for field_name, field in model.model_fields.items():
        name = prefix + (field.alias or field_name)
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from setting_lines(kind, f"{name}.")
        else:
            yield _line(name, field)


def _line(name: str, leaf: FieldInfo) -> SettingLine:
    variable = ENV_PREFIX + name.replace(".", "__").upper()
    is_list = get_origin(leaf.annotation) is tuple
    return SettingLine(name, variable, _default_text(leaf.default), leaf.description or "", is_list)


def _default_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple | list):
        return json.dumps(value)
    if isinstance(value, bool):
        return str(value).lower()
    if value == {}:
        return "{}"
    return value.as_posix() if isinstance(value, Path) else str(value)
