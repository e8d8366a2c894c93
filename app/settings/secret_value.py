"""A setting whose value is secret: written plainly, or read from the environment or a file when it is needed."""

import os
from pathlib import Path
from typing import Any, Self

from pydantic import SecretStr, model_serializer, model_validator

import errors
from app.strict import Strict

__all__ = ["SecretValue"]

_FORMS = '"text", {env = "NAME"} or {file = "path"}'


class SecretValue(Strict):
    """A text, or where to find it."""

    value: SecretStr | None = None
    env: str | None = None
    file: Path | None = None

    @model_validator(mode="before")
    @classmethod
    def _read(cls, given: Any) -> Any:
        if isinstance(given, str | SecretStr):
            return {"value": given}
        if not isinstance(given, dict | cls):
            raise ValueError(f"write {_FORMS}")
        return given

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if sum(item is not None for item in (self.value, self.env, self.file)) != 1:
            raise ValueError(f"write one of {_FORMS}")
        return self

    @model_serializer(when_used="json")
    def _masked(self) -> str | dict[str, str]:
        if self.env is not None:
            return {"env": self.env}
        return {"file": str(self.file)} if self.file is not None else "**********"

    def reveal(self, setting: str) -> str:
        """Return the text; the line break at the end of a file is not part of it.

        Args:
            setting: its name, for the message.

        Raises:
            errors.ConfigurationError: the variable is not set, or the file cannot be read.
        """
        if self.value is not None:
            return self.value.get_secret_value()
        return _from_environment(setting, self.env) if self.env is not None else _from_file(setting, self.file or Path())


def _from_environment(setting: str, name: str) -> str:
    if name not in os.environ:
        raise errors.ConfigurationError(f"{setting}: the environment variable {name} is not set; set it, or remove the setting")
    return os.environ[name]


def _from_file(setting: str, file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise errors.ConfigurationError(f"{setting}: cannot read {file}: {why}; mount the file, or remove the setting") from error
