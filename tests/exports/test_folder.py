"""Tests of app.exports.folder: which files of a folder are its dataset's, and which somebody else's."""

from pathlib import Path

import pytest

from app.exports.folder import foreign_files, is_report
from app.exports.sidecars import REPORT, REPORT_MARK
from tests.exports.builders import sample, write


async def test_a_report_of_ours_is_not_foreign(tmp_path: Path) -> None:
    """It lies in the folder of a dataset; one of somebody else, or in another folder of it, is foreign."""
    await write("files", tmp_path, [sample(0)])
    assert foreign_files(tmp_path) == []
    (tmp_path / REPORT).write_bytes(REPORT_MARK + b"<html>")
    assert foreign_files(tmp_path) == []
    (tmp_path / "images" / REPORT).write_bytes(REPORT_MARK)
    (tmp_path / "notes.txt").write_text("mine")
    assert foreign_files(tmp_path) == [tmp_path / "images" / REPORT, tmp_path / "notes.txt"]
    (tmp_path / REPORT).write_bytes(b"<!doctype html>\n<p>mine")
    assert tmp_path / REPORT in foreign_files(tmp_path)


def test_a_report_without_a_dataset_is_foreign(tmp_path: Path) -> None:
    """Where there is no manifest, nothing is ours."""
    (tmp_path / REPORT).write_bytes(REPORT_MARK)
    assert foreign_files(tmp_path) == [tmp_path / REPORT]


@pytest.mark.parametrize(
    ("body", "expected"), [(REPORT_MARK + b"...", True), (REPORT_MARK[:-1], False), (b"", False), (b"<html>", False), (None, False)]
)
def test_a_report_is_known_by_its_beginning(tmp_path: Path, body: bytes | None, expected: bool) -> None:
    """And a missing one is none."""
    if body is not None:
        (tmp_path / REPORT).write_bytes(body)
    assert is_report(tmp_path / REPORT) is expected
