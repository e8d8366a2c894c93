"""A Chromium without a network of its own, and a watch over what its pages do."""

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response, async_playwright

__all__ = ["CHROMIUM", "Watch", "audit", "find_chromium", "launch", "settle", "until", "watched"]

CHROMIUM = os.environ.get("PICTRAWL_TEST_CHROMIUM")
"""The program to test with; read before the environment is emptied."""

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
    "--host-resolver-rules=MAP rebound.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
"""Chromium asks nothing of its maker, and no name leads anywhere but that of an attacker who has bound his own to the server's address."""

LOCAL_SCHEMES = ("data:", "blob:", "about:")

TIMEOUT_S = 10.0
"""Seconds that a page has for whatever a test waits for."""

NO_PICTURE = r"status of 404 .*/v1/images/\d+/thumbnail"
"""What the console says of a picture that cannot be decoded; the page says it in its place."""

SETTLED = """!document.querySelector('.htmx-request, .htmx-settling, .htmx-swapping')
  && [...document.images].every(image => image.complete || image.loading === 'lazy')"""

VIOLATIONS = """
document.addEventListener('securitypolicyviolation', event => console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`))
"""


def find_chromium() -> str | None:
    """Path of the program: PICTRAWL_TEST_CHROMIUM, Debian's, or one on the PATH."""
    wanted = (CHROMIUM, "/usr/bin/chromium", shutil.which("chromium"), shutil.which("google-chrome"))
    return next((path for path in wanted if path and Path(path).is_file()), None)


@asynccontextmanager
async def launch() -> AsyncIterator[Browser]:
    """Run the browser for the body's time."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_chromium(), args=list(FLAGS))
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Watch:
    """What the pages of a context did that they may not do.

    Attributes:
        origin: where all requests must go.
        expected: faults that a test provokes, as regular expressions; other ones fail it.
        executed: calls of ``__xss()``, which planted markup would make.
    """

    origin: str
    expected: list[str] = field(default_factory=lambda: [NO_PICTURE])
    faults: list[str] = field(default_factory=list)
    executed: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def note(self, fault: str) -> None:
        """Record a fault unless it is expected."""
        if not any(re.search(pattern, fault) for pattern in self.expected):
            self.faults.append(fault)

    def on_console(self, message: ConsoleMessage) -> None:
        """Errors and warnings are faults; those of the Content-Security-Policy are among them."""
        if message.type in ("error", "warning"):
            self.note(f"console {message.type}: {message.text} ({message.location.get('url', '')})")

    def on_request(self, request: Request) -> None:
        """Every request goes to the origin."""
        self.requests.append(request.url)
        if not request.url.startswith((f"{self.origin}/", *LOCAL_SCHEMES)):
            self.note(f"request left the origin: {request.url}")

    def on_response(self, response: Response) -> None:
        """No answer says that the server failed."""
        if response.status >= 500:
            self.note(f"{response.status} {response.request.method} {response.url}")

    def on_execution(self, _source: Any, where: str = "") -> None:
        """Planted markup ran."""
        self.executed.append(str(where))

    def check(self) -> None:
        """Raise if something happened that may not."""
        assert self.executed == [], f"planted markup was executed: {self.executed}"
        assert self.faults == [], "\n".join(self.faults)


@asynccontextmanager
async def watched(browser: Browser, origin: str, **options: Any) -> AsyncIterator[tuple[BrowserContext, Watch]]:
    """A context of its own, watched until it ends; the options are those of Playwright's ``new_context``."""
    watch = Watch(origin)
    context = await browser.new_context(base_url=origin, **{"viewport": {"width": 1440, "height": 900}, "locale": "en-GB", **options})
    try:
        context.set_default_timeout(TIMEOUT_S * 1000)
        await context.expose_binding("__xss", watch.on_execution)
        await context.add_init_script(VIOLATIONS)
        context.on("console", watch.on_console)
        context.on("weberror", lambda error: watch.note(f"page error: {error.error}"))
        context.on("request", watch.on_request)
        context.on("response", watch.on_response)
        yield context, watch
    finally:
        await context.close()


async def audit(page: Page) -> None:
    """Assert that axe-core finds nothing wrong on a page."""
    results = await Axe().run(page, options={"resultTypes": ["violations"]})
    found = results.response["violations"]
    lines = [f"{item['id']} ({item['impact']}): {item['help']}\n    {node['html'][:200]}" for item in found for node in item["nodes"][:3]]
    assert not lines, f"{page.url} has {len(found)} violations of axe-core:\n" + "\n".join(lines)


async def settle(page: Page) -> None:
    """Wait until a page, the parts that it fetches itself and the pictures in sight are there.

    Asks again and again, since a function that waits in the page would be evaluated there, which its policy forbids.
    """
    await page.wait_for_load_state("load")
    await until(page, SETTLED)


async def until(page: Page, condition: str) -> None:
    """Wait until an expression holds."""
    async with asyncio.timeout(TIMEOUT_S):
        while not await page.evaluate(condition):
            await asyncio.sleep(0.02)
