"""Where images come from: sources that are searched by keyword, other words for a keyword, and lists of URLs.

Knows :mod:`app.domain` and the errors; no database, no queue, no HTTP library. A source requests through the client it is given.
"""

from app.discovery import expansion, keywords, licences, url_list
from app.discovery.expansion import Expansion, expand
from app.discovery.licences import gate as licence_gate
from app.discovery.licences.policy import LicencePolicy
from app.discovery.sources import SOURCES, check_source, missing, open_source
from app.discovery.sources.source import JsonClient, Query, SearchPage, Source, SourceInfo, SourceOptions

__all__ = [
    "SOURCES",
    "Expansion",
    "JsonClient",
    "LicencePolicy",
    "Query",
    "SearchPage",
    "Source",
    "SourceInfo",
    "SourceOptions",
    "check_source",
    "expand",
    "expansion",
    "keywords",
    "licence_gate",
    "licences",
    "missing",
    "open_source",
    "url_list",
]
