"""Rules that the operators of big sites set for every client, by domain. They hold whatever the settings say."""

from dataclasses import dataclass
from typing import Final

__all__ = ["SiteProfile", "limited_as", "site_profile"]


@dataclass(frozen=True, slots=True)
class SiteProfile:
    """One site's rules.

    Attributes:
        max_in_flight: requests at once to one of its hosts.
        needs_contact: the User-Agent must name a way to reach the operator of the client.
        terms_url: the page that states these rules.
    """

    max_in_flight: int
    needs_contact: bool
    terms_url: str


_WIKIMEDIA: Final = SiteProfile(2, needs_contact=True, terms_url="https://wikitech.wikimedia.org/wiki/Robot_policy")

_GBIF: Final = SiteProfile(1, needs_contact=False, terms_url="https://techdocs.gbif.org/en/openapi/images")

_PROFILES: Final[dict[str, SiteProfile]] = {"gbif.org": _GBIF} | dict.fromkeys(
    (
        "wikimedia.org",
        "wikipedia.org",
        "wikidata.org",
        "wiktionary.org",
        "wikibooks.org",
        "wikinews.org",
        "wikiquote.org",
        "wikisource.org",
        "wikiversity.org",
        "wikivoyage.org",
        "wikifunctions.org",
        "mediawiki.org",
    ),
    _WIKIMEDIA,
)


_SHARED_LIMITS: Final = {"thumb.wikimedia.org": "upload.wikimedia.org"}
"""Hosts that have no limits of their own: what their site allows is for both together (Robot policy: a total of 2 at a time)."""


def limited_as(origin: str) -> str:
    """Return the origin (``https://host:443``) whose slots, rate and breaker requests to ``origin`` use: its own, or that of its site."""
    scheme, slashes, rest = origin.partition("://")
    host, colon, port = rest.rpartition(":")
    return f"{scheme}{slashes}{_SHARED_LIMITS[host]}{colon}{port}" if host in _SHARED_LIMITS else origin


def site_profile(host: str) -> SiteProfile | None:
    """Return the profile of a host name, found by its last two labels."""
    return _PROFILES.get(".".join(host.rsplit(".", 2)[-2:]))
