"""``pictrawl build --pages``: a small site from start to end, and what is refused before anything is written."""

from pathlib import Path

import pytest

from app.cli.demo.origin import Step, reply
from tests.cli.conftest import LOOPBACK, Invoke, Site


def page(html: str) -> Step:
    return reply(200, f"<!doctype html><title>x</title>{html}".encode(), kind="text/html")


def build_site(site: Site, bodies: list[bytes]) -> str:
    """Two pages and what cannot be read; return the first page."""
    links = "<a href=/two>2</a><a href=/gone>3</a>"
    first = site.add("/one", page(f"<img src=/0.jpg alt='The first picture'>{links}<a href=/big.jpg><img src=/small.jpg></a>"))
    site.add("/two", page("<figure><img src=/1.jpg><figcaption>The second picture</figcaption></figure><script src=x.js></script>"))
    for path, body in zip(("/0.jpg", "/1.jpg", "/big.jpg"), bodies, strict=False):
        site.add(path, reply(body=body))
    return first


def test_build_of_pages_delivers_their_images(site: Site, bodies: list[bytes], invoke: Invoke) -> None:
    """Of the page and those that it links, in the larger form; the summary and the document tell of the page that was not read."""
    first = build_site(site, bodies)
    result = invoke("build", "--pages", first, "--label", "site", "-o", "out", *LOOPBACK)
    assert result.code == 0, result.err
    assert "pages      2 pages read; 1 not read: http_404 1" in result.out
    assert "--event page.failed" in result.out
    assert site.hits("/small.jpg") == 0
    document = invoke("build", "--pages", first, "--depth", "0", "-o", "named", "--json", *LOOPBACK).json
    assert document["pages"] == {"read": 1, "waiting": 0, "failed": {}, "notes": {}}
    assert document["funnel"]["kept"] == 2
    assert document["target"] is None
    explained = invoke("explain", document["job_id"])
    assert "1 page read" in explained.out
    explained = invoke("explain", first.replace("/one", "/two"))
    assert f"found      linked by {first}, 1 link from a page that was named" in explained.out
    (item,) = invoke("explain", first.replace("/one", "/gone"), "--json").json["items"]
    assert (item["status"], item["reason"], item["found_on"], item["requests"]) == ("failed", "http_404", first, 1)
    assert invoke("explain", first.replace("/one", "/nowhere")).code == 2


def test_pages_of_a_file_and_further_ones(site: Site, bodies: list[bytes], invoke: Invoke) -> None:
    """One URL a line; blank lines and comments are none."""
    first = build_site(site, bodies)
    Path("pages.txt").write_text(f"# pages\n\n{first}\n{first}\n")
    second = first.replace("/one", "/two")
    more = ["--depth", "0", "--css-images", "-o", "out", "--json", *LOOPBACK]
    document = invoke("build", "--pages", "pages.txt", "--pages", second, *more).json
    assert (document["pages"]["read"], document["funnel"]["kept"]) == (2, 3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--pages", "nowhere.txt"], "--pages nowhere.txt is neither a URL nor a file"),
        (["--pages", "."], "--pages . is a directory"),
        (["--pages", "empty.txt"], "--pages empty.txt names no page"),
        (["--pages", "bad.txt"], "bad.txt, line 2: 'ftp://site.example/' is no page"),
        (["--pages", "https://user:secret@site.example/"], "credentials in the URL"),
        (["--pages", "https://site.example/", "--depth", "-1"], "--depth -1: must be at least 0"),
        (["--pages", "https://site.example/", "--max-pages", "0"], "--max-pages 0: must be at least 1"),
        (["--pages", "https://site.example/", "--follow-hosts", "https://x.example"], "'https://x.example' is not a host; write"),
        (["--pages", "https://site.example/", "--follow-hosts", "*.x.example"], "'*.x.example' is not a host"),
        (["--pages", "https://site.example/", "--follow-hosts", "xn--zzzzz9999.example"], "is not an international host name; write"),
        (["--pages", "https://site.example/", "--follow-hosts", "x\\y.example"], "is not a host; write"),
        (["--pages", "many.txt"], "--pages names 10001 pages, more than 10000"),
        (["--pages", "https://site.example/", "cat"], "keywords and pages in one build"),
        (["--pages", "https://site.example/", "--urls", "bad.txt"], "a list and pages in one build"),
        (["--pages", "https://site.example/", "--source", "wikimedia"], "--source has no effect with pages"),
        (["--pages", "https://site.example/", "--label-col", "x"], "--label-col has no effect without --urls"),
        (["cat", "--depth", "0"], "--depth has no effect without --pages"),
        (["cat", "--css-images"], "--css-images has no effect without --pages"),
    ],
)
def test_build_refuses_wrong_pages(invoke: Invoke, arguments: list[str], words: str) -> None:
    """Exit code 2, the value and the way out; nothing is written, and no secret is shown."""
    Path("empty.txt").write_text("\n# nothing\n")
    Path("bad.txt").write_text("https://site.example/\nftp://site.example/\n")
    Path("many.txt").write_text("\n".join(f"https://site.example/{number}" for number in range(10_001)))
    result = invoke("build", *arguments)
    assert result.code == 2
    assert words in result.err
    assert "secret" not in result.err
    assert not Path(".pictrawl").exists()
