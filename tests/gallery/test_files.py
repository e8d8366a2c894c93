"""Tests of app.gallery.files and app.gallery.folder: columns come back as they were, or not at all."""

import os
import random
from pathlib import Path

import numpy as np
import pytest

from app.gallery import folder
from app.gallery.fields import CATEGORIES, NUMBERS
from app.gallery.files import Stamp, load, save
from app.gallery.filters import Filter
from app.gallery.matching import find_matches
from tests.gallery.rows import Row, columns_of

STAMP = Stamp("f" * 64, 1_790_000_000.5, 0.25)
ROWS = [Row(id=7, label="cat", width=640, title="Grey lynx"), Row(id=9, url="https://example.org/lynx.jpg"), Row(id=2**40)]


def names(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


@pytest.mark.parametrize("rows", [ROWS, []])
def test_columns_come_back_as_they_were(tmp_path: Path, rows: list[Row]) -> None:
    """Every array, every value, and when they were made."""
    path, columns = tmp_path / "new" / "ds.columns", columns_of(rows)
    save(path, columns, STAMP)
    found, stamp = load(path) or pytest.fail("not read")
    assert stamp == STAMP
    assert found.ids.tolist() == columns.ids.tolist()
    assert {name: list(found.values[name]) for name in CATEGORIES} == {name: list(columns.values[name]) for name in CATEGORIES}
    assert all(np.array_equal(found.numbers[name], columns.numbers[name], equal_nan=True) for name in NUMBERS)
    assert find_matches(found, Filter.of(text="LYNX")).total == find_matches(columns, Filter.of(text="LYNX")).total == 2 * bool(rows)
    assert names(path.parent) == [path.name]


def test_a_file_that_is_not_whole_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    """Missing, empty, cut anywhere, of another version, with any byte of its description changed, or with codes of no value."""
    path = tmp_path / "ds.columns"
    assert load(path) is None
    save(path, columns_of(ROWS), STAMP)
    whole = path.read_bytes()
    rng = random.Random(3)
    for size in [0, 1, 20, 60, *(rng.randrange(len(whole)) for _ in range(20)), len(whole) - 1]:
        path.write_bytes(whole[:size])
        assert load(path) is None, size
    for at in [0, 18, 19, 30, *(rng.randrange(31, 700) for _ in range(20))]:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert load(path) is None, at
    broken = bytearray(whole)
    place = whole.index(np.array([7, 9, 2**40], np.int64).tobytes()) + 64
    broken[place] = 200  # the code of a state
    path.write_bytes(broken)
    assert load(path) is None


def test_a_reader_keeps_the_columns_that_are_replaced(tmp_path: Path) -> None:
    """What is mapped does not change; the file of another inode is there for the next reader."""
    path = tmp_path / "ds.columns"
    save(path, columns_of(ROWS), STAMP)
    found, before = load(path) or pytest.fail("not read"), folder.identity(path)
    save(path, columns_of(ROWS[:1]), STAMP)
    assert folder.identity(path) != before
    assert found[0].ids.tolist() == [7, 9, 2**40]


def test_nothing_is_left_of_what_cannot_be_written(tmp_path: Path) -> None:
    """The error says so, and the former columns stay."""
    path = tmp_path / "ds.columns"
    path.mkdir()  # a file cannot take the place of a folder
    (path / "x").touch()
    with pytest.raises(IsADirectoryError):
        save(path, columns_of(ROWS), STAMP)
    assert names(tmp_path) == ["ds.columns"]


def test_the_longest_unused_columns_make_room(tmp_path: Path) -> None:
    """The new ones stay even where they alone take too much; what a dead process left goes after an hour, and foreign files never."""
    made = ["ds_1.columns", "ds_2.columns", "ds_3.columns", "ds_4.columns.dead", "ds_5.columns.alive", "foreign.txt"]
    for age, name in enumerate(made):
        (tmp_path / name).write_bytes(bytes(100))
        os.utime(tmp_path / name, (1_000_000 - age, 1_000_000 - age))
    os.utime(tmp_path / made[4])
    folder.touch(tmp_path / made[2])
    assert folder.size_of(tmp_path) == 500
    folder.make_room(tmp_path, 350, keep=tmp_path / made[0])
    assert names(tmp_path) == ["ds_1.columns", "ds_3.columns", "ds_5.columns.alive", "foreign.txt"]
    folder.make_room(tmp_path, 50, keep=tmp_path / made[0])
    assert names(tmp_path) == ["ds_1.columns", "ds_5.columns.alive", "foreign.txt"]


def test_columns_are_removed_by_dataset_or_all(tmp_path: Path) -> None:
    """And their size is told; a folder that is not there holds none."""
    for name in ("ds_1.columns", "ds_2.columns"):
        (tmp_path / name).write_bytes(bytes(100))
    assert folder.clear(tmp_path, "ds_1") == 100
    assert names(tmp_path) == ["ds_2.columns"]
    assert folder.clear(tmp_path) == 100
    assert (folder.clear(tmp_path / "none"), folder.clear(None), folder.size_of(None)) == (0, 0, 0)
