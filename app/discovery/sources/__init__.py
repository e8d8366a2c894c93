"""All keyword sources by name. Opening a source requests nothing.

To add one: a module here, its class in ``_CLASSES``, its settings in ``SourcesSettings``, and their use in ``app.resources.make_source``.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import errors
from app.discovery.sources.source import JsonClient, Source
from app.discovery.sources.wikimedia import DEFAULT_WIDTH_PX, Wikimedia

__all__ = ["SOURCES", "SourceInfo", "check_source", "open_source"]


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """The description of a source; the fields mean the same as on :class:`app.discovery.sources.source.Source`."""

    name: str
    title: str
    needs_contact: bool
    needs_key: bool
    terms_url: str
    licences: str
    depth: int | None


_CLASSES: Mapping[str, type[Wikimedia]] = {Wikimedia.name: Wikimedia}


def _describe(source: type[Wikimedia]) -> SourceInfo:
    return SourceInfo(source.name, source.title, source.needs_contact, source.needs_key, source.terms_url, source.licences, source.depth)


SOURCES: Mapping[str, SourceInfo] = MappingProxyType({name: _describe(source) for name, source in _CLASSES.items()})
"""Every source by its name."""


def open_source(
    name: str, client: JsonClient, *, contact: str, base_url: str | None = None, width_px: int | None = DEFAULT_WIDTH_PX
) -> Source:
    """Return the source called ``name``, speaking through ``client``.

    Args:
        contact: how the operator can be reached; the client sends it, here it is only asked for.
        base_url: scheme and host to ask instead of the source's own.
        width_px: the width that images are wanted in, for sources that offer several; ``None`` for originals.

    Raises:
        errors.PermanentError: see `check_source`.
    """
    check_source(name, contact=contact)
    return _CLASSES[name](client, base_url=base_url, width_px=width_px)


def check_source(name: str, *, contact: str) -> None:
    """Refuse a source that cannot be searched.

    Raises:
        errors.ValidationError: there is no such source.
        errors.ConfigurationError: it needs a contact and there is none.
    """
    source = _CLASSES.get(name)
    if source is None:
        raise errors.ValidationError(_unknown(name))
    if source.needs_contact and not contact.strip():
        raise errors.ConfigurationError(
            f"{source.title} requires a mail or web address in every request, to reach you; "
            "add --contact you@example.org, or for a server set fetch.contact (PICTRAWL_FETCH__CONTACT)"
        )


def _unknown(name: str) -> str:
    known = ", ".join(SOURCES)
    near = difflib.get_close_matches(name.lower(), SOURCES, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else f"there is {known}"
    return f"there is no source {name[:60]!r}; {hint}"
