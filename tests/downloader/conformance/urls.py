"""U01 to U10: what is no URL, what is a strange one, and how its bytes go out."""

from collections.abc import Callable

import errors
from downloader import FetchFailed
from downloader.url_guard import normalise
from tests.downloader.conformance.rows import Ending, Row, Scene, ok, tls_origin, unable
from tests.origin import image

__all__ = ["ROWS"]


def invalid(name: str, url: str, says: str = "") -> Row:
    return unable(name, errors.InvalidURLError, url, says=says)


def blocked(name: str, url: str) -> Row:
    return unable(name, errors.BlockedAddressError, url, says="not a public address")


def sends(target: str, given: str = "") -> Row:
    """The target goes out byte for byte, or as given here where no byte sequence was."""

    def check(scene: Scene, ending: Ending) -> None:
        assert scene.targets() == [target]

    def url(scene: Scene) -> str:
        path = given or target
        scene.origin.script(target.partition("?")[0], image())
        return scene.origin.url("") + path

    return ok(f"U08-{(given or target)[:24]}", url=url, check=check)


def read_as(name: str, write: Callable[[str], str], target: str) -> Row:
    """A URL that is written in some other way, and the target that the origin is asked for."""

    def check(scene: Scene, ending: Ending) -> None:
        assert scene.targets() == [target]

    return ok(f"U03-{name}", url=lambda scene: write(scene.origin.url("/x")), check=check, paths={target.partition("?")[0]: [image()]})


def host_header(host: str) -> Callable[[Scene, Ending], None]:
    """The name that the origin is asked for."""

    def check(scene: Scene, ending: Ending) -> None:
        assert scene.origin.log[0].headers["host"] == f"{host}:{scene.origin.port}"

    return check


def no_secret(scene: Scene, ending: Ending) -> None:
    """Refused for its credentials, which appear nowhere."""
    assert isinstance(ending.outcome, FetchFailed)
    assert "credentials" in ending.outcome.message
    assert "secret" not in repr((ending.outcome.message, ending.outcome.evidence, ending.outcome.final_url))


def same_key(other: str) -> Callable[[Scene, Ending], None]:
    """For deduplication it is the same URL as another."""

    def check(scene: Scene, ending: Ending) -> None:
        assert normalise(scene.row.url(scene)) == normalise(scene.origin.url(other, host="host.test"))

    return check


def at(host: str) -> Callable[[Scene], str]:
    return lambda scene: scene.origin.url("/x", host=host)


