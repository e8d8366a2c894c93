"""How URLs are read: as browsers read them, and refused with the part at fault."""

import re
import socket
from urllib.parse import urlsplit

import pytest
import yarl
from hypothesis import given
from hypothesis import strategies as st

import errors
from downloader import url_syntax
from downloader.url_guard import URLGuard, check_url
from downloader.url_syntax import parse, resolve

READ = [
    ("HTTP://Images.Test:80/A?b=C#frag", "http://images.test/A?b=C"),
    ("https://h.test", "https://h.test/"),
    ("https://h.test?x=1", "https://h.test/?x=1"),
    ("http://h.test#top", "http://h.test/"),
    ("http://h.test:8080/", "http://h.test:8080/"),
    ("http://h.test:/x", "http://h.test/x"),
    ("http://h.test:00080/x", "http://h.test/x"),
    ("https://h.test:443/x", "https://h.test/x"),
    # slashes
    ("http:h.test/x", "http://h.test/x"),
    ("http:/h.test/x", "http://h.test/x"),
    ("http:///h.test/x", "http://h.test/x"),
    ("http:\\\\h.test\\a\\b?c\\d", "http://h.test/a/b?c\\d"),
    ("http://h.test\\@evil.test/", "http://h.test/@evil.test/"),
    ("http://h.test/@me", "http://h.test/@me"),
    # spaces, controls, other characters
    ("  http://h.test/a b?c d \x00", "http://h.test/a%20b?c%20d"),
    ("http://h.te\tst/a\n\r b", "http://h.test/a%20b"),
    ("http://h.test/\r\nX-Evil: 1", "http://h.test/X-Evil:%201"),
    ("http://h.test/\x00\x1b\x7f.", "http://h.test/%00%1B%7F."),
    ("http://h.test/\u2028.", "http://h.test/%E2%80%A8."),
    ("http://h.test/bücher?ü", "http://h.test/b%C3%BCcher?%C3%BC"),
    ("http://h.test/❤?😀", "http://h.test/%E2%9D%A4?%F0%9F%98%80"),
    ('http://h.test/"<>^`{}?"<>^`{}', "http://h.test/%22%3C%3E%5E%60%7B%7D?%22%3C%3E^`{}"),
    # kept, byte for byte
    ("http://h.test/%2e%2e/a%zz?x=%2F&&y=a+b", "http://h.test/%2e%2e/a%zz?x=%2F&&y=a+b"),
    ("http://h.test/%7Ea/%2f/%C3%bc?q=%7e+%20", "http://h.test/%7Ea/%2f/%C3%bc?q=%7e+%20"),
    ("http://h.test/a/../b//c/./", "http://h.test/a/../b//c/./"),
    ("http://h.test/!$&'()*+,;=:@[]|~?!$&'()*+,;=:@/?[]|~", "http://h.test/!$&'()*+,;=:@[]|~?!$&'()*+,;=:@/?[]|~"),
    ("http://h.test/?", "http://h.test/?"),
    ("http://h.test/x?a=1&amp;b=2", "http://h.test/x?a=1&amp;b=2"),  # an address bar knows no entities
    # names
    ("http://bücher.test/", "http://xn--bcher-kva.test/"),
    ("http://BÜCHER.test/", "http://xn--bcher-kva.test/"),
    ("http://bu\u0308cher.test/", "http://xn--bcher-kva.test/"),
    ("http://xn--BCHER-kva.test/", "http://xn--bcher-kva.test/"),
    ("http://straße.test/", "http://xn--strae-oqa.test/"),
    ("http://i❤.test/", "http://xn--i-7iq.test/"),
    ("http://xn--i-7iq.test/", "http://xn--i-7iq.test/"),
    ("http://😀.test/", "http://xn--e28h.test/"),
    ("http://a\u00ad\u200b\ufeff\u2060b.test/", "http://ab.test/"),
    ("http://क\u094d\u200dष.test/", "http://xn--11b2ezcw70k.test/"),
    ("http://ｅｘ。test．org/", "http://ex.test.org/"),
    ("http://b%C3%BCcher.test/", "http://xn--bcher-kva.test/"),
    ("http://%6C%6fcal.test/", "http://local.test/"),
    ("http://a_b.h-.-i.test./", "http://a_b.h-.-i.test/"),
    # addresses
    ("http://8.8.8.8/", "http://8.8.8.8/"),
    ("http://8.8.8.8./", "http://8.8.8.8/"),
    ("http://134744072/", "http://8.8.8.8/"),
    ("http://0x08080808/", "http://8.8.8.8/"),
    ("http://010.0x8.2056/", "http://8.8.8.8/"),
    ("http://8.8.8/", "http://8.8.0.8/"),
    ("http://８.8。%38.8/", "http://8.8.8.8/"),
    ("http://0x/", "http://0.0.0.0/"),
    ("http://[2606:4700::1111]:443/x", "http://[2606:4700::1111]:443/x"),
    ("http://[2606:4700:0:0:0:0:0:1111]/", "http://[2606:4700::1111]/"),
    ("http://[2606:4700::0A0A]/", "http://[2606:4700::a0a]/"),
]


