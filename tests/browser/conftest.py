"""A browser for the session, a server of a seeded workspace, and pages that fail their test if they do what they may not.

All tests here run on one event loop, that of the browser. Without Chromium they are skipped, or fail if services are required.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page

from tests.browser.chromium import Watch, find_chromium, launch, watched
from tests.browser.site import Seeded, Site, copied, open_site, seed, start_decoder
from tests.conftest import REQUIRE_SERVICES

HERE = Path(__file__).parent
MISSING = "needs Chromium: apt-get install chromium, or say where it is with PICTRAWL_TEST_CHROMIUM"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, and run them on the loop of the session."""
    for item in items:
        if item.path.is_relative_to(HERE) and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test without its browser, or fail it if services are required."""
    if item.get_closest_marker("browser") and find_chromium() is None:
        (pytest.fail if REQUIRE_SERVICES else pytest.skip)(MISSING)


@pytest.fixture(autouse=True)
def _no_leaked_children() -> None:
    """No check here: the servers of the session start their decoders when they need them."""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One Chromium for all tests of this process."""
    async with launch() as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def seeded(tmp_path_factory: pytest.TempPathFactory) -> Seeded:
    """A workspace with datasets, built once. Nobody changes it: see ``site`` and ``own_site``."""
    return await seed(tmp_path_factory.mktemp("seeded") / "workspace")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def site(seeded: Seeded, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A server of the seeded workspace with an idle worker, for tests that only read."""
    async with open_site(copied(seeded, tmp_path_factory.mktemp("site") / "workspace"), works=True, ids=seeded.ids) as opened:
        await start_decoder(opened)
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def own_site(seeded: Seeded, tmp_path: Path) -> AsyncIterator[Site]:
    """A server of a copy of its own, for tests that change something."""
    async with open_site(copied(seeded, tmp_path / "site"), works=True, ids=seeded.ids) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def context_and_watch(browser: Browser, site: Site) -> AsyncIterator[tuple[BrowserContext, Watch]]:
    """A watched context for ``site``; what its pages did is checked at the end."""
    async with watched(browser, site.url) as (context, watch):
        yield context, watch
        watch.check()


@pytest_asyncio.fixture(loop_scope="session")
async def page(context_and_watch: tuple[BrowserContext, Watch]) -> Page:
    """A page that fails its test for an error, a violation of its policy, an answer 5xx, or a request to another origin."""
    return await context_and_watch[0].new_page()


@pytest.fixture
def watch(context_and_watch: tuple[BrowserContext, Watch]) -> Watch:
    """What the page of this test did."""
    return context_and_watch[1]
