"""The summary of origins counts every domain; a recount from the rows of the export gives the same figures to the byte."""

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from app.exports.papers.origins import shown_domains
from app.exports.spool import host_of
from tests.exports.builders import OPTIONS, read_rows, sample, samples, write
from tests.exports.test_provenance import FACTS

FULL = replace(OPTIONS, version="1.2.0", provenance=FACTS)


def read(folder: Path) -> Any:
    """The JSON."""
    return json.loads((folder / "origins.json").read_text())


def table(folder: Path) -> list[tuple[str, int, int]]:
    """The rows of the table of domains."""
    rows = re.findall(r"^\| (\S.*?) \| ([\d,]+) \| ([\d,]+) \|$", (folder / "ORIGINS.md").read_text(), re.MULTILINE)
    return [(name.replace("\\", ""), int(images.replace(",", "")), int(size.replace(",", ""))) for name, images, size in rows]


async def test_a_recount_from_the_rows_gives_the_same_to_the_byte(tmp_path: Path) -> None:
    """For 60 domains, with ports, user names, upper case and files of a folder among their URLs."""
    hosts = [f"h{number % 57}.example" for number in range(200)]
    urls = [f"https://{host}/{number}.jpg" for number, host in enumerate(hosts)]
    urls += ["https://H1.example:8443/x.jpg", "http://ann@h2.example/y.jpg", "file:cats/1.jpg", "https://[::1]/z.jpg"]
    await write("files", tmp_path, [sample(number, url=url) for number, url in enumerate(urls)], OPTIONS)
    images: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for row in read_rows(tmp_path / "metadata.jsonl"):
        host = urlsplit(row["url"]).hostname or "(files of a folder)"
        images[host] += 1
        sizes[host] += row["size_bytes"]
    found = {entry["domain"]: (entry["images"], entry["bytes"]) for entry in read(tmp_path)["domains"]}
    assert found == {host: (images[host], sizes[host]) for host in images}
    assert len(found) == 59
    assert read(tmp_path)["bytes"] == sum(sizes.values()) == sum(size for _, size in found.values())


async def test_the_table_shows_the_tenth_with_the_most_bytes(tmp_path: Path) -> None:
    """Of 300 domains 30, in order; they are the first of all."""
    await write("jsonl", tmp_path, [sample(number, url=f"https://h{number}.example/") for number in range(300)], OPTIONS)
    listed = [(entry["domain"], entry["images"], entry["bytes"]) for entry in read(tmp_path)["domains"]]
    assert listed == sorted(listed, key=lambda entry: (-entry[2], -entry[1], entry[0]))
    assert table(tmp_path) == listed[:30]
    text = (tmp_path / "ORIGINS.md").read_text()
    assert "Images came from 300 domains, by the hosts of their URLs: the 30 with the most bytes; origins.json has all of them." in text


@pytest.mark.parametrize(
    ("total", "shown"), [(0, 0), (1, 1), (19, 19), (20, 20), (21, 20), (200, 20), (201, 21), (1_000, 100), (1_000_001, 100_001)]
)
def test_a_tenth_is_shown_and_at_least_twenty(total: int, shown: int) -> None:
    assert shown_domains(total) == shown


async def test_the_crawler_and_the_period_are_those_of_the_version(tmp_path: Path) -> None:
    await write("files", tmp_path, samples(4), FULL)
    found = read(tmp_path)
    assert found["crawler"]["user_agent"] == "pictrawl/0.4.0 (+you@example.org)"
    assert (found["collected_from"], found["collected_until"]) == ("2023-11-14T21:56:40Z", "2023-11-14T22:11:40Z")
    assert (found["funnel"], found["reasons"]) == (FACTS.funnel, FACTS.reasons)
    text = (tmp_path / "ORIGINS.md").read_text()
    for sentence in (
        "The crawler sent the User-Agent pictrawl/0.4.0 (+you@example.org).",
        "robots.txt (RFC 9309) and tdmrep.json were read and obeyed",
        "At most 3 requests for an image in a job",
        "Of 30 candidates: 25 fetched, 20 valid, 12 unique, 10 kept.",
    ):
        assert sentence in text


async def test_without_provenance_nothing_is_claimed(tmp_path: Path) -> None:
    await write("files", tmp_path, samples(4), OPTIONS)
    assert read(tmp_path)["crawler"] is None
    text = (tmp_path / "ORIGINS.md").read_text()
    assert "How the crawler behaved is not recorded for this version." in text
    assert "obeyed" not in text


async def test_a_host_name_cannot_break_the_table(tmp_path: Path) -> None:
    await write("files", tmp_path, [sample(0, url="https://a|b<script>.example/")], OPTIONS)
    assert "a\\|b\\<script\\>.example" in (tmp_path / "ORIGINS.md").read_text()


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://A.example:80/x", "a.example"),
        ("file:x.jpg", ""),
        ("/x.jpg", ""),
        ("http://[bad/", ""),
        ("http://u:p@h.example/", "h.example"),
    ],
)
def test_the_host_of_a_url(url: str, host: str) -> None:
    assert host_of(url) == host
