"""The distant hosts of the comparison."""

import ipaddress

import many_hosts


def test_addresses_are_distinct_and_on_loopback() -> None:
    """500 hosts on this machine."""
    addresses = many_hosts.addresses()
    assert len(set(addresses)) == len(addresses) == 500
    assert all(ipaddress.ip_address(address) in ipaddress.ip_network("127.1.0.0/16") for address in addresses)
    assert not any(address.endswith((".0", ".255")) for address in addresses)


def test_a_host_has_its_own_distance() -> None:
    """50 to 200 ms, spread over the whole range, and the same in each call."""
    waits = [many_hosts.wait_s(address) for address in many_hosts.addresses()]
    assert waits == [many_hosts.wait_s(address) for address in many_hosts.addresses()]
    assert 0.05 <= min(waits) < 0.06
    assert 0.19 < max(waits) <= 0.2


def test_urls_go_round_the_hosts() -> None:
    """Every picture once, neighbours on different hosts."""
    urls = many_hosts.urls_of(8443, [f"{number}.jpg" for number in range(501)])
    assert urls[0] == "https://127.1.0.1:8443/0.jpg"
    assert urls[1] == "https://127.1.0.2:8443/1.jpg"
    assert urls[500] == "https://127.1.0.1:8443/500.jpg"
