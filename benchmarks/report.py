"""Size of ``report.html``, the time that it takes, and its share of the build, for a dataset of 10,000 images.

::

    python benchmarks/report.py
    python benchmarks/report.py --images 2000 --labels 100

The build reads a folder, which is the cheapest one there is: no request, no robots.txt. Seconds of CPU are those of all processes of the
command; they matter where the machine does other things too.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import corpus
from measuring import timed

PICTURES: Final = 200
"""Distinct pictures; each file has a number of its own behind its end, which decoders do not read."""


def fill(folder: Path, images: int, labels: int) -> None:
    """Write a folder of JPEGs of about 110 KB, one folder for each label."""
    pictures = [corpus.picture(number) for number in range(min(images, PICTURES))]
    for number in range(images):
        path = folder / f"label {number % labels:03d}" / corpus.name_of(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pictures[number % len(pictures)] + number.to_bytes(8, "big"))


async def make(workspace: Path) -> tuple[int, float, float]:
    """Make the report of the only dataset; return its bytes, and its seconds by the clock and of CPU.

    Imports count that a build has not had before: of Pillow and Jinja.
    """
    import app.cli.runner
    from app.db import Database, datasets
    from app.storage import open_store

    assert app.cli.runner

    db, store = Database(f"sqlite+aiosqlite:///{workspace / 'pictrawl.db'}"), open_store(str(workspace / "store"))
    try:
        (dataset,) = (await datasets.list_datasets(db)).items
        began, cpu = time.perf_counter(), time.process_time()
        from app.report import make_report

        body = await make_report(db, store, dataset.id)
        return len(body), time.perf_counter() - began, time.process_time() - cpu
    finally:
        await db.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--labels", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3, help="reports of the one build")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pictrawl-report-") as name:
        folder = Path(name)
        fill(folder / "photos", options.images, options.labels)
        arguments = ["--folder", "photos", "-o", "out", "--dedupe", "exact", "--no-report", "--split", "train=0.8,val=0.1,test=0.1", "-q"]
        env = {"PYTHONPATH": str(Path(__file__).resolve().parents[1]), "PATH": "/usr/bin:/bin"}
        build = timed([sys.executable, "-m", "app.cli", "build", *arguments], folder, env, needs=[])
        assert build.code == 0, (folder / "out.log").read_text()[-2_000:]
        command = [sys.executable, __file__, "--make", str(folder / ".pictrawl")]
        runs = [subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() for _ in range(options.rounds)]
    size_bytes = int(runs[0][0])
    wall_s, cpu_s = (statistics.median(float(run[at]) for run in runs) for at in (1, 2))
    print(f"{options.images} images, {options.labels} labels: report of {size_bytes / 1e6:.2f} MB")
    print(f"build  {build.wall_s:6.1f} s, {build.cpu_s:6.1f} s of CPU")
    print(f"report {wall_s:6.2f} s, {cpu_s:6.2f} s of CPU: {wall_s / build.wall_s:.2%} of the time, {cpu_s / build.cpu_s:.2%} of the CPU")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--make"]:
        print(*asyncio.run(make(Path(sys.argv[2]))))
    else:
        main()
