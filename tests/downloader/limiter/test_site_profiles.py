"""Sites with rules of their own."""

import httpx
import pytest

import errors
from downloader import FetchLimits
from downloader.client import Downloader
from downloader.crawl_policy import require_contact
from downloader.limiter.site_profiles import limited_as, site_profile


@pytest.mark.parametrize("host", ["upload.wikimedia.org", "thumb.wikimedia.org", "wikimedia.org", "en.wikipedia.org", "www.wikidata.org"])
def test_wikimedia_has_a_profile(host):
    """Two connections, and a User-Agent with a contact."""
    profile = site_profile(host)
    assert profile is not None
    assert (profile.max_in_flight, profile.needs_contact) == (2, True)


def test_gbif_has_a_profile():
    """One connection, for the API and its cache of images together; who asks is free to say so."""
    profile = site_profile("api.gbif.org")
    assert profile is not None
    assert (profile.max_in_flight, profile.needs_contact) == (1, False)
    require_contact("api.gbif.org", "")


@pytest.mark.parametrize("host", ["example.org", "wikimedia.org.example.com", "notwikimedia.org", "org", "127.0.0.1"])
def test_others_have_none(host):
    """A look-alike is not the site."""
    assert site_profile(host) is None
    require_contact(host, "")


@pytest.mark.parametrize(
    ("origin", "shared"),
    [
        ("https://thumb.wikimedia.org:443", "https://upload.wikimedia.org:443"),
        ("https://upload.wikimedia.org:443", "https://upload.wikimedia.org:443"),
        ("https://commons.wikimedia.org:443", "https://commons.wikimedia.org:443"),
        ("http://thumb.wikimedia.org:80", "http://upload.wikimedia.org:80"),
        ("http://thumb.wikimedia.org.test:80", "http://thumb.wikimedia.org.test:80"),
        ("http://[::1]:80", "http://[::1]:80"),
    ],
)
def test_hosts_that_share_their_limits(origin, shared):
    """Thumbnails and originals of Wikimedia have two places together; nobody else is put together."""
    assert limited_as(origin) == shared


def test_contact_is_required_where_the_site_says_so():
    """With the setting named, and the site's rules as evidence."""
    with pytest.raises(errors.ContactRequiredError, match=r"fetch\.contact") as caught:
        require_contact("upload.wikimedia.org", " ")
    assert caught.value.evidence is not None
    require_contact("upload.wikimedia.org", "mail@example.org")


async def test_without_a_contact_nothing_is_sent():
    """The URL fails with a reason of its own; with a contact it is fetched, under a User-Agent that has it."""
    seen = []

    def answer(request):
        seen.append(request.headers["user-agent"])
        return httpx.Response(404)

    for contact in ("", "mail@example.org"):
        async with Downloader(FetchLimits(robots=False, contact=contact), transport=httpx.MockTransport(answer)) as downloader:
            outcome = await downloader.fetch("https://upload.wikimedia.org/a.jpg")
            assert outcome.reason == ("http_404" if contact else "contact_required")
    assert len(seen) == 1
    assert "mail@example.org" in seen[0]
