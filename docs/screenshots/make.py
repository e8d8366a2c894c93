"""Photographs every page of the dashboard, light and dark, over a workspace with drawn pictures.

``python docs/screenshots/make.py [FOLDER]`` writes PNG files into the folder (``screenshots``), and renews the two in ``docs/images``.
Needs Chromium and what the tests need.
"""

import asyncio
import io
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from PIL import Image
from playwright.async_api import Browser

from logging_setup.config import configure
from tests.browser.chromium import launch, settle, watched
from tests.browser.pages import PAGES, address
from tests.browser.site import Site, open_site, seed

__all__ = ["DOCUMENTED", "MAX_BYTES", "photograph", "renew"]

SCHEMES = ("light", "dark")
SIZE = {"width": 1280, "height": 800}

IMAGES = Path(__file__).parents[1] / "images"
DOCUMENTED = ("gallery", "job")
"""Pages whose light picture README and docs show."""

MAX_BYTES = 300_000
"""Of a picture in README and docs."""


async def photograph(browser: Browser, site: Site, folder: Path, paths: Iterable[str] = PAGES) -> list[Path]:
    """Write pictures of pages into a folder; return their files, by page and scheme."""
    written = []
    for scheme in SCHEMES:
        async with watched(browser, site.url, color_scheme=scheme, viewport=SIZE, reduced_motion="reduce") as (context, watch):
            page = await context.new_page()
            for path in paths:
                await page.goto(address(path, site.ids))
                await settle(page)
                written.append(folder / f"{PAGES[path].name}-{scheme}.png")
                await page.screenshot(path=written[-1])
            watch.check()
    return written


def renew(folder: Path, images: Path) -> list[Path]:
    """Make the pictures of README and docs from those in a folder; return their files."""
    written = []
    for name in DOCUMENTED:
        out = io.BytesIO()
        with Image.open(folder / f"{name}-light.png") as picture:
            picture.convert("RGB").save(out, "WEBP", quality=88, method=6)
        if len(out.getvalue()) > MAX_BYTES:
            raise SystemExit(f"error: the picture of {name} has {len(out.getvalue()):,} bytes, at most {MAX_BYTES:,} are allowed")
        written.append(images / f"{name}.webp")
        written[-1].write_bytes(out.getvalue())
    return written


async def main(folder: Path) -> None:
    """Seed a workspace, serve it, photograph its pages, and name the files that were written."""
    with tempfile.TemporaryDirectory(prefix="pictrawl-screenshots-") as place:
        seeded = await seed(Path(place) / "workspace")
        async with open_site(seeded.workspace, works=True, ids=seeded.ids) as site, launch() as browser:
            written = await photograph(browser, site, folder)
    for path in [*written, *renew(folder, IMAGES)]:
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    configure(level="ERROR")
    asyncio.run(main(Path(sys.argv[1] if len(sys.argv) > 1 else "screenshots")))
