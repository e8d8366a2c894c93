"""The line that disallows: of the right group, the longest match, and never at odds with the verdict."""

import protego
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from downloader import robots_rules
from downloader.robots_rules import deciding_rule, disallow_rules

SITE = "http://h.test"


def deciding(text: str, path: str) -> str | None:
    rule = deciding_rule(disallow_rules(text, "pictrawl"), SITE + path)
    return None if rule is None else str(rule)


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ("User-agent: *\nDisallow: /", "/a", "line 2, user-agent *: Disallow: /"),
        ("User-agent: *\nDisallow: /\nDisallow: /a/b\nDisallow: /a", "/a/b/c", "line 3, user-agent *: Disallow: /a/b"),
        ("User-agent: *\nDisallow: /a\nDisallow: /a", "/a", "line 2, user-agent *: Disallow: /a"),
        ("User-agent: *\nDisallow: /a*\nDisallow: /*.jpg$", "/a.jpg", "line 3, user-agent *: Disallow: /*.jpg$"),
        ("User-agent: *\nDisallow: /b\nDisallow:", "/a", None),
        ("Disallow: /\nUser-agent: *\nAllow: /", "/a", None),
        ("# ours\n\nUSER-AGENT : PicTrawl # us\nDISALLOW:/a # no\n", "/a", "line 4, user-agent pictrawl: Disallow: /a"),
        ("User-agent: *\nDisallow: /\nUser-agent: pictrawl\nDisallow: /a", "/a", "line 4, user-agent pictrawl: Disallow: /a"),
        ("User-agent: *\nDisallow: /\nUser-agent: pictrawl\nAllow: /", "/a", None),
        ("User-agent: pictrawl*\nDisallow: /a", "/a", "line 2, user-agent pictrawl: Disallow: /a"),
        ("User-agent: pic\nDisallow: /b\nUser-agent: *\nDisallow: /a", "/b", "line 2, user-agent pic: Disallow: /b"),
        ("User-agent: trawl\nDisallow: /a\nUser-agent: tpictrawl\nDisallow: /a", "/a", None),
        ("User-agent: a\nUser-agent: *\nUser-agent: b\nDisallow: /a", "/a", "line 4, user-agent *: Disallow: /a"),
        ("User-agent: *\nSitemap: http://h.test/s\nUser-agent: a\nDisallow: /a", "/a", "line 4, user-agent *: Disallow: /a"),
        ("User-agent: *\nCrawl-delay: 1\nUser-agent: a\nDisallow: /a", "/a", None),
        ("User-agent: *\nDisallow: /b\nUser-agent: a\nAllow: /\nUser-agent: *\nDisallow: /a", "/a", "line 6, user-agent *: Disallow: /a"),
        ("user agent *\ndissallow /a", "/a", "line 2, user-agent *: Disallow: /a"),
        ("User-agent: *\nDisallow: /%61b", "/ab", "line 2, user-agent *: Disallow: /%61b"),
        ("User-agent: *\nDisallow: /ü", "/%C3%BC", "line 2, user-agent *: Disallow: /ü"),
        ("User-agent: *\nDisallow: /a?b", "/a?b=c", "line 2, user-agent *: Disallow: /a?b"),
        ("nonsense\nUser-agent: *\n:\nnonsense: x\nDisallow: /a", "/a", "line 5, user-agent *: Disallow: /a"),
        ("User-agent: *\rDisallow: /a", "/a", "line 2, user-agent *: Disallow: /a"),
        ("User-agent: *\nDisallow: http://h.test/a", "/http://h.test/a", "line 2, user-agent *: Disallow: http://h.test/a"),
        ("User-agent: *\nDisallow: /a/b", "/%61/b", "line 2, user-agent *: Disallow: /a/b"),
        ("User-agent: *\nDisallow: //a", "//a", "line 2, user-agent *: Disallow: //a"),
        ("", "/a", None),
    ],
)
def test_deciding_rule(text: str, path: str, line: str | None) -> None:
    """The most specific group that names us, its longest match, the first of equals."""
    assert deciding(text, path) == line


FIELDS = [
    "User-agent", "useragent", "User agent", "Disallow", "Dissallow", "disallow ", "Allow", "Sitemap", "Host", "Crawl-delay", "crawl delay",
    "Request-rate", "Visit-time", "Noindex", "Clean-param", "",
]  # fmt: skip
VALUES = [
    "*", "pictrawl", "PicTrawl*", "pic", "p", "otherbot", "pictrawler", "trawl", "", "/", "/a", "/a/", "/a/b", "/a/b.jpg", "/*", "/*/b",
    "/a*$", "/*.jpg$", "/a$", "/a$b", "/a/index.html", "/%61", "/ü", "/a?b", "/a?", "http://h.test/a", "a", "10", "1/5", "/a: b", "/a:b",
    "/a b",
]  # fmt: skip
COLONS = st.sampled_from([": ", ":", " : ", " ", ""])
LINES = st.tuples(st.sampled_from(FIELDS), COLONS, st.sampled_from(VALUES), st.sampled_from(["", " # x", "#", "\t"])).map("".join)
FILES = st.lists(LINES | st.text("dD:# /a*\n\r\x85", max_size=12), max_size=14).map("\n".join)
OURS = FILES.map("User-agent: *\n".__add__) | FILES
PATHS = ["/", "/a", "/a/", "/a/b", "/a/b.jpg", "/a/index.html", "/a$b", "/%61", "/%C3%BC", "/a?b=c", "/a?", "/ab", "/b.jpg", "//a", "/http://h.test/a"]


@given(OURS, st.sampled_from(PATHS))
@example("User-agent: *\nDisallow: /a/\nAllow: /a/index.html", "/a/")
@settings(deadline=None, max_examples=400)
def test_there_is_a_deciding_rule_for_whatever_protego_disallows(text: str, path: str) -> None:
    """It stands where we say, disallows by itself, and no other line of its group matches longer."""
    parsed = protego.Protego.parse(text)
    if parsed.can_fetch(SITE + path, "pictrawl"):
        return
    rules = disallow_rules(text, "pictrawl")
    rule = deciding_rule(rules, SITE + path)
    assert rule is not None
    line = text.splitlines()[rule.line - 1]
    assert rule.value in line
    assert line.strip().lower().startswith("dis")
    for other in rules:
        alone = f"User-agent: *\nAllow: {rule.value}\nDisallow: {other.value}"
        assert protego.Protego.parse(alone).can_fetch(SITE + path, "*")


@given(OURS, st.sampled_from(PATHS))
@settings(deadline=None, max_examples=400)
def test_where_no_rule_decides_protego_allows(text: str, path: str) -> None:
    """No rule of ours, no refusal of its; a rule of ours and no Allow in the file, and it refuses."""
    allowed = protego.Protego.parse(text).can_fetch(SITE + path, "pictrawl")
    if deciding(text, path) is None:
        assert allowed
    elif not any(line.strip().lower().startswith("allow") for line in text.splitlines()):
        assert not allowed


def test_rules_that_cannot_match_are_not_weighed() -> None:
    """protego is asked about the few lines that begin like the path: a long file must not cost a long time for every URL."""
    text = "User-agent: *\n" + "".join(f"Disallow: /{number}\n" for number in range(1000, 9000))
    rules = disallow_rules(text, "pictrawl")
    robots_rules._file.cache_clear()
    assert str(deciding_rule(rules, f"{SITE}/8999x")) == "line 8001, user-agent *: Disallow: /8999"
    assert robots_rules._file.cache_info().misses == 1
