"""Expressions of what content may be used for: Content-Usage (IETF aipref) and Content-Signal. Pure: says what a text says on training."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["TrainingUse", "training_in_signal", "training_in_usage"]

_READ_CHARS: Final = 4096
"""Longer texts are cut off: reading one takes quadratic time where quotes do not close."""

_MEMBER: Final = re.compile(r'(?:"(?:\\.|[^"\\])*+"|[^",])+')
"""A member of a structured dictionary (RFC 9651 3.2): a comma inside a string does not end it."""

_TRAINING: Final = ("train-ai", "train-genai")
_ANY_USE: Final = ("ai", "bots")
"""Categories that contain training; they count where training itself is not allowed by name."""


@dataclass(frozen=True, slots=True)
class TrainingUse:
    """What an expression says on training: allowed or refused, and by which of its members."""

    is_refused: bool
    member: str


def training_in_usage(values: Iterable[str]) -> TrainingUse | None:
    """Read Content-Usage, several values as one structured dictionary: the last of two equal keys counts. None: nothing on training."""
    usage: dict[str, str] = {}
    for value in values:
        for member in _MEMBER.findall(value[:_READ_CHARS].lower()):
            key, _, setting = member.partition(";")[0].partition("=")
            usage[key.strip()] = setting.strip()
    return _first(usage, _TRAINING, "n") or _first(usage, _TRAINING, "y") or _first(usage, _ANY_USE, "n") or _first(usage, _ANY_USE, "y")


def training_in_signal(value: str) -> TrainingUse | None:
    """Read Content-Signal: ``search=yes, ai-train=no``; of two equal keys the refusal counts."""
    pairs = [pair.partition("=") for pair in re.split(r"[,;]", value.lower())]
    stated = [setting.strip() for key, _, setting in pairs if key.strip() == "ai-train"]
    refused = next((setting for setting in stated if setting in ("no", "n")), None)
    if refused is not None:
        return TrainingUse(True, f"ai-train={refused}")
    return TrainingUse(False, "ai-train=yes") if "yes" in stated else None


def _first(usage: Mapping[str, str], keys: Iterable[str], setting: str) -> TrainingUse | None:
    return next((TrainingUse(setting == "n", f"{key}={setting}") for key in keys if usage.get(key) == setting), None)
