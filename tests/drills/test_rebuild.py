"""A lock of 1,000 images is rebuilt twice, on SQLite and on PostgreSQL, its units in any order: all three exports have the same bytes."""

import filecmp
import random
from pathlib import Path

from app.db import datasets, locked_images
from app.domain import Reason
from tests.datasets.locks import JPEG_96, build, lock_of, serve, start_rebuild
from tests.drills.plan import choose_seed
from tests.images.samples import encode, photo
from tests.origin import Origin, image, reply
from tests.services import PostgresServer
from tests.templates import postgres_like_new
from tests.workers.bench import Bench, open_bench

IMAGES = 1_000


async def drive_in_any_order(bench: Bench, draw: random.Random) -> None:
    while due := await bench.due():
        for delivery in draw.sample(due, len(due)):
            await bench.run(delivery)


async def folder_of(bench: Bench, job_id: str) -> Path:
    """The folder of a job's export, which was verified."""
    (made,) = await datasets.exports_of_job(bench.db, job_id)
    assert made.state == "ready", made.problems
    folder = bench.context.store.local_path(str(made.prefix))
    assert folder is not None
    return folder


def count_same(left: Path, right: Path) -> int:
    """Compare two folders as `diff -r` does; return how many files they have."""
    names = [sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) for folder in (left, right)]
    assert names[0] == names[1]
    assert filecmp.cmpfiles(left, right, names[0], shallow=False) == (names[0], [], [])
    return len(names[0])


async def test_two_rebuilds_of_a_thousand_images_are_the_original(tmp_path: Path, postgres_server: PostgresServer) -> None:
    """Then one image is altered at its origin and one is gone: both are named, and nothing else is."""
    seed = choose_seed()
    print(f"seed {seed}")
    draw = random.Random(seed)
    url = postgres_like_new(postgres_server, f"rebuilt_{seed}")
    async with Origin() as origin, open_bench(tmp_path / "original") as bench:
        rows = serve(origin, IMAGES, side=80)
        job_id = await build(bench, rows, compression=JPEG_96, splits={"train": 0.8, "test": 0.2}, export_format="imagefolder")
        checked = await lock_of(bench, job_id, tmp_path / "dataset.lock")
        assert checked.header.images > 0.9 * IMAGES  # some pictures of the generator resemble others
        original = await folder_of(bench, job_id)
        async with open_bench(tmp_path / "sqlite") as one, open_bench(tmp_path / "postgres", url=url) as two:
            for number, other in enumerate((one, two)):
                again = await start_rebuild(other, checked)
                await drive_in_any_order(other, draw)
                assert count_same(original, await folder_of(other, again)) > checked.header.images
                await lock_of(other, again, tmp_path / f"{number}.lock")
                assert (tmp_path / f"{number}.lock").read_bytes() == (tmp_path / "dataset.lock").read_bytes()
        kept = [row for row in rows if str(row["url"]).encode() in (tmp_path / "dataset.lock").read_bytes()]
        altered, gone = draw.sample(kept, 2)
        origin.script(f"/{altered['url'].rpartition('/')[2]}", image(encode(photo(80, 80, seed=IMAGES + 1))))
        origin.script(f"/{gone['url'].rpartition('/')[2]}", reply(404))
        async with open_bench(tmp_path / "third") as third:
            again = await start_rebuild(third, checked)
            await drive_in_any_order(third, draw)
            unlike = await locked_images.unlike_lock(third.db, (await third.job(again)).dataset_id, limit=10)
        assert {item.url: item.reason for item in unlike} == {altered["url"]: Reason.CHANGED, gone["url"]: Reason.HTTP_404}