@pytest.mark.parametrize(("url", "requested"), READ)
def test_parse(url: str, requested: str) -> None:
    """What a browser would request; a well-formed path and query keep their bytes, dot segments included. Read again it is the same."""
    assert parse(url).url == requested
    assert parse(requested).url == requested


REFUSED = [
    ("", "no scheme: not an absolute http or https URL", None),
    ("foo", "no scheme: not an absolute http or https URL", None),
    ("h.test/a", "no scheme: not an absolute http or https URL", None),
    ("//h/x", "no scheme: not an absolute http or https URL", None),
    ("http://h/" + "a" * 9000, "the URL is 9009 characters long, more than 8192", "length 9009"),
    ("http://h/" + "ü" * 8000, "the URL is 48001 characters long, more than 8192", "length 48001"),
    ("http://h/\ud800", "half a character (U+D800) at character 10 of the URL", None),
    ("ftp://h/", "scheme 'ftp' is not http or https", "scheme 'ftp'"),
    ("data:image/png;base64,AA", "scheme 'data' is not http or https", "scheme 'data'"),
    ("javascript:alert(1)", "scheme 'javascript' is not http or https", "scheme 'javascript'"),
    ("file:///etc/passwd", "scheme 'file' is not http or https", "scheme 'file'"),
    ("x" * 70 + "://h/", f"scheme '{'x' * 59}…' is not http or https", f"scheme '{'x' * 59}…'"),
    ("mailto:joe@h.test", "the scheme is not http or https", None),
    ("http://joe:secret@h.test/", "credentials in the URL", None),
    ("http:\\\\joe:secret@h.test/", "credentials in the URL", None),
    ("http://@h.test/", "credentials in the URL", None),
    ("http://joe:sec/ret@h.test/", "the port is not a number from 1 to 65535", None),
    ("http://", "no host", None),
    ("http:?x", "no host", None),
    ("http://:80/", "no host", None),
    ("http://h:0/", "port 0 does not exist: there are 1 to 65535", "port 0"),
    ("http://h:99999/", "port 99999 does not exist: there are 1 to 65535", "port 99999"),
    ("http://h:" + "9" * 5000, f"port {'9' * 20} does not exist: there are 1 to 65535", f"port {'9' * 20}"),
    ("http://h:8a/", "port '8a' is not a number from 1 to 65535", "port '8a'"),
    ("http://h:８０/", "port '８０' is not a number from 1 to 65535", "port '８０'"),
    ("http://a:b:80/", "host 'a:b' cannot be read: a colon or a bracket out of place", "host 'a:b'"),
    ("http://[::1/", "host '[::1' cannot be read: a colon or a bracket out of place", "host '[::1'"),
    ("http://[1.2.3.4]/", "host '[1.2.3.4]' is not an IPv6 address", "host '[1.2.3.4]'"),
    ("http://[fe80::1%25eth0]/", "host '[fe80::1%25eth0]' cannot be read: a colon or a bracket out of place", "host '[fe80::1%25eth0]'"),
    ("http://a..b/", "host 'a..b' has an empty label: two dots in a row, or one in front", "host 'a..b'"),
    ("http://h,x/", "host label 'h,x' has a character that no host name has", "host label 'h,x'"),
    ("http://h h/", "host 'h h' has a character that no host name has", "host 'h h'"),
    (
        "http://10.1\x00.h.test/",
        r"host '10.1\x00.h.test' has a character that no host name has",
        r"host '10.1\x00.h.test'",
    ),
    ("http://127.0.0.1%2Fevil.test/", "host label '1/evil' has a character that no host name has", "host label '1/evil'"),
    ("http://h%40evil.test/", "host label 'h@evil' has a character that no host name has", "host label 'h@evil'"),
    ("http://h%00.test/", r"host label 'h\x00' has a character that no host name has", r"host label 'h\x00'"),
    ("http://h%ff.test/", "host 'h%ff.test' is not an international host name", "host 'h%ff.test'"),
    ("http://" + "b" * 64 + "/", f"host label '{'b' * 59}…' is longer than 63 characters", f"host label '{'b' * 59}…'"),
    ("http://" + "a." * 130 + "test/", f"host '{'a.' * 29}a…' is longer than 253 characters", f"host '{'a.' * 29}a…'"),
    ("http://1.2.3.4.5/", "host '1.2.3.4.5' ends in a number and is no IPv4 address", "host '1.2.3.4.5'"),
    ("http://1.2.3.08/", "host '1.2.3.08' ends in a number and is no IPv4 address", "host '1.2.3.08'"),
    ("http://256.1/", "host '256.1' ends in a number and is no IPv4 address", "host '256.1'"),
    ("http://a.1/", "host 'a.1' ends in a number and is no IPv4 address", "host 'a.1'"),
    ("http://1_0.1/", "host '1_0.1' ends in a number and is no IPv4 address", "host '1_0.1'"),
    ("http://-1.1/", "host '-1.1' ends in a number and is no IPv4 address", "host '-1.1'"),
    ("http://4294967296/", "host '4294967296' ends in a number and is no IPv4 address", "host '4294967296'"),
    ("http://ü\u202e.test/", r"host 'ü\u202e.test' is not an international host name", r"host 'ü\u202e.test'"),
    ("http://a\u200dü.test/", r"host 'a\u200dü.test' is not an international host name", r"host 'a\u200dü.test'"),
    ("http://xn--zz/", "host 'xn--zz' is not an international host name", "host 'xn--zz'"),
    ("http://xn--i-7iqü/", "host 'xn--i-7iqü' is not an international host name", "host 'xn--i-7iqü'"),
    ("http://xn--/", "host 'xn--' is not an international host name", "host 'xn--'"),
]


