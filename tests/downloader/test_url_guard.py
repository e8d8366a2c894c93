"""The guard: what is no URL, what may not be dialled, and when two spellings are one URL."""

import re

import httpx
import pytest
import yarl
from hypothesis import given
from hypothesis import strategies as st

import errors
from downloader import url_guard
from downloader.url_guard import URLGuard, check_url, is_public, normalise, resolve_location

BAD_ADDRESSES = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.9",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "2620:4f:8000::1",
]
GOOD_ADDRESSES = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.216.34",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.0.1",
    "172.32.0.1",
    "192.0.1.1",
    "192.169.0.1",
    "198.20.0.1",
    "223.255.255.255",
    "::ffff:8.8.8.8",
    "2001:4860:4860::8888",
    "2606:4700:4700::1111",
    "2a00:1450:4001::1",
]


@pytest.mark.parametrize("address", BAD_ADDRESSES)
def test_is_public_refuses(address):
    """Private, shared, reserved, multicast, translated and metadata addresses are not public."""
    assert not is_public(address)
    with pytest.raises(errors.BlockedAddressError) as caught:
        URLGuard().check_address(address)
    assert caught.value.evidence == address


@pytest.mark.parametrize("address", GOOD_ADDRESSES)
def test_is_public_allows(address):
    """Neighbours of the blocks above are public."""
    assert is_public(address)
    URLGuard().check_address(address)


def test_allowed_network_exempts_from_the_address_rule_only():
    """`allow_networks` opens addresses, never ports."""
    guard = URLGuard(ports=(80,), allow_networks=("127.0.0.0/8", "::1/128"))
    assert guard.check_url("http://127.0.0.1/x").host == "127.0.0.1"
    assert guard.check_url("http://[::1]/x").host == "::1"
    guard.check_address("::ffff:127.0.0.1")
    with pytest.raises(errors.BlockedAddressError, match="port 22"):
        guard.check_url("http://127.0.0.1:22/")
    with pytest.raises(errors.BlockedAddressError):
        guard.check_url("http://10.0.0.1/")


def test_own_address_is_refused_however_public():
    """What is this machine's may be dialled where a network allows it, and nowhere else."""
    with pytest.raises(errors.BlockedAddressError, match="own"):
        URLGuard().check_address("93.184.216.34", own=True)
    URLGuard(allow_networks=("93.184.216.0/24",)).check_address("93.184.216.34", own=True)


def test_bad_network_is_a_configuration_error():
    """The message names the setting and shows the way out."""
    with pytest.raises(errors.ConfigurationError, match=r"fetch\.allow_networks.*10\.0\.0\.0/8"):
        URLGuard(allow_networks=("ten",))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "foo",
        "//h/x",
        "http://",
        "http:///x",
        "http:/h",
        "http://[::1",
        "http://[::zz]/",
        "http://h:abc/",
        "http://h:99999/",
        "http://h:0/",
        "http://h:-1/",
        "http://h:123456/",
        "http://h h/",
        " http://h/",
        "http://h/a b",
        "http://h/a\tb",
        "http://h/\r\nX: y",
        "http://h/\x00",
        "http:\\\\h/",
        "http://h\\@evil/",
        "http://h/a\\b",
        "data:image/png;base64,AA",
        "file:///etc/passwd",
        "ftp://h/a",
        "javascript:alert(1)",
        "gopher://h/",
        "http://user:pw@h/",
        "http://user@h/",
        "http://@h/",
        "http://xn--zz/",
        "http://" + "a" * 64 + ".test/",
        "http://" + "a." * 130 + "test/",
        "http://h/" + "a" * 9000,
        "http://a..b/",
        "http://-a.test/",
        "http://h,x/",
        "http://1.2.3.4.5/",
        "http://8.8.8/",
        "http://0x08080808/",
        "http://010.8.8.8/",
        "http://h/\u2028",
        "http://h/\ud800",
        "http://\u2764/\x7f",
        "http://%31/",
    ],
)
def test_invalid_url(url):
    """Nothing is guessed, nothing is repaired."""
    with pytest.raises(errors.InvalidURLError):
        URLGuard().check_url(url)


