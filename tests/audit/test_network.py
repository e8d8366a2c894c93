"""Who may send requests: each rule goes red on a source that breaks it, and is green on ours."""

import pytest

from app.audit.network import MAY_DIAL, MAY_REACH, RULES
from app.audit.rule import judge
from app.audit.sources import installed
from app.audit.syntax import calls, dotted, last
from tests.audit.bad import found_in


def test_our_sources_keep_the_rules() -> None:
    """No HTTP client, no dialling and no Tenacity outside their places."""
    assert [str(breach) for verdict in judge(RULES, installed()) for breach in verdict.breaches] == []


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        ("app/web/jobs.py", "import httpx", "imports httpx"),
        ("app/web/jobs.py", "from httpx import AsyncClient", "imports httpx"),
        ("workers/stages/fetch.py", "def f():\n    import aiohttp.client", "imports aiohttp"),
        ("downloader/client.py", "import aiohttp", "imports aiohttp; only downloader.transport, errors.classify may"),
        ("downloader/client.py", "import requests", "imports requests; nobody may"),
        ("app/discovery/text.py", "from urllib import request", "imports urllib.request"),
        ("app/discovery/text.py", "import urllib.request", "imports urllib.request"),
        ("app/discovery/text.py", "from http.client import HTTPConnection", "imports http.client"),
        ("app/exports/formats/files.py", "import obstore", "imports obstore"),
        ("downloader/client.py", "import tenacity", "imports tenacity; only downloader.policy may"),
        ("workers/sending.py", "def f():\n    from tenacity.asyncio import AsyncRetrying", "imports tenacity"),
        ("app/discovery/text.py", "from downloader.attempt import Requester", "imports downloader.attempt"),
        ("app/discovery/text.py", "from downloader import transport", "imports downloader.transport"),
        ("workers/stages/fetch.py", "async def f(): await asyncio.open_connection('h', 80)", "calls open_connection"),
        ("workers/stages/fetch.py", "import socket\nx = socket.socket()", "calls socket.socket"),
        ("app/web/server.py", "import socket\nx = socket.create_connection(('h', 80))", "calls create_connection"),
        ("downloader/hosts.py", "async def f(loop): await loop().create_connection(p, 'h', 80)", "calls create_connection"),
        ("app/storage/backends.py", "from obstore.store import from_url\nx = from_url(url)", "from_url without retry_config="),
        ("app/storage/backends.py", "x = S3Store('bucket')", "S3Store without retry_config="),
        ("workers/stages/fetch.py", "import time\ntime.sleep(1)", "calls time.sleep"),
        ("workers/stages/fetch.py", "from time import sleep", "imports time.sleep"),
        ("app/cli/demo/show.py", "async def f():\n    subprocess.run(['ls'])", "calls subprocess.run in a coroutine"),
    ],
)
def test_a_source_that_breaks_a_rule_is_found(path: str, text: str, words: str) -> None:
    """One breach each, with its place and the way out."""
    breaches = found_in(RULES, {path: text})
    assert any(breach.startswith(f"{path}:") and words in breach for breach in breaches), breaches


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("downloader/attempt.py", "import httpx"),
        ("errors/classify.py", "import httpx\nimport aiohttp"),
        ("downloader/transport.py", "import aiohttp\nfrom aiohttp.abc import AbstractResolver"),
        ("downloader/policy.py", "import tenacity"),
        ("app/web/jobs.py", "from urllib.parse import quote\nfrom downloader import Downloader"),
        ("app/web/server.py", "import socket\nx = socket.getaddrinfo('h', 1)"),
        ("app/storage/backends.py", "import obstore\nx = from_url(url, retry_config=RETRIES)\ny = MemoryStore()"),
        ("app/audit/pipeline.py", "def f():\n    subprocess.run(['ls'])"),
        ("workers/stages/fetch.py", "async def f(): await asyncio.sleep(1)"),
    ],
)
def test_what_is_allowed_is_left_alone(path: str, text: str) -> None:
    """A rule asks for nothing beyond what it says."""
    assert found_in(RULES, {path: text}) == []


def test_every_exception_is_needed() -> None:
    """One that nothing uses any more goes; each says why it is there."""
    used = {
        (module.name, name) for module in installed().values() for call, _ in calls(module) for name in (last(call.func), dotted(call.func))
    }
    assert set(MAY_DIAL) <= used
    assert all([*MAY_DIAL.values(), *MAY_REACH.values()])
    without = {name: module for name, module in installed().items() if name in MAY_REACH}
    assert set(without) == set(MAY_REACH)
