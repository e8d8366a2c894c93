"""What ``pictrawl doctor`` finds out about the network, against real servers."""

import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from app.cli.doctor.network import check_network
from app.settings import Settings, load_settings
from tests.cli.conftest import Invoke
from tests.origin import Origin
from tests.proxies import HttpProxy, SocksProxy

AUTHORITY = trustme.CA()


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


def tls_origin() -> Origin:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("localhost").configure_cert(context)
    return Origin(context)


def settings_with(**fetch: Any) -> Settings:
    given = {"allow_networks": ["127.0.0.0/8", "::1/128"], "ports": [], **fetch}
    return load_settings({f"fetch.{name}": value for name, value in given.items()})


def ca_file() -> Path:
    path = Path("ca.pem")
    path.write_bytes(AUTHORITY.cert_pem.bytes())
    return path


async def found(settings: Settings, *urls: str) -> dict[str, tuple[str, str, str]]:
    """Status, value and hint of each finding by name."""
    return {finding.name: (finding.status, finding.value, finding.hint) for finding in await check_network(settings, urls)}


async def test_doctor_asks_the_host_of_a_url() -> None:
    """One request; any status is an answer."""
    async with Origin() as origin:
        findings = await found(settings_with(), origin.url("/a.jpg", host="localhost"))
    assert [hit.target for hit in origin.log] == ["/robots.txt"]
    assert (findings["dns"][0], findings["host"][0]) == ("ok", "ok")
    assert "answers 404" in findings["host"][1]


async def test_doctor_names_an_authority_that_is_missing() -> None:
    """With the setting that adds it; and with that all is well."""
    async with tls_origin() as origin:
        url = origin.url("/a.jpg", host="localhost")
        status, value, hint = (await found(settings_with(), url))["certificate"]
        trusting = await found(settings_with(ca_file=ca_file()), url)
    assert (status, "certificate refused" in value, "fetch.ca_file" in hint) == ("fail", True, True)
    assert trusting["ca_file"][:2] == ("ok", "1 certificate in ca.pem")
    assert trusting["host"][0] == "ok"
    assert trusting["host"][1].endswith("its certificate is valid")


async def test_doctor_names_what_keeps_a_host_from_being_reached() -> None:
    """A name that does not exist, a refused connection, a blocked address: each with a way out, and without retries."""
    assert "fetch.proxy" in (await found(settings_with(), "https://nowhere.invalid/x"))["dns"][2]
    status, _, hint = (await found(settings_with(), "http://127.0.0.1:1/x"))["host"]
    assert (status, "fetch.proxy" in hint) == ("fail", True)
    status, _, hint = (await found(settings_with(allow_networks=[]), "http://127.0.0.1/x"))["address guard"]
    assert (status, "fetch.allow_networks" in hint) == ("fail", True)
    status, value, _ = (await found(settings_with(ip_version="6"), "http://127.0.0.1:1/x"))["dns"]
    assert (status, "no IPv6 address" in value) == ("fail", True)


async def test_doctor_names_wrong_network_settings() -> None:
    """Before any host is asked."""
    missing = await found(settings_with(ca_file="none.pem"), "http://127.0.0.1:1/x")
    assert missing["settings"][0] == "fail"
    assert "fetch.ca_file" in missing["settings"][1]
    assert set(missing) == {"settings"}
    assert "hunter2" not in str(await found(settings_with(proxy="http://hunter2")))


@pytest.mark.parametrize("kind", [HttpProxy, SocksProxy])
async def test_doctor_goes_through_the_proxy(kind: type[HttpProxy | SocksProxy]) -> None:
    """It lets us in, and the host is asked through it; what the guard does not see is said."""
    async with kind() as proxy, Origin() as origin:
        findings = await found(settings_with(proxy=proxy.url()), origin.url("/x", host="localhost"))
        assert (findings["proxy"][:2], findings["host"][0]) == (("ok", f"{proxy.url()} lets us in"), "ok")
        assert ("address guard" in findings) == (kind is HttpProxy)
        assert ("dns" in findings) == (kind is SocksProxy)
    assert len(origin.log) == 1