@pytest.mark.parametrize(
    ("url", "message", "evidence"),
    [
        ("http://h/" + "a" * 9000, "the URL is 9009 characters long, more than 8192", "length 9009"),
        ("http://h/a\\b", "a backslash at character 11 of the URL", "character 11"),
        ("http://h/\x1b[2J", "a control character (U+001B) at character 10 of the URL", "character 10"),
        ("h.test/a", "no scheme: not an absolute http or https URL", None),
        ("HTTP:h.test", "no host: not an absolute URL, as http: needs two slashes behind it", None),
        ("ftp://h/", "scheme 'ftp' is not http or https", "scheme 'ftp'"),
        ("x" * 70 + "://h/", f"scheme '{'x' * 59}…' is not http or https", f"scheme '{'x' * 59}…'"),
        ("mailto:joe@h.test", "the scheme is not http or https", None),
        ("http://joe:secret@h.test/", "credentials in the URL", None),
        ("http://joe:sec/ret@h.test/", "the port is not a number from 1 to 65535", None),
        ("http://:80/", "no host", None),
        ("http://h:99999/", "port 99999 does not exist: there are 1 to 65535", "port 99999"),
        ("http://h:123456/", "port '123456' is not a number from 1 to 65535", "port '123456'"),
        ("http://a:b:80/", "host 'a:b' cannot be read: a colon or a bracket out of place", "host 'a:b'"),
        ("http://[1.2.3.4]/", "host '[1.2.3.4]' is not an IPv6 address", "host '[1.2.3.4]'"),
        ("http://a..b/", "host 'a..b' has an empty label: two dots in a row, or one in front", "host 'a..b'"),
        ("http://-a.test/", "host label '-a' begins or ends with a hyphen", "host label '-a'"),
        ("http://a-.test/", "host label 'a-' begins or ends with a hyphen", "host label 'a-'"),
        ("http://h,x/", "host label 'h,x' has a character that no host name has", "host label 'h,x'"),
        ("http://" + "b" * 64 + "/", f"host label '{'b' * 59}…' is longer than 63 characters", f"host label '{'b' * 59}…'"),
        ("http://1.2.3.4.5/", "host '1.2.3.4.5' ends in a number and is no IPv4 address", "host '1.2.3.4.5'"),
        ("http://8.8.8/", "host '8.8.8' is an IPv4 address that is not written as four decimal numbers", "host '8.8.8'"),
        ("http://[::1/", "host '[::1' cannot be read: a colon or a bracket out of place", "host '[::1'"),
        ("http://ü\u202e.test/", r"host 'ü\u202e.test' is not an international host name", r"host 'ü\u202e.test'"),
        ("http://xn--zz/", "host 'xn--zz' is no name that can be requested", "host 'xn--zz'"),
    ],
)
def test_refusal_names_the_part_and_quotes_it(url, message, evidence):
    """The part at fault and what it says, cut to size; nothing of a URL in which a password may hide."""
    with pytest.raises(errors.InvalidURLError) as caught:
        URLGuard().check_url(url)
    assert (caught.value.message, caught.value.evidence) == (message, evidence)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://0/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:a00:1]/",
        "http://[::1]/",
        "http://127。0。0。1/",
        "http://①②⑦.⓪.⓪.①/",
        "http://[64:ff9b::127.0.0.1]/",
        "http://127.0.0.1./",
    ],
)
def test_blocked_address_however_it_is_written(url):
    """Decimal, octal, hex, short, mapped and full-width spellings all mean an address."""
    with pytest.raises(errors.BlockedAddressError):
        URLGuard().check_url(url)


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("HTTP://Images.Test:80/A?b=C#frag", "http://images.test/A?b=C"),
        ("https://h.test", "https://h.test/"),
        ("https://h.test?x=1", "https://h.test/?x=1"),
        ("http://h.test:8080/", "http://h.test:8080/"),
        ("http://h.test/%2e%2e/a%zz?x=%2F&&y=a+b", "http://h.test/%2e%2e/a%zz?x=%2F&&y=a+b"),
        ("http://h.test/bücher?ü", "http://h.test/b%C3%BCcher?%C3%BC"),
        ("http://bücher.test/", "http://xn--bcher-kva.test/"),
        ("http://a_b.h.test./", "http://a_b.h.test/"),
        ("http://[2606:4700::1111]:443/x", "http://[2606:4700::1111]:443/x"),
        ("http://h.test:/x", "http://h.test/x"),
        ("http://8.8.8.8/", "http://8.8.8.8/"),
    ],
)
def test_check_url_leaves_path_and_query_as_given(url, sent):
    """Only scheme, host, default port and fragment are touched: signed URLs depend on the rest."""
    assert check_url(url, ()).url == sent


