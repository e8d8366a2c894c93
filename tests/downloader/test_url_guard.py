"""The guard: what may not be dialled, and when two spellings are one URL."""

import httpx
import pytest
import yarl
from hypothesis import given
from hypothesis import strategies as st

import errors
from downloader import url_guard
from downloader.url_guard import URLGuard, check_url, is_public, normalise

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
