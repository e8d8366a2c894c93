"""Every request is made inside the policy: shown on ours, and on sources where one way leads past it."""

import pytest

from app.audit.policy import RULES, sends
from app.audit.rule import judge
from app.audit.sources import installed, parsed
from tests.audit.bad import found_in

CLIENT = """
class Downloader:
    async def fetch(self, url):
        return await self._attempts(url)

    async def _attempts(self, url):
        async def attempt(number):
            return await self._get(url)

        return await self._policy.run(attempt, host="h")

    async def _get(self, url):
        terms = Terms(admit=self._robots.check)
        return await self._requester.send(url, terms)

    async def fetch_json(self, url):
        return await self._policy.run(lambda number: self._requester.send(url), host="h")
"""
ROBOTS = """
class Robots:
    async def check(self, target):
        return await self._fetch_once(target)

    async def _fetch_once(self, target):
        return await self._requester.send(target)
"""
GOOD = {"downloader/client.py": CLIENT, "downloader/robots.py": ROBOTS}


def test_all_of_ours_go_through_the_policy() -> None:
    """Images, JSON of sources, and robots.txt: three places send, and no way leads to one past the policy."""
    assert [(module.name, guarded) for module, _, guarded in sends(installed())] == [
        ("downloader.client", True),
        ("downloader.client", True),
        ("downloader.robots", True),
    ]
    assert all(verdict.holds for verdict in judge(RULES, installed()))


def test_a_good_downloader_passes() -> None:
    """A function that is handed over, a lambda, and what either calls."""
    assert found_in(RULES, GOOD) == []
    assert [guarded for _, _, guarded in sends(parsed(GOOD))] == [True, True, True]


PAST = [
    ("client", 'self._policy.run(attempt, host="h")', "attempt(1)", "downloader/client.py:14"),
    ("client", "return await self._attempts(url)", "return await self._get(url)", "downloader/client.py:14"),
    ("client", "lambda number: self._requester.send(url), host", "None, host", ""),
    ("client", "self._policy.run(lambda number: self._requester.send(url), ", "self._requester.send(url, ", "downloader/client.py:17"),
    ("client", "return await self._attempts(url)", "return await self._robots.check(url)", "downloader/robots.py:7"),
    ("client", "admit=self._robots.check", "admit=None", "downloader/robots.py:7"),
    ("robots", "await self._fetch_once(target)", "await self._elsewhere.fetch_once(target)", "downloader/robots.py:7"),
]


@pytest.mark.parametrize(("name", "old", "new", "line"), PAST)
def test_a_way_past_the_policy_is_found(name: str, old: str, new: str, line: str) -> None:
    """At the place that sends, whoever is the culprit above it; where nothing sends any more, nothing is wrong."""
    path = f"downloader/{name}.py"
    assert old in GOOD[path]
    breaches = [breach for breach in found_in(RULES, GOOD | {path: GOOD[path].replace(old, new)}) if "RetryPolicy.run" in breach]
    assert line in [breach.partition(": ")[0] for breach in breaches] if line else not breaches


def test_a_function_that_only_calls_itself_is_not_guarded() -> None:
    """A circle is no way through the policy; nor is a request at the level of the module."""
    circle = "class Loop:\n    async def again(self):\n        await self._requester.send(1)\n        await self.again()\n"
    assert len(found_in(RULES, {"downloader/loop.py": circle})) == 1
    assert len(found_in(RULES, {"downloader/loop.py": "requester.send(1)"})) == 1


def test_functions_of_modules_are_followed_too() -> None:
    """By their bare name at home, behind the module's name elsewhere."""
    probe = "async def probe(requester):\n    await requester.send(1)\n"
    guarded = "async def run(self):\n    await self._policy.run(lambda number: probing.probe(r), host='h')\n"
    assert found_in(RULES, {"downloader/probing.py": probe, "downloader/other.py": guarded}) == []
    assert len(found_in(RULES, {"downloader/probing.py": probe + "X = probe\n", "downloader/other.py": guarded})) == 1


@pytest.mark.parametrize("call", ["self._client.send(request)", "self._client.get(url)", "session.request('GET', url)"])
def test_the_http_client_is_spoken_to_in_one_place(call: str) -> None:
    """Everybody else goes through ``Requester.send``."""
    [breach] = found_in(RULES, {"downloader/robots.py": f"async def f(self, session): await {call}"})
    assert "speaks to the HTTP client" in breach
    assert found_in(RULES, {"downloader/attempt.py": "async def f(self): await self._client.send(1)"}) == []
    assert found_in(RULES, {"downloader/transport.py": "async def f(session): await session.request(1)"}) == []
