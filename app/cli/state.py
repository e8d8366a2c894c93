"""What every command is given: the global options, the settings they lead to, and the two ways out, stdout and stderr."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.cli.aside import say
from app.cli.failures import Refused

if TYPE_CHECKING:
    from app.settings import Settings

__all__ = ["Cli"]


@dataclass(slots=True)
class Cli:
    """One run of the command. Options may stand before or behind the command's name; both are taken in here."""

    config: Path | None = None
    sets: list[str] = field(default_factory=list)
    workspace: Path | None = None
    as_json: bool = False
    quiet: bool = False
    verbose: int = 0
    log_level: str | None = None
    no_color: bool = False
    progress: str = "auto"

    def take(self, values: Mapping[str, Any]) -> None:
        """Take options in: lists add up, counts too, for the rest the later one holds."""
        self.sets = [*self.sets, *(values.get("sets") or [])]
        self.verbose += values.get("verbose") or 0
        for name in ("config", "workspace", "as_json", "quiet", "log_level", "no_color", "progress"):
            if values.get(name):
                setattr(self, name, values[name])

    def flags(self, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What the command line says of settings, by dotted name; a command's own options win over ``--set``."""
        flags: dict[str, Any] = {}
        for text in self.sets:
            name, value = _assignment(text)
            flags[name] = value
        if self.workspace is not None:
            flags["workspace.path"] = self.workspace
        level = self.log_level or {0: None, 1: "INFO"}.get(self.verbose, "DEBUG")
        if level is not None:
            flags["log.level"] = level
        return flags | dict(more or {})

    def settings(self, more: Mapping[str, Any] | None = None) -> "Settings":
        """Read the settings.

        Raises:
            errors.ConfigurationError: one of them is wrong or does not exist.
        """
        from app.settings import load_settings

        if self.config is not None:
            os.environ["PICTRAWL_CONFIG"] = str(self.config)
        return load_settings(self.flags(more))

    @property
    def again(self) -> str:
        """The options by which another command finds this workspace."""
        workspace = f" --workspace {self.workspace}" if self.workspace else ""
        return workspace + (f" --config {self.config}" if self.config else "")

    @property
    def is_terminal(self) -> bool:
        """Whether a person looks at stderr."""
        return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    @property
    def has_colour(self) -> bool:
        """Whether stderr may be coloured."""
        return self.is_terminal and not self.no_color and not os.environ.get("NO_COLOR")

    def result(self, text: str, document: Any, *, brief: str | None = None) -> None:
        """Write the command's result to stdout: ``document`` for scripts, ``brief`` for ``--quiet``, else ``text``."""
        if self.as_json:
            self.document(document)
            return
        shown = brief if self.quiet and brief is not None else text
        if shown:
            sys.stdout.write(shown.rstrip("\n") + "\n")
            sys.stdout.flush()

    def document(self, document: Any) -> None:
        """Write one JSON document to stdout."""
        sys.stdout.write(json.dumps(document, ensure_ascii=False, default=str) + "\n")
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """Say something beside the result; ``--quiet`` hides it."""
        if not self.quiet:
            say(text.rstrip("\n") + "\n")

    def warn(self, text: str, hint: str = "") -> None:
        """Say something that should not be missed."""
        say(f"warning: {text}\n" + (f"  hint: {hint}\n" if hint else ""))


def _assignment(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    section, dot, setting = name.strip().partition(".")
    if not equals or not dot or not section or not setting:
        raise Refused(f"--set {text!r} is no assignment", "write --set section.name=value, as in --set fetch.per_host=4")
    return name.strip(), _value(name.strip(), value.strip())


def _value(name: str, text: str) -> Any:
    """A list may be JSON or words with commas between them; everything else is the settings' own business."""
    if text.startswith(("[", "{")):
        try:
            return json.loads(text)
        except ValueError as error:
            raise Refused(f"--set {name}={text}: not JSON: {error}", f"""quote it: --set '{name}=["a", "b"]'""") from None
    from app.cli.settings_tree import list_settings

    return [part.strip() for part in text.split(",") if part.strip()] if name in list_settings() else text
