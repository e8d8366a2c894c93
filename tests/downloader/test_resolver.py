"""Lookups: answers, deadlines, silence and whose fault it is; and which addresses are this machine's."""

import asyncio
import socket
import threading

import pytest

import errors
from downloader.resolver import ThreadedResolver, is_own


@pytest.fixture
def hanging(monkeypatch):
    """Name servers that never say a word, but for names in the set."""
    release, answered = threading.Event(), {"good.test"}

    def getaddrinfo(host, *args, **kwargs):
        if host not in answered:
            release.wait()
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", 0))]

    monkeypatch.setattr("downloader.resolver.socket.getaddrinfo", getaddrinfo)
    yield answered
    release.set()


async def test_lookup_of_a_literal_name():
    """The default lookup is getaddrinfo, on threads of its own."""
    lookup = ThreadedResolver()
    assert "127.0.0.1" in await lookup("localhost") or "::1" in await lookup("localhost")
    lookup.close()


async def test_lookup_has_a_deadline_and_its_threads_are_ours(hanging):
    """A silent name server is EAI_AGAIN; with all threads hanging it is this machine's trouble."""
    lookup = ThreadedResolver(timeout_s=0.05, threads=1)
    async with asyncio.timeout(2):
        with pytest.raises(socket.gaierror) as caught:
            await lookup("slow.test")
    assert caught.value.errno == socket.EAI_AGAIN
    with pytest.raises(errors.StorageError):
        await lookup("other.test")
    lookup.close()


async def test_name_after_name_without_an_answer_is_our_resolver(hanging):
    """Four names may be at fault, the fifth in a row is not; then evidence is gathered anew."""
    lookup = ThreadedResolver(timeout_s=0.02)
    for round_ in range(2):
        for number in range(4):
            with pytest.raises(socket.gaierror):
                await lookup(f"silent{round_}{number}.test")
        with pytest.raises(errors.StorageError):
            await lookup(f"silent{round_}4.test")
    lookup.close()


async def test_one_answer_in_between_clears_the_resolver(hanging):
    """Where others are answered the silent names are silent themselves; one name is one name however often it is asked."""
    lookup = ThreadedResolver(timeout_s=0.02)
    for number in range(6):
        with pytest.raises(socket.gaierror):
            await lookup("same.test" if number < 3 else f"silent{number}.test")
        assert await lookup("good.test") == ["93.184.216.34"]
    lookup.close()


async def test_refusal_is_an_answer(monkeypatch):
    """NXDOMAIN comes as it is."""

    def unknown(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("downloader.resolver.socket.getaddrinfo", unknown)
    lookup = ThreadedResolver()
    with pytest.raises(socket.gaierror) as caught:
        await lookup("gone.test")
    assert caught.value.errno == socket.EAI_NONAME
    lookup.close()


def test_is_own_tells_this_machine_from_the_world():
    """Loopback is ours, another's address is not, whether there is a way to it or none."""
    assert is_own(socket.AF_INET, ("127.0.0.1", 80))
    assert not is_own(socket.AF_INET, ("93.184.216.34", 80))
    assert not is_own(socket.AF_INET6, ("2606:4700:4700::1111", 80, 0, 0))