@pytest.mark.parametrize(("url", "message", "evidence"), REFUSED)
def test_refusal_names_the_part_and_quotes_it(url: str, message: str, evidence: str | None) -> None:
    """The part at fault and what it says, cut to size; nothing of a URL in which a password may hide."""
    with pytest.raises(errors.InvalidURLError) as caught:
        URLGuard().check_url(url)
    assert (caught.value.message, caught.value.evidence) == (message, evidence)


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/b", "http://h.test/b"),
        ("", "http://h.test/a/i?p"),
        ("c.jpg", "http://h.test/a/c.jpg"),
        ("../b", "http://h.test/b"),
        ("../../../b/..", "http://h.test/"),
        ("./x//y/./z", "http://h.test/a/x//y/z"),
        ("//o.test/x", "http://o.test/x"),
        ("\\\\o.test\\x", "http://o.test/x"),
        ("/\\o.test/x", "http://o.test/x"),
        ("\\b", "http://h.test/b"),
        ("http:b", "http://h.test/a/b"),
        ("http:/b", "http://h.test/b"),
        ("https:/o.test/b", "https://o.test/b"),
        ("https://o.test/a b#f", "https://o.test/a%20b"),
        ("http://u:p@o.test/x", "http://o.test/x"),
        ("//u:p@x@o.test/x", "http://o.test/x"),
        ("?q=1", "http://h.test/a/i?q=1"),
        ("http://o.test/@me?x=a@b", "http://o.test/@me?x=a@b"),
        (" /b\t", "http://h.test/b"),
        ("/b?", "http://h.test/b?"),
        ("?", "http://h.test/a/i?"),
        ("https://o.test/b?#f", "https://o.test/b?"),
        ("/%79/../y?z=%2F", "http://h.test/y?z=%2F"),
    ],
)
def test_resolve(location: str, url: str) -> None:
    """Relative references, backslashes, fragments, empty queries and credentials in a Location."""
    assert parse(resolve("http://h.test/a/i?p", location)).url == url


