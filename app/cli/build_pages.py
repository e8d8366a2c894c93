"""``--pages`` of ``pictrawl build``: pages by URL or from a file with one a line, and the options of their crawl."""

from pathlib import Path

import errors
from app.cli.build_options import BuildOptions, validation_as_usage
from app.cli.failures import UsageError
from app.discovery import text, urls
from app.pages_spec import MAX_PAGES, PagesSpec

__all__ = ["CRAWL_OPTIONS", "read_pages"]

CRAWL_OPTIONS = ("depth", "max_pages", "follow_hosts", "css_images")
"""Options that need ``--pages``."""

MAX_FILE_BYTES = 20_000_000


def read_pages(options: BuildOptions) -> PagesSpec | None:
    """Return the pages that the options name, ``None`` without ``--pages``.

    Raises:
        UsageError: one is neither a URL nor a file, a file holds no usable URL, or an option of the crawl is out of bounds.
    """
    if not options.pages:
        return None
    found = list(dict.fromkeys(url for given in options.pages for url in _urls(given)))
    if len(found) > MAX_PAGES:
        raise UsageError(f"--pages names {len(found)} pages, more than {MAX_PAGES}", "build several datasets, or name their sitemap")
    chosen = {name: value for name in CRAWL_OPTIONS if (value := getattr(options, name)) is not None}
    with validation_as_usage():
        return PagesSpec(urls=found, **chosen)


def _urls(given: str) -> list[str]:
    """Return the URL that is given, or those of the file."""
    path = Path(given)
    if given.startswith(("http://", "https://")):
        return [_url(given, "--pages")]
    if not path.is_file():
        kind = "a directory" if path.is_dir() else "neither a URL nor a file"
        raise UsageError(f"--pages {given[:200]} is {kind}", "a URL begins with https://; a file has one URL a line")
    lines = enumerate(_read(path).splitlines(), 1)
    found = [_url(line, f"{path}, line {number}") for number, line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not found:
        raise UsageError(f"--pages {path} names no page", "write URLs into it, one a line")
    return found


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES).decode("utf-8-sig", "replace")
    except OSError as exc:
        raise UsageError(f"--pages {path} cannot be read: {exc.strerror}") from exc


def _url(value: str, where: str) -> str:
    try:
        return urls.read(value)
    except errors.InvalidURLError as exc:
        raise UsageError(f"{where}: {text.preview(value)!r} is no page: {exc}", "give the URL of a page, sitemap or feed") from exc
