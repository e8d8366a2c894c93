"""Tests of app.report.making: a report of rows and thumbnails, small and the same for 10,000 images."""

import re
from pathlib import Path

import pytest

from app.db import Database
from app.exports.sidecars import REPORT_MARK
from app.report import make_report
from app.report.page import MOST_BYTES
from tests.report.rows import XSS, add_dataset, duplicate, failed, noise, rejected, store_of, thumbnail

IMAGES = 10_000


@pytest.mark.parametrize("labels", [1, 12, 1_000])
async def test_a_report_of_ten_thousand_images_is_below_six_megabytes(database: Database, tmp_path: Path, labels: int) -> None:
    """However many labels, though every thumbnail is noise; with all kinds of what was left out."""
    kept = [
        {"label": f"{number % labels}-{'x' * 290}", "split": ("train", "val", "test")[number % 3]} for number in range(IMAGES * 8 // 10)
    ]
    copies = [duplicate(number // 3 + 1) for number in range(IMAGES // 20)]
    refused = [rejected(f"{('blurry', 'too_small', 'corrupt', 'exposure')[number % 4]}") for number in range(IMAGES // 10)]
    gone = [failed(url=f"https://h{number}.example/{'a' * 250}/{number}") for number in range(IMAGES // 20)]
    rows = await add_dataset(database, [*kept, *copies, *refused, *gone])
    store = store_of(tmp_path, {number: noise(number % 16) for number in range(1, IMAGES + 1)})
    body = await make_report(database, store, rows.dataset_id)
    assert 500_000 < len(body) < MOST_BYTES
    assert b"no thumbnail" not in body
    assert body == await make_report(database, store, rows.dataset_id)


async def test_the_order_and_the_place_of_rows_change_nothing(database: Database, tmp_path: Path) -> None:
    """The report of another store and another moment has the same bytes."""
    rows = await add_dataset(database, [{}, {"split": "test"}, rejected()])
    bodies = {number: thumbnail(number) for number in (1, 2, 3)}
    first = await make_report(database, store_of(tmp_path / "one", bodies), rows.dataset_id)
    second = await make_report(database, store_of(tmp_path / "two", bodies), rows.dataset_id)
    assert first == second
    assert first.startswith(REPORT_MARK)
    assert str(tmp_path).encode() not in first


async def test_thumbnails_that_are_gone_are_counted(database: Database, tmp_path: Path) -> None:
    """A dataset whose thumbnails were pruned, or damaged, still has a report."""
    rows = await add_dataset(database, [{}, {}, {}])
    body = (await make_report(database, store_of(tmp_path, {1: thumbnail(1), 2: b"broken"}), rows.dataset_id)).decode()
    assert "2 pictures of this report have no thumbnail" in body
    assert len(re.findall('class="tile gone"', body)) == 2


async def test_a_dataset_without_images_and_one_of_failures(database: Database, tmp_path: Path) -> None:
    """There is something to read in both."""
    store = store_of(tmp_path, {})
    tmp_path.mkdir(exist_ok=True)
    empty = (await make_report(database, store, (await add_dataset(database, [])).dataset_id)).decode()
    assert "No image is in this dataset" in empty
    rows = await add_dataset(database, [failed(id=number, url_key=f"key {number}") for number in range(100, 120)])
    only_failed = (await make_report(database, store, rows.dataset_id)).decode()
    assert "the origin answered 404" in only_failed
    assert "showing 8 of 20" in only_failed


async def test_planted_markup_is_escaped_from_rows_to_page(database: Database, tmp_path: Path) -> None:
    """In every column that a source can fill."""
    planted = [
        {
            "url": f"https://example.org/{text}",
            "title": text,
            "caption": text,
            "label": text,
            "split": text[:32],
            "license": text,
            "source": text[:40],
        }
        for text in XSS
    ]
    refused = [rejected(detail=text, evidence=text, page_url=text, url=text) for text in XSS]
    rows = await add_dataset(database, [*planted, *refused], name=XSS[0])
    body = (await make_report(database, store_of(tmp_path, {1: thumbnail(1)}), rows.dataset_id)).decode()
    assert body.count("<script") == 1
    assert "<img" not in body
    assert "<svg onload" not in body
    assert "onerror=__xss(&#39;img&#39;)&gt;" in body
