"""Where images come from: sources that are searched by keyword, other words for a keyword, and lists of URLs.

Knows the records and the errors; no database, no queue, no HTTP library. A source speaks through the client it is given.
"""

from app.discovery import chunks, keywords, licences, url_list, wikidata
from app.discovery.base import JsonClient, Page, Source
from app.discovery.registry import SOURCES, SourceInfo, check_source, open_source
from app.discovery.wikidata import Expansion, expand

__all__ = [
    "SOURCES",
    "Expansion",
    "JsonClient",
    "Page",
    "Source",
    "SourceInfo",
    "check_source",
    "chunks",
    "expand",
    "keywords",
    "licences",
    "open_source",
    "url_list",
    "wikidata",
]
