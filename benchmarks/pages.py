"""Images found on the hand-made documents of ``tests/discovery/pages/corpus`` by pictrawl, Scrapy and icrawler's greedy crawler.

::

    python benchmarks/pages.py              # those that are installed; peers want an environment of their own

An image is found in any of its forms; a tracker, icon, sprite or placeholder that is taken counts against the reader. Scrapy reads what its
documentation shows (``img::attr(src)``, joined to the page's address); icrawler what its ``GreedyParser`` yields.
"""

import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.discovery.pages.corpus_files import Sample, load

Reader = Callable[[Sample], Iterable[str]]


def pictrawl() -> Reader:
    document, downloader = import_module("app.discovery.pages.document"), import_module("downloader")

    def read(sample: Sample) -> list[str]:
        rules = document.ReadingRules(sample.more.get("side_px"), css_images=sample.more.get("css_images", False))
        page = downloader.Page(sample.url, sample.body, sample.media_type, sample.charset)
        return [candidate.url for candidate in document.read(page, rules).images]

    return read


def scrapy() -> Reader:
    http = import_module("scrapy.http")

    def read(sample: Sample) -> list[str]:
        kind = f"{sample.media_type}; charset={sample.charset}" if sample.charset else sample.media_type
        response = http.HtmlResponse(sample.url, headers={"Content-Type": kind}, body=sample.body)
        return [response.urljoin(source) for source in response.css("img::attr(src)").getall()]

    return read


def icrawler() -> Reader:
    parser = import_module("icrawler.builtin.greedy").GreedyParser
    greedy = SimpleNamespace(pattern=import_module("re").compile(r"(http|\/\/)(.*)\.(jpg|jpeg|png|bmp|gif|tiff)"))
    greedy.is_in_domain = lambda url, domains: parser.is_in_domain(greedy, url, domains)

    def read(sample: Sample) -> list[str]:
        response = SimpleNamespace(content=sample.body, url=sample.url)
        found = parser.parse(greedy, response, ["site.example"])
        return [item["file_url"] for item in found if isinstance(item, dict)]

    return read


def score(read: Reader, samples: list[Sample]) -> str:
    """Say how many images were found, and how much that is none."""
    found = expected = trackers = failed = 0
    for sample in samples:
        try:
            urls = set(read(sample))
        except Exception:  # a reader that fails finds nothing
            urls, failed = set(), failed + 1
        expected += len(sample.expected)
        found += sum(not urls.isdisjoint(forms) for forms in sample.expected)
        trackers += len(urls.intersection(sample.trackers))
    return f"{found:4} of {expected} images ({found / expected:.1%}), {trackers} trackers, {failed} documents failed"


def main() -> None:
    samples = load()
    for contestant in (pictrawl, scrapy, icrawler):
        try:
            read = contestant()
        except ImportError:
            print(f"{contestant.__name__:10} is not installed")
            continue
        print(f"{contestant.__name__:10} {score(read, samples)}")


if __name__ == "__main__":
    main()