def test_port_is_checked():
    """Only the ports allowed; empty means any."""
    assert check_url("http://h.test:8081/", ()).port == 8081
    with pytest.raises(errors.BlockedAddressError) as caught:
        check_url("http://h.test:25/", (80, 443))
    assert caught.value.evidence == "port 25"


def test_origin_is_the_key_of_a_host():
    """Scheme, host and port, brackets where they belong."""
    assert check_url("https://H.test/x", ()).origin == "https://h.test:443"
    assert check_url("http://[2606:4700::1111]/", ()).origin == "http://[2606:4700::1111]:80"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("HTTP://Host.test:80/a/../b", "http://host.test/b"),
        ("http://host.test", "http://host.test/#x"),
        ("http://h.test/%7Ea", "http://h.test/~a"),
        ("https://h.test:443/x?b=1&a=2", "https://h.test/x?b=1&a=2"),
        ("http://h.test/ü", "http://h.test/%c3%bc"),
    ],
)
def test_normalise_makes_one_of(one, other):
    """Two spellings, one key."""
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://h.test/a", "https://h.test/a"),
        ("http://h.test/a", "http://h.test/A"),
        ("http://h.test/?a=1&b=2", "http://h.test/?b=2&a=1"),
        ("http://h.test/a", "http://h.test:8080/a"),
        ("http://h.test/a/", "http://h.test/a"),
        ("http://h.test/a?", "http://h.test/a?b"),
    ],
)
def test_normalise_keeps_apart(one, other):
    """Where servers may tell a difference, so does the key."""
    assert normalise(one) != normalise(other)


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/b", "http://h.test/b"),
        ("c.jpg", "http://h.test/a/c.jpg"),
        ("../b", "http://h.test/b"),
        ("//o.test/x", "http://o.test/x"),
        ("https://o.test/a b#f", "https://o.test/a%20b"),
        ("http://u:p@o.test/x", "http://o.test/x"),
        ("?q=1", "http://h.test/a/i?q=1"),
        ("http://o.test/@me?x=a@b", "http://o.test/@me?x=a@b"),
        (" /b\t", "http://h.test/b"),
        ("/b?", "http://h.test/b?"),
        ("?", "http://h.test/a/i?"),
        ("https://o.test/b?#f", "https://o.test/b?"),
    ],
)
def test_resolve_location(location, url):
    """Relative references, spaces, fragments, empty queries and credentials in a Location."""
    assert resolve_location("http://h.test/a/i", location) == url


@pytest.mark.parametrize("location", ["http://[::1/", "//[zz]/", "http://[::1]x]/"])
def test_resolve_location_that_cannot_be_read(location):
    """urljoin's ValueError is not let out."""
    with pytest.raises(errors.InvalidURLError):
        check_url(resolve_location("http://h.test/a/i", location))


@given(st.text(max_size=80) | st.from_regex(r"https?://[^/]{0,20}/.{0,20}", fullmatch=True))
def test_any_text_is_a_target_or_one_of_two_errors(text):
    """Total: no other exception, and what passes is ASCII."""
    try:
        target = URLGuard().check_url(text)
        assert target.url.isascii()
        assert "@" not in target.url.partition("://")[2].partition("/")[0]
        normalise(text)
    except (errors.InvalidURLError, errors.BlockedAddressError):
        pass


