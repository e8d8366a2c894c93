"""Tests of app.report.collect: a report is read from rows, and says what `explain` says."""

import pytest
from sqlalchemy import insert

import errors
from app.db import Database, tables
from app.report.collect import GROUP_PICTURES, HOSTS_SHOWN, LOCAL_HOST, collect, is_web
from app.report.model import Picture
from tests.report.rows import XSS, add_dataset, digest, duplicate, failed, rejected


async def test_the_report_of_a_dataset(database: Database) -> None:
    """Every part of it, from rows alone."""
    rows = await add_dataset(
        database,
        [
            {"title": "a cat on a wall", "page_url": "https://pages.example.org/1"},
            {"split": "test", "width": 800},
            {"label": None, "license": None, "license_confidence": "unknown"},
            duplicate(1, phash="00000000000000ff"),
            duplicate(1, "duplicate_exact", sha256=digest(1)),
            rejected(evidence="x"),
            failed(),
        ],
    )
    report = await collect(database, rows.dataset_id)
    assert (report.name, report.kept) == ("photos", 3)
    facts = dict(report.facts)
    assert (facts["images"], facts["labels"], facts["splits"]) == ("3", "1", "train 2, test 1")
    assert (facts["funnel"], facts["made"]) == ("7 candidates > 6 fetched > 5 valid > 3 unique > 3 kept", "2023-11-14")
    assert [(sheet.label, sheet.total, sheet.shown) for sheet in report.sheets] == [("cat", 2, 2), (None, 1, 1)]
    (first, _), (unlabelled,) = report.sheets[0].strips, report.sheets[1].strips
    assert first.pictures == [Picture(digest(1), "cat: a cat on a wall, 641x480, CC-BY-4.0", "https://pages.example.org/1")]
    assert unlabelled.pictures[0].words == "no label, 643x480, licence unknown"
    assert [(one.reason, one.count, len(one.pictures)) for one in report.left_out] == [
        ("blurry", 1, 1),
        ("duplicate_exact", 1, 0),
        ("duplicate_near", 1, 0),
        ("http_404", 1, 1),
    ]
    assert report.left_out[0].pictures[0].caption == "sharpness 3.2, limit 20; x"
    assert report.left_out[3].pictures[0].thumb is None
    (group,) = report.groups
    assert [(picture.caption, picture.is_kept) for picture in group.pictures] == [("kept", True), ("near", False), ("same bytes", False)]
    assert {line.licence: line.kept for line in report.licences} == {"CC-BY-4.0": 2, None: 1}
    assert report.sources == {"list": {"kept": 3, "duplicate": 2, "rejected": 1, "failed": 1}}
    assert report.thumbs() == [digest(1), digest(2), digest(3), digest(6), digest(4)]


async def test_the_distance_of_duplicates_is_that_of_their_hashes(database: Database) -> None:
    """And the title says why the other one was kept, in the words of `explain`."""
    rows = await add_dataset(
        database, [{"phash": "00000000000000ff", "width": 800}, duplicate(1, phash="00000000000000f8")], near_distance=5
    )
    (group,) = (await collect(database, rows.dataset_id)).groups
    assert group.pictures[1].caption == "3 of 64 bits"
    assert "differs in 3 of 64 bits, limit 5; the other has more pixels" in group.pictures[1].words


async def test_large_groups_are_cut_and_say_so(database: Database) -> None:
    """A thousand copies of one picture."""
    rows = await add_dataset(database, [{}, *(duplicate(1) for _ in range(1_000))])
    (group,) = (await collect(database, rows.dataset_id)).groups
    assert (group.total, len(group.pictures)) == (1_001, GROUP_PICTURES)


async def test_what_was_forgotten_is_shown_nowhere(database: Database) -> None:
    """Not as a picture, not as the kept one of a group; its number stays."""
    gone = {"state": "tombstoned", "reason": "tombstoned", "detail": "asked"}
    rows = await add_dataset(database, [gone, duplicate(1), {}])
    report = await collect(database, rows.dataset_id)
    assert [(one.reason, one.count, len(one.pictures)) for one in report.left_out] == [("duplicate_near", 1, 0), ("tombstoned", 1, 0)]
    assert (report.groups, report.grouped) == ([], 1)
    assert report.thumbs() == [digest(3)]