ROWS: list[Row] = [
    invalid("U01-empty", "", "URL"),
    invalid("U01-word", "foo", "no scheme"),
    invalid("U01-no-scheme", "//h.test/x", "no scheme"),
    invalid("U01-no-host", "http://", "no host"),
    invalid("U01-dot", "http://./x", "host '.' has an empty label"),
    invalid("U01-dots", "http://../x", "host"),
    invalid("U02-bracket", "http://[::1", "host '[::1' cannot be read"),
    invalid("U02-no-v6", "http://[::zz]/", "host '[::zz]' cannot be read"),
    invalid("U02-v6-zone", "http://[fe80::1%25eth0]/", "host"),
    invalid("U02-port-word", "http://h.test:abc/", "port 'abc' is not a number"),
    invalid("U02-port-99999", "http://h.test:99999/", "port 99999"),
    invalid("U02-port-0", "http://h.test:0/", "port 0"),
    invalid("U02-port-negative", "http://h.test:-1/", "port '-1' is not a number"),
    invalid("U02-port-full-width", "http://h.test:８０/", "port '８０' is not a number"),
    invalid("U03-space-in-host", "http://h h.test/", "host 'h h.test' has a character"),
    invalid("U03-nul-in-host", "http://127.0.0.1\0.evil.test/", "has a character that no host name has"),
    invalid("U03-surrogate", "http://h.test/\ud800", "half a character (U+D800) at character 15"),
    read_as("space-before", lambda url: f" {url}", "/x"),
    read_as("space-after", lambda url: f"{url} ", "/x"),
    read_as("space-in-query", lambda url: f"{url}?a b", "/x?a%20b"),
    read_as("tab", lambda url: f"{url}?a\tb", "/x?ab"),
    read_as("line-feed", lambda url: f"{url}?a\nb", "/x?ab"),
    read_as("header", lambda url: f"{url}?\r\nX-Evil: 1", "/x?X-Evil:%201"),
    read_as("nul", lambda url: f"{url}?\0.", "/x?%00."),
    read_as("delete", lambda url: f"{url}?\x7f", "/x?%7F"),
    read_as("line-separator", lambda url: f"{url}?\u2028", "/x?%E2%80%A8"),
    read_as("backslashes", lambda url: url.replace("/", "\\"), "/x"),
    read_as("one-slash", lambda url: url.replace("//", "/", 1), "/x"),
    read_as("no-slash", lambda url: url.replace("//", "", 1), "/x"),
    read_as("three-slashes", lambda url: url.replace("//", "///", 1), "/x"),
    read_as("upper-case", lambda url: url.replace("http", "HTTP"), "/x"),
    read_as("no-userinfo", lambda url: url.replace("/x", "\\@evil.test/x"), "/@evil.test/x"),
    invalid("U04-data", "data:image/png;base64,AA", "scheme 'data' is not http or https"),
    invalid("U04-file", "file:///etc/passwd", "scheme 'file' is not http or https"),
    invalid("U04-ftp", "ftp://h.test/a.jpg", "scheme 'ftp' is not http or https"),
    invalid("U04-javascript", "javascript:alert(1)", "scheme 'javascript' is not http or https"),
    invalid("U04-blob", "blob:https://h.test/1", "scheme 'blob' is not http or https"),
    Row(
        "U05",
        (),
        ("invalid_url",),
        errors.InvalidURLError,
        0,
        url=lambda scene: scene.origin.url("/x", host="u:secret@127.0.0.1"),
        check=no_secret,
    ),
    invalid("U05-name-only", "http://user@h.test/", "credentials"),
    invalid("U05-empty", "http://@h.test/", "credentials"),
    ok("U06-idn", url=at("bücher.test"), check=host_header("xn--bcher-kva.test")),
    ok("U06-punycode", url=at("xn--bcher-kva.test"), check=host_header("xn--bcher-kva.test")),
    ok("U06-cyrillic", url=at("пример.test"), check=host_header("xn--e1afmkfd.test")),
    ok("U06-emoji", url=at("i❤.test"), check=host_header("xn--i-7iq.test")),
    ok("U06-emoji-punycode", url=at("xn--i-7iq.test"), check=host_header("xn--i-7iq.test")),
    ok("U06-new-emoji", url=at("😀.test"), check=host_header("xn--e28h.test")),
    ok("U06-sharp-s", url=at("straße.test"), check=host_header("xn--strae-oqa.test")),
    ok("U06-sharp-s-tls", serve=lambda authority: tls_origin("xn--strae-oqa.test", authority=authority), url=at("straße.test")),
    ok("U06-escaped-host", url=at("%6c%6f.test"), check=host_header("lo.test")),
    invalid("U06-bad-punycode", "http://xn--zz/", "host 'xn--zz' is not an international host name"),
    blocked("U06-circled", "http://①②⑦.⓪.⓪.②/"),
    blocked("U06-ideographic-dots", "http://127。0。0。2/"),
    blocked("U06-full-width", "http://１２７.0.0.2/"),
    invalid("U07-label", "http://" + "a" * 64 + ".test/", "is longer than 63 characters"),
    invalid("U07-host", "http://" + "a." * 130 + "test/", "is longer than 253 characters"),
    invalid("U07-url", "http://h.test/" + "a" * 8200, "8192"),
    sends("/%zz"),
    sends("/%2e%2e/a"),
    sends("/%252F"),
    sends("/a;b=c/!$&'()*+,=:@~-._"),
    sends("/a?b=%2F&&c=d+e&f=%zz"),
    sends("/a/../b"),
    sends("/a//b"),
    sends("//b"),
    sends("/a?"),
    sends("/?"),
    sends("/a??b?"),
    sends("/a?b#c".partition("#")[0], given="/a?b#c"),
    sends("/a", given="/a#"),
    sends("/?q", given="?q"),
    sends("/", given="#top"),
    sends("/|[]~'?|^`{}[]~'"),
    sends("/%5E%60%7B%7D%22%3C%3E?^`{}%22%3C%3E", given='/^`{}"<>?^`{}"<>'),
    sends("/%E2%9D%A4?%E2%9D%A4", given="/❤?❤"),
    ok("U09", url=lambda scene: f"HTTP://Host.test:{scene.origin.port}/a/../x", check=same_key("/x"), paths={"/a/../x": [image()]}),
    ok("U09-plain", url=at("host.test"), check=same_key("/a/../x")),
    ok("U10", url=at("h.test."), check=host_header("h.test")),
    ok("U10-tls", serve=lambda authority: tls_origin("h.test", authority=authority), url=at("h.test."), check=host_header("h.test")),
]
