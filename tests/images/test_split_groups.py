"""Components and pairs across splits, compared with every pair counted one by one."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.images.split_groups import SplitKeys, SplitTable
from app.rules import SPLIT_KINDS as KINDS

HASHES = st.sampled_from([0, 1, 3, 7, 15, 2**63, 2**64 - 1, 2**64 - 2, 0x0F0F]).map(lambda bits: f"{bits:016x}") | st.sampled_from(
    ["", "x", None]
)
TEXTS = st.sampled_from([None, "", "a", "b"])
KEYS = st.builds(
    SplitKeys,
    phash=HASHES,
    group_id=TEXTS,
    creator=st.sampled_from([None, "Ann  B", "ann b", "Bob"]),
    page_url=st.sampled_from([None, "https://a.org/1", "https://a.org/1#top", "https://a.org/2"]),
    url=st.sampled_from(["https://a.org/x.jpg", "https://A.org:80/y", "https://b.org/", "file:///x", "http://[x"]),
)
ROWS = st.lists(st.tuples(KEYS, st.sampled_from(["train", "val", "test"])), max_size=12)
DISTANCE = 2


def share(kind: str, one: SplitKeys, other: SplitKeys) -> bool:
    """Whether two images share a value, by a second reading of the rules."""
    if kind == "cluster":
        hashes = [int(keys.phash, 16) if keys.phash and keys.phash != "x" else None for keys in (one, other)]
        return None not in hashes and ((hashes[0] or 0) ^ (hashes[1] or 0)).bit_count() <= DISTANCE
    if kind == "group":
        return bool(one.group_id) and one.group_id == other.group_id
    if kind == "creator":
        names = ["ann b" if (keys.creator or "").lower().startswith("ann") else keys.creator for keys in (one, other)]
        return bool(names[0]) and names[0] == names[1]
    if kind == "page":
        pages = [(keys.page_url or "").partition("#")[0] for keys in (one, other)]
        return bool(pages[0]) and pages[0] == pages[1]
    hosts = [{"https://a": "a", "https://A": "a", "https://b": "b"}.get((keys.url or "")[:9], "") for keys in (one, other)]
    return bool(hosts[0]) and hosts[0] == hosts[1]


def table_of(rows: list[tuple[SplitKeys, str]]) -> SplitTable:
    table = SplitTable()
    for keys, split in rows:
        table.add(keys, split)
    return table


@given(ROWS)
def test_every_pair_across_splits_is_counted_once(rows: list[tuple[SplitKeys, str]]) -> None:
    """Of each kind, whether or not it kept images together."""
    report = table_of(rows).report(DISTANCE)
    for kind in KINDS:
        pairs = itertools.combinations(rows, 2)
        assert report.pairs[kind] == sum(one[1] != other[1] and share(kind, one[0], other[0]) for one, other in pairs), kind
    assert report.images == len(rows)


@given(ROWS, st.sets(st.sampled_from(KINDS)))
def test_a_component_holds_what_shares_and_nothing_else(rows: list[tuple[SplitKeys, str]], kinds: set[str]) -> None:
    """Directly or by others; its index is that of its first image. Splits of components leave no pair across."""
    table = table_of(rows)
    found = table.components(kinds, DISTANCE).tolist()
    wanted = list(range(len(rows)))
    for _ in rows:
        for (at, one), (to, other) in itertools.combinations(enumerate(rows), 2):
            if any(share(kind, one[0], other[0]) for kind in kinds):
                wanted[at] = wanted[to] = min(wanted[at], wanted[to])
    assert found == wanted
    apart = table_of([(keys, f"split {root}") for (keys, _), root in zip(rows, found, strict=True)]).report(DISTANCE, kinds)
    assert {apart.pairs[kind] for kind in kinds} <= {0}


def test_a_component_of_most_images_is_named_with_what_they_share() -> None:
    """It leaves no splits worth the name."""
    rows = [
        (SplitKeys(f"{at * 0x0101010101010101 % 2**64:016x}", page_url="p" if at < 9 else f"q{at}"), "train" if at < 9 else "test")
        for at in range(12)
    ]
    report = table_of(rows).report(0, ["page", "cluster"])
    assert (report.largest, report.largest_by, report.is_lopsided, report.split_by) == (9, "page", True, ("cluster", "page"))
    assert not table_of(rows).report(0, ["cluster"]).is_lopsided
    assert table_of([]).report(0).pairs == dict.fromkeys(KINDS, 0)


@pytest.mark.parametrize("size", [3_000])
def test_many_images_with_one_hash_are_counted(size: int) -> None:
    """Without a list of their pairs."""
    table = SplitTable()
    for at in range(size):
        table.add(SplitKeys("00ff00ff00ff00ff", creator="Ann"), "train" if at % 2 else "test")
    report = table.report(6)
    assert report.pairs["cluster"] == report.pairs["creator"] == (size // 2) ** 2
    assert (report.largest, report.largest_by) == (size, "cluster")
