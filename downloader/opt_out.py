"""Reply headers that reserve an image from use for training: X-Robots-Tag, the TDM reservation protocol, Content-Usage. Pure.

Where a header is malformed, what can be read of it counts: a refusal with a slip in it is still a refusal.
"""

import re
from collections.abc import Iterable
from typing import Final

import httpx

import errors

__all__ = ["AGENT", "opt_out_in", "refuse_opt_out"]

AGENT: Final = "pictrawl"
"""Our product token, as sites write it in robots.txt and X-Robots-Tag."""

_READ_CHARS: Final = 4096
"""More of one header is noise, and takes quadratic time where quotes do not close."""

_READ: Final = frozenset({b"x-robots-tag", b"tdm-reservation", b"content-usage"})
"""The headers that are read; nearly no reply has one."""

_OPT_OUTS: Final = frozenset({"noai", "noimageai"})
_VALUED_DIRECTIVES: Final = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
_AGENT_NAME: Final = re.compile(r"\*|[a-z_][a-z0-9._-]*(?:/[a-z0-9.]*)?")
"""A product token, perhaps with its version; the `25 Jun 2010 15` of a date is none."""

_TRAINING: Final = ("train-ai", "train-genai")
_MEMBER: Final = re.compile(r'(?:"(?:\\.|[^"\\])*+"|[^",])+')
"""A member of a structured dictionary (RFC 9651 3.2): a comma inside a string does not end it."""


def refuse_opt_out(headers: httpx.Headers) -> None:
    """Refuse a reply whose headers reserve it from use for training.

    Raises:
        errors.OptOutError: with the header as evidence.
    """
    evidence = opt_out_in(headers)
    if evidence is not None:
        raise errors.OptOutError("the reply's headers refuse use for training", evidence=evidence)


def opt_out_in(headers: httpx.Headers) -> str | None:
    """Return the header line that refuses use for training, fit to be shown, or None. Of a long one the part that refuses is left.

    Read are X-Robots-Tag ``noai`` and ``noimageai`` (for everybody or for our token), the TDM reservation protocol's
    ``tdm-reservation: 1`` and the IETF draft's ``Content-Usage: train-ai=n``.
    """
    if _READ.isdisjoint([name.lower() for name, _ in headers.raw]):
        return None
    for value in headers.get_list("x-robots-tag"):
        if directive := _opt_out_tag(value):
            return _line("x-robots-tag", value, directive)
    for value in headers.get_list("tdm-reservation"):
        if _is_reserved(value):
            return _line("tdm-reservation", value, "1")
    usage = headers.get_list("content-usage")
    if key := _barred_training(usage):
        return _line("content-usage", ", ".join(usage), f"{key}=n")
    return None


def _line(name: str, value: str, deciding: str) -> str:
    line = f"{name}: {value}"
    return errors.as_evidence(line if len(line) <= errors.EVIDENCE_CHARS else f"{name}: … {deciding} … (of {len(value)} characters)")


def _opt_out_tag(value: str) -> str | None:
    """Read ``[agent:] directive, ...``: an agent's name holds until the next one; a directive with a value is no agent."""
    ours = True
    for part in value.lower().split(","):
        name, colon, rest = part.partition(":")
        directive = part.strip()
        if colon and _is_agent(name.strip()):
            ours = name.strip().partition("/")[0] in {"*", AGENT}
            directive = rest.strip()
        if ours and directive in _OPT_OUTS:
            return directive
    return None


def _is_agent(name: str) -> bool:
    return name not in _VALUED_DIRECTIVES and _AGENT_NAME.fullmatch(name) is not None


def _is_reserved(value: str) -> bool:
    return value.partition(";")[0].strip() == "1"


def _barred_training(values: Iterable[str]) -> str | None:
    """Read the headers as one dictionary, in which the last of two equal keys counts."""
    usage: dict[str, str] = {}
    for value in values:
        for member in _MEMBER.findall(value[:_READ_CHARS].lower()):
            key, _, said = member.partition(";")[0].partition("=")
            usage[key.strip()] = said.strip()
    return next((key for key in _TRAINING if usage.get(key) == "n"), None)