async def test_doctor_names_a_proxy_that_serves_nobody() -> None:
    """Away, or with other credentials, which are not shown. No host is asked then."""
    away = await found(settings_with(proxy="http://ann:hunter2@127.0.0.1:1"), "http://nowhere.invalid/")
    assert away["proxy"][0] == "fail"
    assert "cannot be reached" in away["proxy"][1]
    async with HttpProxy("ann", "right") as proxy:
        refused = await found(settings_with(proxy=proxy.url("ann:hunter2")), "http://nowhere.invalid/")
    assert "407" in refused["proxy"][1]
    assert "hunter2" not in f"{away} {refused}"
    assert [list(findings) for findings in (away, refused)] == [["proxy"], ["proxy"]]


async def test_doctor_names_a_host_that_the_proxy_refuses() -> None:
    """Its rules are a matter of whoever runs it."""
    async with HttpProxy(status=403) as proxy:
        findings = await found(settings_with(proxy=proxy.url()), "https://localhost:8443/x")
    assert findings["proxy"] == ("fail", "the proxy refused a connection to the host (403)", "ask who runs the proxy to allow this host")


@pytest.mark.parametrize("names", [["HTTPS_PROXY"], ["http_proxy", "ALL_PROXY"]])
async def test_doctor_says_that_proxies_of_the_environment_are_not_used(names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With the line that uses one, and without its password. The host is asked directly all the same."""
    for name in names:
        monkeypatch.setenv(name, "http://ann:hunter2@127.0.0.1:1")
    async with Origin() as origin:
        url = origin.url("/x", host="localhost")
        status, value, hint = (await found(settings_with(), url))["proxy"]
        assert (status, hint) == ("warn", f'to use it, in pictrawl.toml: [fetch] proxy = {{ env = "{names[0]}" }}')
        assert "not used" in value
        assert "hunter2" not in value
        async with HttpProxy() as proxy:
            assert (await found(settings_with(proxy=proxy.url()), url))["proxy"][0] == "ok"
    assert len(origin.log) == 2


async def test_doctor_says_whose_authorities_replace_the_public_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """The TLS library obeys this variable."""
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file()))
    async with tls_origin() as origin:
        findings = await found(settings_with(), origin.url("/x", host="localhost"))
    assert findings["authorities"][0] == "note"
    assert findings["host"][0] == "ok"


@pytest.mark.parametrize(("url", "name"), [("https://nowhere.invalid", "dns"), ("http://127.0.0.1:1", "host")])
def test_doctor_finds_a_machine_without_a_way_to_the_sources_fit(invoke: Invoke, url: str, name: str) -> None:
    """A list needs none of them: no name server and no connection are notes, with a way out for keywords."""
    there = ("--set", "fetch.allow_networks=127.0.0.0/8", "--set", "fetch.ports=[]")
    result = invoke("doctor", "--set", f"sources.wikimedia.base_url={url}", *there, "--json")
    assert result.code == 0, result.out
    (found,) = (check for check in result.json["checks"] if check["name"] == name)
    assert found["status"] == "note"
    assert found["hint"].startswith("a list needs no source, keywords do: ")
    assert "fetch.proxy" in found["hint"]


async def test_doctor_fails_for_the_proxy_of_the_sources_too() -> None:
    """Every build goes through it, whatever it is made of."""
    findings = await found(settings_with(proxy="http://127.0.0.1:1"))
    assert findings["proxy"][0] == "fail"


def test_doctor_takes_urls(invoke: Invoke) -> None:
    """In the place of the sources'; exit code 5 where one cannot be reached."""
    result = invoke(
        "doctor",
        "--only",
        "network",
        "--url",
        "http://127.0.0.1:1/x",
        "--set",
        "fetch.allow_networks=127.0.0.0/8",
        "--set",
        "fetch.ports=[]",
    )
    assert result.code == 5
    assert "fetch.proxy" in result.out