@pytest.mark.parametrize("location", ["http://[::1/", "//[zz]/", "http://[::1]x]/", "https:@\\evil.test/", "//u@/x", "javascript:alert(1)"])
def test_resolve_when_it_leads_nowhere(location: str) -> None:
    """What names no host is refused; the credentials' end is not taken for one."""
    with pytest.raises(errors.InvalidURLError):
        parse(resolve("http://h.test/a/i", location))


def refusal_of(url: str) -> errors.PictrawlError | None:
    """Why a URL is refused, None where it is not."""
    try:
        URLGuard().check_url(url)
    except (errors.InvalidURLError, errors.BlockedAddressError) as error:
        return error
    return None


PART = re.compile(r"\b(scheme|credentials|host|port|character|characters long|path)\b")
_PIECES = st.sampled_from(
    ["http", "https", "ftp", "://", ":", "/", "?", "#", "@", "[", "]", "::1", "h.test", ".", "..", "xn--zz", "1.2.3", "99999", "-1", "%",
     "ü", "\u0301", "\u202e", " ", "\\", "\0", "\ud800", "a" * 64, "b." * 130, "c" * 8200]
)  # fmt: skip


@given(st.lists(_PIECES | st.text(max_size=4), max_size=8).map("".join), st.sampled_from(["", "http://", "https://h.test"]))
def test_whatever_is_refused_has_its_part_named_in_a_line(rest: str, start: str) -> None:
    """No refusal without a part, none that a terminal would obey, none longer than a line or two."""
    error = refusal_of(start + rest)
    if isinstance(error, errors.InvalidURLError):
        assert PART.search(error.message), error.message
        for words in (error.message, error.evidence or ""):
            assert words.isprintable()
            assert len(words) <= 300


@given(st.sampled_from(["http://", "https://", "http:", "ftp://", "", "//"]), _PIECES, _PIECES, _PIECES, _PIECES)
def test_no_refusal_quotes_userinfo_or_a_query(start: str, before: str, between: str, behind: str, after: str) -> None:
    """Whatever else is wrong with the URL, and wherever its author forgot to escape."""
    for url in (f"{start}{before}hunter2{between}@h.test{behind}{after}", f"{start}h.test{before}{between}?k=hunter2{behind}{after}"):
        error = refusal_of(url)
        assert error is None or "hunter2" not in f"{error.message} {error.evidence}"


@pytest.mark.parametrize(
    "refusal",
    [
        url_syntax._bad_scheme("joe:hunter2@h.test"),
        url_syntax._bad_authority("http://joe:hunter2/@h.test/", "joe:hunter2"),
        url_syntax._bad_authority("http://[hunter2/@h.test/", "[hunter2"),
        url_syntax.bad_host("http://hunter2/@h.test/", "hunter2", "is not an IPv6 address"),
        url_syntax._bad_label("http://hunter2,/@h.test/", "hunter2,", "hunter2,"),
    ],
)
def test_nothing_is_quoted_of_a_url_with_an_at_sign(refusal: errors.InvalidURLError) -> None:
    """Neither in the message nor in the evidence."""
    assert "hunter" not in f"{refusal} {refusal.evidence}"
    assert "joe" not in str(refusal)


_HOSTS = st.sampled_from(
    ["h.test", "127.0.0.1", "0x7f.1", "%31%32%37.1", "①②⑦.1", "evil.test\\@10.0.0.1", "10.0.0.1\\.h.test", "::1", "[::1]", "2130706433",
     "h.test@10.1", "10.1#@h.test", "10.1?@h.test", "10.0.0.1%20.h.test", "10.0.0.1\t", "１０.1", "10。1", "0xa000001", "012.1", "10.1.",
     "localhost%00"]
)  # fmt: skip
_ENDS = st.sampled_from(["", "/x", "\\x", "?x", ":80", ":8080/"])


@given(st.sampled_from(["http://", "https:", "http:\\\\", " HTTP:///"]), _HOSTS, _ENDS)
def test_other_readers_of_the_request_find_the_same_host(start: str, host: str, end: str) -> None:
    """What the guard judges is what httpx and yarl find in the URL that is sent: no second reading leads elsewhere."""
    try:
        target = check_url(start + host + end, ())
    except errors.InvalidURLError:
        return
    assert target.parsed.raw_host.decode() == yarl.URL(target.url, encoded=True).raw_host == urlsplit(target.url).hostname == target.host
    if re.fullmatch("[0-9.]+", target.host):
        assert socket.inet_ntoa(socket.inet_aton(target.host)) == target.host
