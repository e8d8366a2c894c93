"""The environment of a run, and what counts as a result."""

from pathlib import Path

import contestants
import measuring
import origin
import pytest

TAKEN = measuring.Usage(started_at=1000.0, wall_s=10.0, cpu_s=0.5, peak_mb=100.0, code=0)


def test_a_run_is_read_from_the_jobs_rows(tmp_path: Path) -> None:
    """Whole command, steady part and first image are timed separately; PostgreSQL's values are text."""
    ran = contestants.job_times("pictrawl", TAKEN, ["succeeded", "1001.5", "1009.5", "100", "1002.0"], 100, tmp_path)
    assert (ran.per_s, ran.steady_per_s, ran.cpu_ms, ran.first_s) == (10.0, 12.5, 5.0, 2.0)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (("succeeded", 1001.0, 1009.0, 99, 1002.0), "job succeeded, 99 of 100 images kept, exit code 0"),
        (("partial", 1001.0, 1009.0, 100, 1002.0), "job partial"),
        ((), "pictrawl: exit code 0"),
    ],
)
def test_a_run_that_lacks_an_image_is_no_figure(tmp_path: Path, row: tuple[object, ...], said: str) -> None:
    """It exits with the command's output."""
    (tmp_path / "out.log").write_text("the origin is gone\n")
    with pytest.raises(SystemExit, match=said) as caught:
        contestants.job_times("pictrawl", TAKEN, row, 100, tmp_path)
    assert str(caught.value).endswith("the origin is gone\n")


def test_no_setting_of_the_callers_reaches_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller's settings do not affect a figure."""
    monkeypatch.setenv("PICTRAWL_FETCH__CONCURRENCY", "1")
    env = contestants.settings_of(origin.Place(tmp_path), tmp_path, {"WORKSPACE__PATH": "here"})
    ours = {name for name in env if name.startswith("PICTRAWL_")}
    expected = {"FETCH__ALLOW_NETWORKS", "FETCH__PORTS", "LOG__FILE", "LOG__LEVEL", "WORKSPACE__PATH"}
    assert ours == {f"PICTRAWL_{name}" for name in expected}
