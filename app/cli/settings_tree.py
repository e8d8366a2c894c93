"""The settings as a list: name, environment variable, default, description. For ``--set`` and for the reference."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from app.settings import ENV_PREFIX, Settings

__all__ = ["SettingLine", "list_settings", "setting_lines"]


@dataclass(frozen=True, slots=True)
class SettingLine:
    """One setting. ``default`` is written as the environment would write it; empty where there is none."""

    name: str
    variable: str
    default: str
    description: str
    is_list: bool


def setting_lines() -> Iterator[SettingLine]:
    """Every setting, in the order of the tree."""
    for section, field in Settings.model_fields.items():
        head = field.alias or section
        kind = field.annotation
        assert isinstance(kind, type)
        assert issubclass(kind, BaseModel)
        for name, leaf in kind.model_fields.items():
            yield _line(f"{head}.{name}", leaf)


def _line(name: str, leaf: FieldInfo) -> SettingLine:
    variable = ENV_PREFIX + name.replace(".", "__").upper()
    is_list = get_origin(leaf.annotation) is tuple
    return SettingLine(name, variable, _written(leaf.default), leaf.description or "", is_list)


def _written(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple | list):
        return json.dumps(value)
    if isinstance(value, bool):
        return str(value).lower()
    return value.as_posix() if isinstance(value, Path) else str(value)


def list_settings() -> frozenset[str]:
    """Names of the settings that hold several values."""
    return frozenset(line.name for line in setting_lines() if line.is_list)
