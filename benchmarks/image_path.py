"""The source files of the project that one image passes inside jobs, counted over a build of one URL.

::

    python benchmarks/image_path.py           # a table: job, files
    python benchmarks/image_path.py --list    # the files of each job too

Runs `pictrawl build` twice in this process, embedded, against a server on loopback. The first run imports every module; the second one is
profiled (`sys.setprofile`). A file counts for a job where one of its functions runs between the start and the end of the function that
``@job`` made, in the job's task, in tasks and threads that it starts, or in what they call. Decoder processes are not counted.
"""

import argparse
import contextlib
import contextvars
import functools
import http.server
import inspect
import io
import json
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Final

from PIL import Image

from app.cli.entry import run
from workers import builder, sweeper, validator
from workers.job import JOBS

__all__ = ["PACKAGES", "FilesByJob", "files_of", "measure", "table"]

PACKAGES: Final = ("app", "workers", "downloader", "errors", "logging_setup")
ROOT: Final = Path(inspect.getfile(builder)).parents[1]
JOB_MODULES: Final = (builder, sweeper, validator)
"""Imported so that `JOBS` has all jobs before they are wrapped."""

FilesByJob = dict[str, set[str]]

_job: contextvars.ContextVar[str] = contextvars.ContextVar("job", default="")


class Recorder:
    """Records the project's files whose functions run while a job is set in the context."""

    def __init__(self) -> None:
        self.files: FilesByJob = {}
        self._known: dict[str, str] = {}

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        """The profile function; bodies of modules and classes do not count."""
        if event == "call" and frame.f_code.co_flags & inspect.CO_OPTIMIZED and (job := _job.get()):
            path = self._path_of(frame.f_code.co_filename)
            if path:
                self.files.setdefault(job, set()).add(path)

    def _path_of(self, file: str) -> str:
        """The path below the project's folder; empty for a file of another one."""
        if file not in self._known:
            path = Path(file)
            ours = path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in PACKAGES
            self._known[file] = path.relative_to(ROOT).as_posix() if ours else ""
        return self._known[file]

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Profile this thread and every thread that starts meanwhile."""
        threading.setprofile(self)
        sys.setprofile(self)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)


def _marked(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The job's function, which sets the job's name in the context while it runs."""

    @functools.wraps(function)
    async def marked(*args: Any, **kwargs: Any) -> None:
        token = _job.set(name)
        try:
            await function(*args, **kwargs)
        finally:
            _job.reset(token)

    return marked


@contextlib.contextmanager
def _marked_jobs() -> Iterator[None]:
    before = dict(JOBS)
    JOBS.update({name: _marked(name, function) for name, function in before.items()})
    try:
        yield
    finally:
        JOBS.update(before)


@contextlib.contextmanager
def _origin() -> Iterator[str]:
    """Serve one image on loopback under every path; yield the URL. There is no robots.txt."""
    buffer = io.BytesIO()
    Image.effect_noise((320, 240), 64).convert("RGB").save(buffer, "JPEG")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path.endswith(".jpg")
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "image/jpeg" if found else "text/plain")
            self.send_header("Content-Length", str(len(buffer.getvalue()) if found else 0))
            self.end_headers()
            self.wfile.write(buffer.getvalue() if found else b"")

        def log_message(self, *args: Any) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/one.jpg"
        finally:
            server.shutdown()
            thread.join()


def _build(folder: Path, url: str) -> None:
    """Build a dataset of one URL with the default settings save what loopback needs.

    Raises:
        SystemExit: the image was not kept.
    """
    folder.mkdir()
    (folder / "list.txt").write_text(f"{url}\n", encoding="utf-8")
    settings = {"workspace.path": folder / "workspace", "fetch.allow_networks": '["127.0.0.0/8"]', "fetch.ports": "[]"}
    options = [f"--set={name}={value}" for name, value in settings.items()]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = run([*options, "build", "--urls", str(folder / "list.txt"), "--json", "-o", str(folder / "out"), "-q"])
    if code or json.loads(printed.getvalue())["funnel"]["kept"] != 1:
        raise SystemExit(f"the image was not kept: exit code {code}, {printed.getvalue()}")


def measure(folder: Path) -> FilesByJob:
    """Return the files by job of one image; the builds write into ``folder``."""
    recorder = Recorder()
    with _origin() as url, _marked_jobs():
        _build(folder / "first", url)
        with recorder.recording():
            _build(folder / "second", url)
    return recorder.files


def files_of(found: FilesByJob) -> set[str]:
    """The files of all jobs; crons, which run beside them, are left out."""
    units = set(builder.__all__) | set(validator.__all__)
    return set().union(*(files for job, files in found.items() if job in units))


def table(found: FilesByJob, *, with_files: bool = False) -> str:
    """The counts as text, the most files first; crons are shown and not part of the total."""
    lines = [f"{'job':<20}{'files':>6}"]
    for job, files in sorted(found.items(), key=lambda entry: -len(entry[1])):
        lines.append(f"{job:<20}{len(files):>6}")
        lines += [f"    {file}" for file in sorted(files)] if with_files else []
    return "\n".join([*lines, f"{'all jobs':<20}{len(files_of(found)):>6}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="show the files of each job")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pictrawl-path-") as folder:
        print(table(measure(Path(folder)), with_files=options.list))


if __name__ == "__main__":
    main()
