"""What the options of ``build`` mean: pure functions from their text to rules, shares and settings."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from app.cli.failures import Refused
from app.domain import CompressionRules

__all__ = ["compression", "name_of", "setting_flags", "shares", "sides"]

ENCODINGS = ("keep", "jpeg", "webp", "png")


def sides(text: str | None) -> tuple[int | None, int | None]:
    """``256x192`` as width and height in pixels; one number is both."""
    if text is None:
        return None, None
    match = re.fullmatch(r"(\d{1,5})(?:[xX×](\d{1,5}))?", text.strip())
    if match is None or "0" in (match[1].lstrip("0") or "0", (match[2] or match[1]).lstrip("0") or "0"):
        raise Refused(f"--min-size {text!r} is no size", "write WxH in pixels, as in --min-size 256x256")
    return int(match[1]), int(match[2] or match[1])


def shares(text: str | None) -> dict[str, float]:
    """``train=0.8,val=0.1,test=0.1``; what the shares must be is the request's business."""
    if text is None:
        return {"train": 1.0}
    table: dict[str, float] = {}
    for part in text.split(","):
        name, equals, share = part.strip().partition("=")
        try:
            value = float(share)
        except ValueError:
            value = -1.0
        if not equals or value < 0 or name in table:
            raise Refused(f"--split {text!r}: {part.strip()!r} is no share", "write --split train=0.8,val=0.1,test=0.1")
        table[name] = value
    return table


def compression(default: CompressionRules, *, encode: str | None, resize: str | None, size: int | None) -> CompressionRules:
    """The settings' rules with what the options change."""
    rules = default
    if encode is not None:
        rules = replace(rules, **_encoding(encode))
    if resize is not None:
        rules = replace(rules, resize=resize)  # type: ignore[arg-type]
    if size is None:
        return rules
    if rules.resize == "none":
        raise Refused(f"--size {size} without --resize changes nothing", "add --resize keep_ratio, center_crop or border")
    return replace(rules, size=size)


def _encoding(text: str) -> dict[str, Any]:
    name, colon, quality = text.partition(":")
    if name not in ENCODINGS or (colon and not (quality.isdigit() and 1 <= int(quality) <= 100)) or (name == "keep" and colon):
        raise Refused(f"--encode {text!r} is no encoding", "use keep, jpeg, webp or png, with a quality of 1 to 100: --encode webp:80")
    return {"format": name} | ({"level": int(quality)} if quality else {})


def setting_flags(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of ``build`` that stand for a setting, by the setting's name; those that were not given are left out."""
    flags = {
        "fetch.per_host": options.get("per_host"),
        "fetch.concurrency": options.get("concurrency"),
        "fetch.contact": options.get("contact"),
        "fetch.robots": False if options.get("no_robots") else None,
    }
    return {name: value for name, value in flags.items() if value is not None}


def name_of(keywords: list[str], list_name: str | None) -> str:
    """What a dataset is called where nobody says: its keywords, or its list without suffixes."""
    if keywords:
        return ", ".join(keywords)[:100]
    return ((list_name or "dataset").split(".")[0] or "dataset")[:100]