def refusal_of(url):
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
def test_whatever_is_refused_has_its_part_named_in_a_line(rest, start):
    """No refusal without a part, none that a terminal would obey, none longer than a line or two."""
    error = refusal_of(start + rest)
    if isinstance(error, errors.InvalidURLError):
        assert PART.search(error.message), error.message
        for words in (error.message, error.evidence or ""):
            assert words.isprintable()
            assert len(words) <= 300


@given(st.sampled_from(["http://", "https://", "http:", "ftp://", "", "//"]), _PIECES, _PIECES, _PIECES, _PIECES)
def test_no_refusal_quotes_userinfo_or_a_query(start, before, between, behind, after):
    """Whatever else is wrong with the URL, and wherever its author forgot to escape."""
    for url in (f"{start}{before}hunter2{between}@h.test{behind}{after}", f"{start}h.test{before}{between}?k=hunter2{behind}{after}"):
        error = refusal_of(url)
        assert error is None or "hunter2" not in f"{error.message} {error.evidence}"


_LABEL = st.text("abcxyz019-", min_size=1, max_size=8)
_SEGMENT = st.text("abcXYZ019._~-", max_size=8)


@given(st.lists(_LABEL, min_size=1, max_size=4), st.lists(_SEGMENT, max_size=4), st.none() | st.text("ab9._~=&-", max_size=9))
def test_the_short_way_to_the_normal_form_never_differs_from_the_long_one(labels, segments, query):
    """What the pattern takes for normal is what the full rules would make of it, or they refuse it, too."""
    url = f"https://{'.'.join(labels)}/{'/'.join(segments)}" + (f"?{query}" if query is not None else "")
    if url_guard._NORMAL.fullmatch(url):
        assert str(yarl.URL(check_url(url, ()).url)) == url == normalise(url)


PLAIN = st.text("aZ09._~/-?=&", max_size=20)


SITES = st.sampled_from(["http://h.test", "https://h.test:8443", "http://[2001:db8::1]", "http://xn--bcher-kva.test"])


@given(SITES, PLAIN, st.text(max_size=3))
def test_httpx_would_read_the_url_the_same(site, path, odd):
    """A site is parsed once for all its URLs; scheme, host, port, path and query are as httpx reads the whole."""
    for url in (f"{site}/{path}", f"{site}/{path}{odd}", site):
        try:
            target = check_url(url, ())
        except errors.InvalidURLError:
            continue
        whole = httpx.URL(target.url)
        assert target.parsed == whole
        assert (target.parsed.raw_path, target.parsed.netloc, target.parsed.raw_host) == (whole.raw_path, whole.netloc, whole.raw_host)
        assert str(target.parsed) == str(whole)


@pytest.mark.parametrize(
    "refusal",
    [
        url_guard._bad_scheme("joe:hunter2@h.test"),
        url_guard._bad_authority("http://joe:hunter2/@h.test/", "joe:hunter2"),
        url_guard._bad_authority("http://[hunter2/@h.test/", "[hunter2"),
        url_guard._bad_host("http://hunter2/@h.test/", "hunter2", "is not an IPv6 address"),
        url_guard._bad_label("http://-hunter2/@h.test/", "-hunter2", "-hunter2"),
        url_guard._bad_character("http://joe:hunter 2@h.test/", 17),
        url_guard._refusal("credentials in the URL"),
    ],
)
def test_nothing_is_quoted_of_a_url_with_an_at_sign(refusal: Exception) -> None:
    """Neither in the message nor in the evidence."""
    assert "hunter" not in f"{refusal} {refusal.evidence}"  # type: ignore[attr-defined]
    assert "joe" not in str(refusal)


def test_long_parts_are_cut() -> None:
    """60 characters of a part are enough to know it by."""
    refusal = url_guard._bad_host("http://h/", "a" * 500, "is longer than 253 characters")
    assert refusal.message == f"host '{'a' * 59}…' is longer than 253 characters"
