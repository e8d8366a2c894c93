"""All keyword sources by name. Opening a source requests nothing.

To add one: a module here, its class in ``_CLASSES`` and its settings in ``SourcesSettings``.
"""

import difflib
from collections.abc import Mapping
from types import MappingProxyType

import errors
from app.discovery.sources.artic import Artic
from app.discovery.sources.cleveland import Cleveland
from app.discovery.sources.europeana import Europeana
from app.discovery.sources.flickr import Flickr
from app.discovery.sources.gbif import Gbif
from app.discovery.sources.inaturalist import INaturalist
from app.discovery.sources.internet_archive import InternetArchive
from app.discovery.sources.met import Met
from app.discovery.sources.nasa import Nasa
from app.discovery.sources.openverse import Openverse
from app.discovery.sources.smithsonian import Smithsonian
from app.discovery.sources.smk import Smk
from app.discovery.sources.source import JsonClient, Source, SourceInfo, SourceOptions
from app.discovery.sources.wikimedia import Wikimedia

__all__ = ["SOURCES", "check_source", "missing", "open_source"]

_CLASSES: Mapping[str, type[Source]] = {
    source.info.name: source
    for source in (
        Artic,
        Cleveland,
        Europeana,
        Flickr,
        Gbif,
        INaturalist,
        InternetArchive,
        Met,
        Nasa,
        Openverse,
        Smithsonian,
        Smk,
        Wikimedia,
    )
}

SOURCES: Mapping[str, SourceInfo] = MappingProxyType({name: source.info for name, source in _CLASSES.items()})
"""Every source by its name."""


def open_source(name: str, client: JsonClient, options: SourceOptions) -> Source:
    """Return the source called ``name``, which speaks through ``client``.

    Raises:
        errors.PermanentError: see `check_source`.
    """
    check_source(name, options)
    return _CLASSES[name](client, options)


def check_source(name: str, options: SourceOptions) -> None:
    """Refuse a source that cannot be searched.

    Raises:
        errors.ValidationError: there is no such source.
        errors.ConfigurationError: it needs a contact or a key and there is none.
    """
    if name not in SOURCES:
        raise errors.ValidationError(_unknown(name))
    if problem := missing(SOURCES[name], options):
        raise errors.ConfigurationError(problem)


def missing(info: SourceInfo, options: SourceOptions) -> str | None:
    """Return in words what a source needs and does not have, with the way out; ``None`` where it is ready."""
    if info.needs_contact and not options.contact.strip():
        return (
            f"{info.title} requires a mail or web address in every request, to reach you; "
            "add --contact you@example.org, or for a server set fetch.contact (PICTRAWL_FETCH__CONTACT)"
        )
    if info.key == "required" and not options.key:
        variable = f"PICTRAWL_SOURCES__{info.name.upper()}__KEY"
        return f"{info.title} answers nobody without an API key; get one at {info.key_url} and set sources.{info.name}.key ({variable})"
    return None


def _unknown(name: str) -> str:
    known = ", ".join(SOURCES)
    near = difflib.get_close_matches(name.lower(), SOURCES, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else f"there is {known}"
    if "," in name:
        hint = f"name each one by itself, as in -s {' -s '.join(part.strip()[:40] for part in name.split(',')[:2])}"
    return f"there is no source {name[:60]!r}; {hint}"
