"""What the operators of big sites ask of every client, by domain; it holds whatever the settings say."""

from dataclasses import dataclass
from typing import Final

import errors

__all__ = ["Profile", "profile_of", "require_contact"]


@dataclass(frozen=True, slots=True)
class Profile:
    """A site's own rules.

    Attributes:
        places: requests at once, to one of its hosts.
        needs_contact: the User-Agent must say how to reach the operator of the client.
        terms_url: where it says so.
    """

    places: int
    needs_contact: bool
    terms_url: str


_WIKIMEDIA: Final = Profile(2, needs_contact=True, terms_url="https://wikitech.wikimedia.org/wiki/Robot_policy")

_PROFILES: Final[dict[str, Profile]] = dict.fromkeys(
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


def profile_of(host: str) -> Profile | None:
    """The profile of a host name, by its last two labels."""
    return _PROFILES.get(".".join(host.rsplit(".", 2)[-2:]))


def require_contact(host: str, contact: str) -> None:
    """Refuse a request to a site that wants to know whom to write to, where nobody is named.

    Raises:
        errors.ContactRequiredError: with the site's rules as evidence.
    """
    profile = profile_of(host)
    if profile is not None and profile.needs_contact and not contact.strip():
        what = f"{host} requires a contact in the User-Agent; set fetch.contact (--contact) to a mail or web address"
        raise errors.ContactRequiredError(what, evidence=profile.terms_url)