async def test_images_of_a_folder_tell_no_path_of_this_machine(database: Database) -> None:
    """The name of the file is shown, the folders are not, and there is no link."""
    url = "file:///home/somebody/secret/a%20b.jpg"
    rows = await add_dataset(
        database,
        [
            {"source": "folder", "url": url},
            rejected(source="folder", url=f"{url}#row=1"),
            duplicate(1, source="folder", url=f"{url}#row=2"),
        ],
    )
    report = await collect(database, rows.dataset_id)
    assert "somebody" not in repr(report)
    assert report.left_out[0].pictures[0].words == "a b.jpg: sharpness 3.2, limit 20"
    assert [row.host for row in report.hosts] == [LOCAL_HOST]


async def test_hosts_have_their_requests_and_refusals(database: Database) -> None:
    """A refused request is counted once, whether its image has the reason as well or not."""
    rows = await add_dataset(
        database,
        [{"url": "https://a.example/1"}, failed("http_403", url="https://a.example/2"), failed("robots", url="https://a.example/3")],
    )
    made = {"job_id": rows.job_id, "number": 1, "epoch": 1, "state": "done", "queued_s": 1.0, "elapsed_s": 0.5, "wait_s": 0.0}
    values = [
        made | {"image_id": 1, "started_at": 100.0, "reason": "rate_limited", "status": 429, "wait_s": 2.0, "wait_cause": "retry_after"},
        made | {"image_id": 1, "started_at": 103.0, "number": 2, "reason": None, "status": 200, "wait_cause": ""},
        made | {"image_id": 2, "started_at": 104.5, "reason": "http_403", "status": 403, "wait_cause": ""},
    ]
    async with database.write() as connection:
        await connection.execute(insert(tables.attempts), values)
    report = await collect(database, rows.dataset_id)
    (host,) = report.hosts
    assert (host.host, host.candidates, host.kept, host.requests, host.failed) == ("a.example", 3, 1, 3, 2)
    assert host.refusals == {"http_403": 1, "rate_limited": 1, "robots": 1}
    assert (host.rate, host.mean_s, host.waited_s) == (0.6, 0.5, 5.0)
    assert [(one.number, one.outcome, one.requests) for one in report.attempts] == [
        (1, "http_403", 1),
        (1, "rate_limited", 1),
        (2, "ok", 1),
    ]
    assert (report.retries.retried, report.retries.recovered, report.retries.retry_after_s) == (1, 1, 2.0)


async def test_of_many_hosts_those_with_the_most_requests_are_shown(database: Database) -> None:
    """And how many there are."""
    rows = await add_dataset(database, [{"url": f"https://h{number % 90}.example/{number}"} for number in range(100)])
    report = await collect(database, rows.dataset_id)
    assert (len(report.hosts), report.all_hosts) == (HOSTS_SHOWN, 90)
    assert [row.host for row in report.hosts[:2]] == ["h0.example", "h1.example"]


async def test_a_dataset_that_is_not_there(database: Database) -> None:
    """The error names it."""
    with pytest.raises(errors.NotFoundError, match="ds_nothing"):
        await collect(database, "ds_nothing")


@pytest.mark.parametrize(
    ("url", "is_link"),
    [
        ("https://example.org/a", True),
        ("http://example.org", True),
        ("javascript:alert(1)", False),
        ("javascript://example.org/%0aalert(1)", False),
        ("data:text/html,x", False),
        ("file:///etc/passwd", False),
        ("https:no-host", False),
        ("https://[broken", False),
        ("https://example.org/\n", False),
        (f"https://example.org/{'a' * 300}", False),
        *((text, False) for text in XSS),
    ],
)
def test_only_addresses_of_the_web_are_links(url: str, is_link: bool) -> None:
    """Whatever a source gives as the page of an image."""
    assert is_web(url) is is_link
