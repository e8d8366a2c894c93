"""The command that photographs the pages for README and docs."""

from pathlib import Path

import pytest
from PIL import Image
from playwright.async_api import Browser

from docs.screenshots.make import DOCUMENTED, IMAGES, MAX_BYTES, photograph, renew
from tests.browser.pages import PAGES
from tests.browser.site import Site

SHOWN = {shown.name: path for path, shown in PAGES.items()}


async def test_pages_are_photographed_light_and_dark(browser: Browser, site: Site, tmp_path: Path) -> None:
    """Those of README and docs become small enough; the command takes all pages, unless some are named."""
    written = await photograph(browser, site, tmp_path, [SHOWN[name] for name in DOCUMENTED])
    assert [path.name for path in written] == [f"{name}-{scheme}.png" for scheme in ("light", "dark") for name in DOCUMENTED]
    light, dark = (Image.open(tmp_path / f"job-{scheme}.png").convert("L").resize((1, 1)).getpixel((0, 0)) for scheme in ("light", "dark"))
    assert light > 200 > 80 > dark
    assert all(path.stat().st_size <= MAX_BYTES for path in renew(tmp_path, tmp_path))


def test_a_picture_that_is_too_large_is_refused(tmp_path: Path) -> None:
    """Noise has no small form; nothing is written."""
    for name in DOCUMENTED:
        Image.effect_noise((1280, 800), 200).save(tmp_path / f"{name}-light.png")
    with pytest.raises(SystemExit, match="at most 300,000"):
        renew(tmp_path, tmp_path)
    assert not list(tmp_path.glob("*.webp"))


def test_pictures_of_the_docs_are_small() -> None:
    """And there, and shown."""
    root = IMAGES.parents[1]
    texts = "".join(path.read_text(encoding="utf-8") for path in (root / "README.md", root / "docs" / "getting-started.md"))
    for name in DOCUMENTED:
        assert (IMAGES / f"{name}.webp").stat().st_size <= MAX_BYTES
        assert f"images/{name}.webp" in texts
