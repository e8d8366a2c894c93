"""robots.txt by RFC 9309: which line decides, if any; and what the file says on training and on pace."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.robots_txt import PathPattern, canonical_path, parse

DISALLOWED = [  # file, path, number of the line that decides, its agent and rule
    ("plain", "User-agent: *\nDisallow: /", "/a", "2 *: Disallow: /"),
    ("our group", "User-agent: *\nAllow: /\nUser-agent: pictrawl\nDisallow: /a", "/a", "4 pictrawl: Disallow: /a"),
    ("case of field and token", "USER-AGENT : PicTrawl # us\nDISALLOW:/a # no\n", "/a", "2 pictrawl: Disallow: /a"),
    ("token with a version", "User-agent: pictrawl/0.1.0\nDisallow: /a", "/a", "2 pictrawl: Disallow: /a"),
    ("whole user-agent", "User-agent: pictrawl/0.1.0 (+x@h.test)\nDisallow: /a", "/a", "2 pictrawl: Disallow: /a"),
    ("token with an asterisk", "User-agent: pictrawl*\nDisallow: /a", "/a", "2 pictrawl: Disallow: /a"),
    ("among several agents", "User-agent: a\nUser-agent: *\nUser-agent: b\nDisallow: /a", "/a", "4 *: Disallow: /a"),
    ("unknown line between", "User-agent: *\nNoindex: /x\nUser-agent: a\nDisallow: /a", "/a", "4 *: Disallow: /a"),
    ("nonsense between", "User-agent: pictrawl\n???\n:\nUser-agent: a\nDisallow: /a", "/a", "5 pictrawl: Disallow: /a"),
    ("sitemap between", "User-agent: *\nSitemap: http://h.test/s\nUser-agent: a\nDisallow: /a", "/a", "4 *: Disallow: /a"),
    ("crawl-delay between", "User-agent: *\nCrawl-delay: 1\nUser-agent: a\nDisallow: /a", "/a", "4 *: Disallow: /a"),
    ("signal between", "User-agent: *\nContent-Signal: search=yes\nUser-agent: a\nDisallow: /a", "/a", "4 *: Disallow: /a"),
    ("blank lines between", "User-agent: *\n\n\nUser-agent: a\n\nDisallow: /a", "/a", "6 *: Disallow: /a"),
    ("sitemap before a rule", "User-agent: *\nSitemap: /s\nDisallow: /a", "/a", "3 *: Disallow: /a"),
    ("groups merged", "User-agent: *\nDisallow: /b\nUser-agent: a\nAllow: /\nUser-agent: *\nDisallow: /a", "/a", "6 *: Disallow: /a"),
    ("our groups merged", "User-agent: pictrawl\nDisallow: /b\nUser-agent: PICTRAWL\nDisallow: /a", "/b", "2 pictrawl: Disallow: /b"),
    ("prefix of our token is not ours", "User-agent: pic\nAllow: /\nUser-agent: *\nDisallow: /a", "/a", "4 *: Disallow: /a"),
    ("longer token is not ours", "User-agent: pictrawler\nAllow: /\nUser-agent: *\nDisallow: /a", "/a", "4 *: Disallow: /a"),
    ("token with a hyphen is not ours", "User-agent: pictrawl-img\nAllow: /\nUser-agent: *\nDisallow: /a", "/a", "4 *: Disallow: /a"),
    ("longest match", "User-agent: *\nDisallow: /\nAllow: /a\nDisallow: /a/b", "/a/b/c", "4 *: Disallow: /a/b"),
    ("longest of two", "User-agent: *\nDisallow: /a*\nDisallow: /*.jpg$", "/a.jpg", "3 *: Disallow: /*.jpg$"),
    ("first of equals", "User-agent: *\nDisallow: /a\nDisallow: /a", "/a", "2 *: Disallow: /a"),
    ("allow of another path", "User-agent: *\nDisallow: /a\nAllow: /ab", "/ac", "2 *: Disallow: /a"),
    ("shorter allow by a wildcard", "User-agent: *\nDisallow: /page\nAllow: /*x", "/page.x", "2 *: Disallow: /page"),
    ("wildcard in the middle", "User-agent: *\nDisallow: /a/*/c", "/a/b/b/c/d", "2 *: Disallow: /a/*/c"),
    ("wildcard at the start", "User-agent: *\nDisallow: *.jpg", "/x/y.jpg?z", "2 *: Disallow: *.jpg"),
    ("wildcard that is empty", "User-agent: *\nDisallow: /a*b", "/ab", "2 *: Disallow: /a*b"),
    ("wildcard and end", "User-agent: *\nDisallow: /*a$", "/aba", "2 *: Disallow: /*a$"),
    ("only an asterisk", "User-agent: *\nDisallow: *", "/", "2 *: Disallow: *"),
    ("end", "User-agent: *\nDisallow: /a$", "/a", "2 *: Disallow: /a$"),
    ("end inside is a character", "User-agent: *\nDisallow: /a$b", "/a$bc", "2 *: Disallow: /a$b"),
    ("escaped special characters", "User-agent: *\nDisallow: /f%2A%24", "/f*$", "2 *: Disallow: /f%2A%24"),
    ("escaped letter in the file", "User-agent: *\nDisallow: /%61b", "/ab", "2 *: Disallow: /%61b"),
    ("escaped letter in the URL", "User-agent: *\nDisallow: /a/b", "/%61/b", "2 *: Disallow: /a/b"),
    ("not ASCII in the file", "User-agent: *\nDisallow: /ü", "/%C3%BC", "2 *: Disallow: /ü"),
    ("case of escapes", "User-agent: *\nDisallow: /%c3%bc", "/%C3%Bc", "2 *: Disallow: /%c3%bc"),
    ("reserved characters", "User-agent: *\nDisallow: /a?b=https%3A%2F%2Fh", "/a?b=https://h", "2 *: Disallow: /a?b=https%3A%2F%2Fh"),
    ("space in the file", "User-agent: *\nDisallow: /a b", "/a%20bc", "2 *: Disallow: /a b"),
    ("query", "User-agent: *\nDisallow: /*?b", "/a?b=c", "2 *: Disallow: /*?b"),
    ("dot segments", "User-agent: *\nDisallow: /private", "/a/../private/x", "2 *: Disallow: /private"),
    ("escaped dot segments", "User-agent: *\nDisallow: /private", "/a/%2e%2E/private", "2 *: Disallow: /private"),
    ("two slashes", "User-agent: *\nDisallow: //a", "//a", "2 *: Disallow: //a"),
    ("byte order mark", "\ufeffUser-agent: *\nDisallow: /a", "/a", "2 *: Disallow: /a"),
    ("CR line ends", "User-agent: *\rDisallow: /a\r", "/a", "2 *: Disallow: /a"),
    ("CRLF line ends", "User-agent: *\r\n\r\nDisallow: /a", "/a", "3 *: Disallow: /a"),
    ("form feed is no line end", "User-agent: *\nDisallow: /\x0ca", "/%0Ca", "2 *: Disallow: /\x0ca"),
    ("spaces around", "  User-agent:*  \n\tDisallow :\t/a  ", "/a", "2 *: Disallow: /a"),
    ("colons left out, misspelt", "user agent *\ndissallow /a", "/a", "2 *: Disallow: /a"),
    ("garbage before", "\ufffd\ufffd<html>\nUser-agent: *\nDisallow: /a", "/a", "3 *: Disallow: /a"),
    ("asterisk with a comment", "User-agent: * # all\nDisallow: /a", "/a", "2 *: Disallow: /a"),
]  # fmt: skip

ALLOWED = [
    ("nothing", "", "/a"),
    ("HTML", "<!doctype html><html><body>Disallow everything</body></html>", "/a"),
    ("other path", "User-agent: *\nDisallow: /b", "/a"),
    ("case of paths", "User-agent: *\nDisallow: /A", "/a"),
    ("empty disallow", "User-agent: *\nDisallow:", "/a"),
    ("empty disallow with a comment", "User-agent: *\nDisallow: # nothing", "/a"),
    ("rule before all groups", "Disallow: /\nUser-agent: *\nAllow: /", "/a"),
    ("another agent's group", "User-agent: a\nDisallow: /", "/a"),
    ("our group before the general one", "User-agent: *\nDisallow: /\nUser-agent: pictrawl\nAllow: /", "/a"),
    ("our empty group", "User-agent: *\nDisallow: /\nUser-agent: pictrawl", "/a"),
    ("our group says less", "User-agent: *\nDisallow: /\nUser-agent: pictrawl\nDisallow: /b", "/a"),
    ("prefix of our token", "User-agent: pic\nDisallow: /", "/a"),
    ("part of our token", "User-agent: trawl\nDisallow: /", "/a"),
    ("our token inside", "User-agent: notpictrawl\nDisallow: /", "/a"),
    ("rule ends the agents", "User-agent: *\nAllow: /\nUser-agent: a\nDisallow: /", "/a"),
    ("empty rule ends the agents", "User-agent: *\nDisallow:\nUser-agent: a\nDisallow: /", "/a"),
    ("allow wins a tie", "User-agent: *\nDisallow: /a\nAllow: /a", "/a"),
    ("longer allow", "User-agent: *\nAllow: /a/b\nDisallow: /a", "/a/b"),
    ("longer allow by a wildcard", "User-agent: *\nDisallow: /page\nAllow: /*.htm", "/page.htm"),
    ("end does not match", "User-agent: *\nDisallow: /a$", "/ab"),
    ("end does not match a query", "User-agent: *\nDisallow: /*.jpg$", "/a.jpg?b"),
    ("wildcards out of order", "User-agent: *\nDisallow: /*a*b*c", "/acb"),
    ("escaped slash is none", "User-agent: *\nDisallow: /a%2Fb", "/a/b"),
    ("slash is no escaped one", "User-agent: *\nDisallow: /a/b", "/a%2fb"),
    ("escaped asterisk is none", "User-agent: *\nDisallow: /a%2Ab", "/axb"),
    ("no slash in front", "User-agent: *\nDisallow: a", "/a"),
    ("robots.txt itself", "User-agent: *\nDisallow: /", "/robots.txt"),
    ("comment", "User-agent: *\n# Disallow: /", "/a"),
    ("leaves a folder", "User-agent: *\nDisallow: /private", "/private/../a"),
]  # fmt: skip


def _worded(line: str) -> str:
    return "line {}, user-agent {}".format(*line.split(" ", 1))


@pytest.mark.parametrize(("text", "path", "line"), [pytest.param(*case, id=name) for name, *case in DISALLOWED])
def test_disallowed(text: str, path: str, line: str) -> None:
    """The decision, and the line that it rests on."""
    assert str(parse(text).find_disallow(canonical_path(path))) == _worded(line)


@pytest.mark.parametrize(("text", "path"), [pytest.param(*case, id=name) for name, *case in ALLOWED])
def test_allowed(text: str, path: str) -> None:
    """Nothing that applies to us disallows it."""
    assert parse(text).find_disallow(canonical_path(path)) is None


RESERVED = [
    ("signal", "User-agent: *\nContent-Signal: search=yes, ai-train=no\nAllow: /", "/a", "2 *: Content-Signal: search=yes, ai-train=no"),
    ("signal without spaces", "User-Agent: *\nContent-signal: search=yes,ai-train=no", "/a", "2 *: Content-Signal: search=yes,ai-train=no"),
    ("signal in capitals", "User-agent: *\nCONTENT-SIGNAL: AI-TRAIN=NO", "/a", "2 *: Content-Signal: AI-TRAIN=NO"),
    ("signal twice", "User-agent: *\nContent-Signal: ai-train=no\nContent-Signal: ai-train=yes", "/a", "2 *: Content-Signal: ai-train=no"),
    ("signal for a path", "User-agent: *\nContent-Signal: /a ai-train=no", "/a/b", "2 *: Content-Signal: /a ai-train=no"),
    ("signal to us", "User-agent: pictrawl\nContent-Signal: ai-train=no", "/a", "2 pictrawl: Content-Signal: ai-train=no"),
    ("signal before all groups", "Content-Signal: ai-train=no\nUser-agent: pictrawl\nAllow: /", "/a", "1 *: Content-Signal: ai-train=no"),
    ("usage", "User-agent: *\nContent-Usage: train-ai=n", "/a", "2 *: Content-Usage: train-ai=n"),
    ("usage, generative", "User-agent: *\nContent-Usage: search=y, train-genai=n", "/a", "2 *: Content-Usage: search=y, train-genai=n"),
    ("usage, all of it", "User-agent: *\nContent-Usage: ai=n", "/a", "2 *: Content-Usage: ai=n"),
    ("usage for a path", "User-agent: *\nContent-Usage: /a train-ai=n", "/a/b", "2 *: Content-Usage: /a train-ai=n"),
    ("usage for a pattern", "User-agent: *\nContent-Usage: /*.jpg$ train-ai=n", "/b.jpg", "2 *: Content-Usage: /*.jpg$ train-ai=n"),
    ("usage, longest path", "User-agent: *\nContent-Usage: ai=y\nContent-Usage: /a/\tai=n", "/a/b", "3 *: Content-Usage: /a/\tai=n"),
    ("usage, equal paths", "User-agent: *\nContent-Usage: train-ai=n\nContent-Usage: train-ai=y", "/a", "2 *: Content-Usage: train-ai=n"),
    ("usage, longer one on search", "User-agent: *\nContent-Usage: ai=n\nContent-Usage: /a search=y", "/a", "2 *: Content-Usage: ai=n"),
    ("signal beside usage", "User-agent: *\nContent-Usage: /a ai=y\nContent-Signal: ai-train=no", "/a", "3 *: Content-Signal: ai-train=no"),
]  # fmt: skip

NOT_RESERVED = [
    ("nothing", "User-agent: *\nAllow: /", "/a"),
    ("signal about others", "User-agent: *\nContent-Signal: search=no, ai-input=no", "/a"),
    ("signal that allows", "User-agent: *\nContent-Signal: ai-train=yes", "/a"),
    ("signal to another", "User-agent: a\nContent-Signal: ai-train=no\nDisallow: /x", "/a"),
    ("signal to everybody, group for us", "User-agent: *\nContent-Signal: ai-train=no\nAllow: /\nUser-agent: pictrawl\nAllow: /", "/a"),
    ("signal for another path", "User-agent: *\nContent-Signal: /b ai-train=no", "/a"),
    ("signal in a comment", "User-agent: *\n# Content-Signal: ai-train=no", "/a"),
    ("signal of a longer name", "User-agent: *\nContent-Signal: no-ai-train=no, ai-training=no", "/a"),
    ("usage that allows", "User-agent: *\nContent-Usage: train-ai=y", "/a"),
    ("usage, longest path", "User-agent: *\nContent-Usage: train-ai=n\nContent-Usage: /ai-ok/ train-ai=y", "/ai-ok/test"),
    ("usage, training allowed by name", "User-agent: *\nContent-Usage: ai=n, train-ai=y", "/a"),
    ("usage of a rule that ends the agents", "User-agent: *\nContent-Usage: search=y\nUser-agent: a\nContent-Usage: train-ai=n", "/a"),
]


@pytest.mark.parametrize(("text", "path", "line"), [pytest.param(*case, id=name) for name, *case in RESERVED])
def test_reserved(text: str, path: str, line: str) -> None:
    """The line that refuses use for training."""
    assert str(parse(text).find_reservation(canonical_path(path))) == _worded(line)


@pytest.mark.parametrize(("text", "path"), [pytest.param(*case, id=name) for name, *case in NOT_RESERVED])
def test_not_reserved(text: str, path: str) -> None:
    """Nothing that applies to us refuses it."""
    assert parse(text).find_reservation(canonical_path(path)) is None


@pytest.mark.parametrize(
    ("lines", "delay_s"),
    [
        ("User-agent: *\nCrawl-delay: 10", 10.0),
        ("User-agent: *\ncrawl-delay : 0.5 # half", 0.5),
        ("User-agent: *\nDisallow: /a\nCrawl-delay: 2s", 2.0),
        ("User-agent: *\nCrawl-delay: 2\nUser-agent: *\nCrawl-delay: 3", 3.0),
        ("User-agent: *\nCrawl-delay: 2\nUser-agent: pictrawl\nAllow: /", 0.0),
        ("User-agent: *\nCrawl-delay: 2\nDisallow: /x\nUser-agent: slow\nCrawl-delay: 600", 2.0),
        *((f"User-agent: *\nCrawl-delay: {value}", 0.0) for value in ("", "-1", "nan", "inf", "ten", "0")),
        ("Crawl-delay: 5", 0.0),
    ],
)
def test_crawl_delay(lines: str, delay_s: float) -> None:
    """The longest that our groups ask for; what is no number of seconds asks for nothing."""
    assert parse(lines).crawl_delay_s == delay_s


def test_the_table_is_long_enough() -> None:
    """Sixty cases and more; nobody thins them out unseen."""
    assert len(DISALLOWED) + len(ALLOWED) + len(RESERVED) + len(NOT_RESERVED) >= 100


def test_hostile_pattern_takes_no_time() -> None:
    """Asterisks cost linear time: a regular expression would not return."""
    pattern = PathPattern("/" + "*a" * 2000 + "b")
    assert not pattern.matches("/" + "a" * 8000)
    assert pattern.matches("/" + "a" * 8000 + "b")


_PIECES = st.sampled_from(["*", "$", "/", "a", "b", "%2F", "%61", "?", "&", "=", "ü", "%", "%zz", ".", "..", ":", "%3a"])


@given(st.lists(_PIECES, max_size=8).map("".join), st.lists(_PIECES, max_size=4).map("".join))
def test_path_as_a_pattern_matches_itself(path: str, more: str) -> None:
    """Whatever a path holds: escaped as RFC 9309 2.2.3 says it is its own pattern, and that of all longer ones."""
    url_path = canonical_path(f"/{path}".replace("/.", "/-"))
    assert PathPattern(url_path).matches(url_path)
    assert PathPattern(url_path).matches(url_path + "x" + more)
    assert canonical_path(url_path) == url_path


@given(st.text("UuserDdisalow-agntA:*/ #\n\r\t\x00\ufeffü%$", max_size=60))
def test_any_text_can_be_read(text: str) -> None:
    """No file raises."""
    rules = parse(text)
    rules.find_disallow("/a")
    rules.find_reservation("/a")
