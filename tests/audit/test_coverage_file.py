"""What coverage left is read, in both of its forms; what is none of it is refused with the way to measure."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import errors
from app.audit.coverage_file import find, read

KNOWN = ("app/queue.py", "workers/job.py", "errors/classify.py")


def summary(ran: int, there: int, **branches: int) -> dict[str, Any]:
    """A file's entry in a report."""
    return {"summary": {"covered_lines": ran, "num_statements": there} | branches}


def report(tmp_path: Path, files: dict[str, Any]) -> Path:
    """A report in JSON."""
    path = tmp_path / "coverage.json"
    path.write_text(json.dumps({"files": files}))
    return path


def test_a_report_is_summed_over_our_files_alone(tmp_path: Path) -> None:
    """Lines and branches; files are known by their path's end, others are left out, a package without a file is whole."""
    files = {
        "app/queue.py": summary(8, 10, covered_branches=2, num_branches=10),
        "/home/me/pictrawl/workers/job.py": summary(10, 10),
        "tests/test_queue.py": summary(0, 100),
    }
    found = read(report(tmp_path, files), KNOWN)
    assert found.percent == pytest.approx(100 * 20 / 30)
    assert found.by_package["app"] == pytest.approx(50)
    assert found.by_package["workers"] == found.by_package["errors"] == 100
    assert (found.files, found.path) == (2, str(tmp_path / "coverage.json"))
    assert found.at.endswith("Z")


def test_a_data_file_is_read_through_coverage(tmp_path: Path) -> None:
    """As `coverage run` leaves it, with or without settings beside it."""
    (tmp_path / "errors").mkdir()
    (tmp_path / "errors" / "classify.py").write_text("x = 1\nif x == 2:\n    x = 3\n    x = 4\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    command = [sys.executable, "-m", "coverage", "run", "--data-file=.coverage", "errors/classify.py"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    assert read(tmp_path / ".coverage", KNOWN).percent == pytest.approx(50)
    (tmp_path / "pyproject.toml").write_text('[tool.coverage.report]\nexclude_also = ["if x == 2"]\n')
    assert read(tmp_path / ".coverage", KNOWN).percent == 100


@pytest.mark.parametrize("content", [b"no data at all", b"{}", b'{"files": {"app/queue.py": {}}}', b"{", b"SQLite format 3\x00 broken"])
def test_what_is_no_report_is_refused(tmp_path: Path, content: bytes) -> None:
    """Nothing is made up out of it."""
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(errors.ConfigurationError, match=r"file|coverage"):
        read(path, KNOWN)


def test_a_report_of_another_project_and_a_missing_one_are_refused(tmp_path: Path) -> None:
    """With how to measure."""
    with pytest.raises(errors.ConfigurationError, match=r"knows no file.*make test"):
        read(report(tmp_path, {"theirs/x.py": summary(1, 1)}), KNOWN)
    with pytest.raises(errors.ConfigurationError, match="cannot be read: No such file"):
        read(tmp_path / "none", KNOWN)


def test_files_are_found_by_their_names(tmp_path: Path) -> None:
    """The report before the data; nothing where there is nothing."""
    assert find(tmp_path) is None
    (tmp_path / ".coverage").touch()
    assert find(tmp_path) == tmp_path / ".coverage"
    (tmp_path / "coverage.json").touch()
    assert find(tmp_path) == tmp_path / "coverage.json"
