"""The rows of the comparison."""

import compare
import pytest


@pytest.mark.parametrize("name", compare.ROWS)
def test_a_target_names_who_runs_in_its_row(name: str) -> None:
    """Otherwise a misspelt contestant would be found only after the last round."""
    row = compare.ROWS[name]
    there = {entry.name for entry in row.entries}
    assert len(there) == len(row.entries)
    assert {target.row for target in row.targets} == {name}
    assert {who for target in row.targets for who in (target.ours, target.other) if who is not None} <= there
    assert set(row.pair or ()) <= there


def test_rows_of_one_series_share_their_runs() -> None:
    """One run of pictrawl counts for both rows, and each keeps its targets."""
    [row] = compare.series_of(["keep", "passthrough"])
    assert [entry.name for entry in row.entries] == ["pictrawl", "img2dataset, keeps bytes", "img2dataset, does not decode"]
    assert [target.row for target in row.targets] == ["keep", "keep", "keep", "passthrough"]


def test_a_row_alone_runs_alone() -> None:
    """Only the contestants of that row run."""
    assert compare.series_of(["passthrough"]) == [compare.ROWS["passthrough"]]
