"""Tests of downloader.robots_tag; tests.downloader.test_crawl_policy holds what headers in the wild look like."""

import pytest

from downloader.robots_tag import directives


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (["noindex, nofollow"], {"noindex", "nofollow"}),
        (["NOINDEX;NOAI"], {"noindex", "noai"}),
        (["pictrawl: noindex"], {"noindex"}),
        (["pictrawl/1.0: noindex, noai"], {"noindex", "noai"}),
        (["otherbot: noindex, nofollow"], set()),
        (["otherbot: noindex, *: noai"], {"noai"}),
        (["unavailable_after: 25 Jun 2010 15:00:00 PST, noai"], {"noai"}),
        (["max-image-preview: large"], set()),
        (["noindex", "nofollow"], {"noindex", "nofollow"}),
        ([""], set()),
    ],
)
def test_directives(values: list[str], found: set[str]) -> None:
    """Words for every agent or for ours, in lower case; a value with a colon of its own names no agent."""
    assert directives(values) == found
