"""``pictrawl sources``."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.discovery import SOURCES
from tests.cli.conftest import OPEN, Invoke
from tests.providers import PROVIDERS
from tests.providers.server import KEY, Provider


@contextmanager
def provided(name: str, total: int) -> Iterator[Provider]:
    """A provider on a thread of its own."""
    provider, ready, stop = PROVIDERS[name](total), threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        async with provider:
            loops.append(asyncio.get_running_loop())
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield provider
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join(10)


def asking(provider: Provider, workspace: Path, *settings: str) -> list[str]:
    """Options that make a command ask a provider."""
    given = [f"sources.{provider.name}.base_url={provider.base_url}", "fetch.contact=me@example.org", *settings]
    return [*OPEN, *(word for one in given for word in ("--set", one)), "--workspace", str(workspace)]


def test_sources_say_whether_they_are_ready(invoke: Invoke) -> None:
    """Wikimedia asks for a contact, Flickr for a key; the table fits a terminal of 100 columns."""
    listed = invoke("sources", "ls").out
    assert "needs --contact" in listed
    assert max(map(len, listed.splitlines())) <= 100
    items = invoke("sources", "ls", "--set", "fetch.contact=me@example.org", "--json").json["items"]
    found = {item["name"]: item for item in items}
    assert (found["wikimedia"]["ready"], found["wikimedia"]["missing"]) == (True, None)
    assert (found["flickr"]["ready"], "sources.flickr.key" in found["flickr"]["missing"]) == (False, True)
    assert found["openverse"]["limits"] == ["20/min", "200/day"]
    assert invoke("sources", "ls", "-q").out.split() == list(SOURCES)


def test_a_source_is_shown_with_its_terms(invoke: Invoke) -> None:
    """And with the limits of the settings, where these differ; a key is not shown."""
    shown = invoke("sources", "show", "flickr", "--set", "sources.flickr.limits=[]", "--set", f"sources.flickr.key={KEY}")
    assert SOURCES["flickr"].terms_url in shown.out
    assert "none declared" in shown.out
    assert KEY not in shown.out
    assert KEY not in invoke("sources", "show", "flickr", "--set", f"sources.flickr.key={KEY}", "--json").out


def test_an_unknown_source_is_answered_with_the_nearest(invoke: Invoke) -> None:
    """By each command that takes one."""
    for command in ("show", "check"):
        unknown = invoke("sources", command, "openvers")
        assert (unknown.code, "did you mean openverse?" in unknown.err) == (2, True)


def test_a_check_shows_what_came(invoke: Invoke, tmp_path: Path) -> None:
    """How many results there are, the first of them, and what is left of the limits, which count over commands."""
    with provided("openverse", 2_341) as provider:
        first = invoke("sources", "check", "openverse", *asking(provider, tmp_path / "ws"))
        again = invoke("sources", "check", "openverse", *asking(provider, tmp_path / "ws"), "--json").json["items"][0]
    assert first.code == 0
    assert "for 'cat' in " in first.out
    assert "\n  first  " in first.out
    assert "left   19 of 20/min, 199 of 200/day" in first.out
    assert (again["ok"], again["left"]) == (True, {"20/min": 18, "200/day": 198})


def test_a_check_of_all_names_those_that_are_not_asked(invoke: Invoke, tmp_path: Path) -> None:
    """Each that is ready is asked; an empty word is none."""
    nowhere = [word for name in SOURCES for word in ("--set", f"sources.{name}.base_url=http://127.0.0.1:9")]
    result = invoke("sources", "check", *nowhere, "--workspace", str(tmp_path / "ws"))
    assert result.code == 5
    assert "not asked, since they are not ready: europeana, flickr, smithsonian, wikimedia; `pictrawl sources ls` says" in result.err
    assert ("openverse: " in result.out, "flickr: " in result.out) == (True, False)
    assert "must not be empty" in invoke("sources", "check", "openverse", "--keyword", "").err


def test_a_check_that_fails_says_why(invoke: Invoke, tmp_path: Path) -> None:
    """In one line, with an exit code of its own and without the key."""
    with provided("flickr", 5) as provider:
        provider.keys = {"another"}
        failed = invoke("sources", "check", "flickr", *asking(provider, tmp_path / "ws", f"sources.flickr.key={KEY}"))
    assert failed.code == 5
    assert "key" in failed.out
    assert KEY not in failed.out + failed.err
    needs = invoke("sources", "check", "flickr", "--workspace", tmp_path / "ws")
    assert (needs.code, "sources.flickr.key" in needs.err) == (2, True)
