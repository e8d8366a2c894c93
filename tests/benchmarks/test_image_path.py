"""The count of the source files that one image passes."""

import subprocess
import sys
from pathlib import Path

import image_path

import errors.classify

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "image_path.py"


def test_one_image_passes_the_files_of_its_jobs() -> None:
    """One build, in a process of its own: each job has its row, and the files that it must run are in it."""
    done = subprocess.run([sys.executable, str(BENCHMARK), "--list"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = dict(line.split() for line in done.stdout.splitlines()[1:-1] if not line.startswith(" "))
    assert rows.keys() >= {"create_crawl_job", "discover_images", "process_chunk", "validate_chunk", "export_dataset", "verify_export"}
    files = done.stdout.partition("process_chunk")[2].partition("_chunk ")[0].split()
    assert {"workers/job.py", "workers/builder.py", "downloader/client.py"} <= set(files)
    assert 0 < max(map(int, rows.values())) <= int(done.stdout.splitlines()[-1].split()[-1])


def test_only_functions_that_run_in_a_job_count() -> None:
    """Calls outside of a job and files of other projects do not count."""
    recorder = image_path.Recorder()
    with recorder.recording():
        errors.classify.classify_http_error(404)
        token = image_path._job.set("process_chunk")
        Path("x").as_posix()
        errors.classify.classify_http_error(404)
        image_path._job.reset(token)
        errors.without_secrets("http://example.com/")
    assert recorder.files == {"process_chunk": {"errors/classify.py"}}


def test_crons_are_shown_and_not_counted() -> None:
    """The total covers the jobs that have units."""
    found = {"sweep": {"a.py", "b.py"}, "process_chunk": {"b.py", "c.py"}, "validate_chunk": {"c.py", "d.py"}}
    assert image_path.files_of(found) == {"b.py", "c.py", "d.py"}
    assert image_path.table(found).splitlines()[-1].split() == ["all", "jobs", "3"]
    assert "    d.py" in image_path.table(found, with_files=True)
