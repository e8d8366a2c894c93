"""What we export is a list to build from: in a new workspace the same set comes out of it, from any format and in any form of list."""

import csv
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
from sqlalchemy import select

from app.db import datasets, jobs, tables
from app.db.images import STORED, as_image
from app.discovery.lists.columns import ALIASES, OWN_COLUMNS
from app.domain import ImageState, StoredImage
from app.export_spec import ExportRequest
from app.exports import spool
from app.jobs.settle import resolve_spec, store_list
from app.jobs.submit import submit_build, submit_export
from app.rules import CompressionRules
from app.spec import JobRequest, ListSpec
from tests.images.samples import encode, photo
from tests.origin import Origin, image
from tests.workers.bench import Bench, open_bench

RESIZED = CompressionRules(format="jpeg", level=80, resize="keep_ratio", size=70)
Rows = Sequence[Mapping[str, Any]]


def known(number: int, url: str) -> dict[str, Any]:
    """What is known of an image: not everything of each, several of some, and columns that only this list has."""
    row = {"url": url, "title": f"Title {number}", "license": "CC-BY-4.0", "creator": "Ann, B.", "attribution": "Ann (CC)"}
    row |= {"caption": f'"{number}", ünïcode', "group_id": f"g{number // 2}", "camera": "X, 100"}
    more: list[dict[str, Any]] = [
        {"iso": 400},
        {"label": "a lynx", "page_url": "https://example.org/1"},
        {"label": "puma", "captions": ["a puma", "it's a 'cat'"], "iso": 100},
        {"labels": ["puma", "a lynx"], "caption": None, "camera": None},
        {"label": "7", "sharp": True},
        {"label": "a lynx"},
    ]
    return row | more[number]


async def rows_of(bench: Bench, dataset_id: str) -> list[StoredImage]:
    async with bench.db.read() as connection:
        found = await connection.execute(select(*STORED).where(tables.images.c.dataset_id == dataset_id).order_by(tables.images.c.id))
        return [as_image(row) for row in found.all()]


async def build(bench: Bench, listed: Path, **request: Any) -> str:
    """Build a dataset of a list, return its id."""
    spec = ListSpec(key="", suffix="".join(listed.suffixes), name=listed.name)
    stored = await store_list(bench.resources, listed, spec)
    asked = JobRequest(urls=["a list"], compression=RESIZED, **request)
    made = await submit_build(bench.resources, resolve_spec(bench.resources, asked, url_list=stored), name="rebuilt")
    await bench.drive()
    return (await jobs.get(bench.db, made.job_id)).dataset_id


def without_place(rows: Rows) -> dict[str, dict[str, Any]]:
    """Rows by URL, without the name of the file, which holds its position."""
    return {row["url"]: {name: value for name, value in row.items() if name != "file_name"} for row in rows}


async def exported(bench: Bench, dataset_id: str) -> dict[str, Rows]:
    """The rows of every export of a dataset, by format."""
    found: dict[str, Rows] = {}
    for export in (await datasets.page_exports(bench.db, dataset_id=dataset_id)).items:
        folder = bench.resources.store.local_path(str(export.prefix))
        assert folder is not None
        lines = [line for path in sorted(folder.rglob("metadata.jsonl")) for line in path.read_bytes().splitlines()]
        for shard in sorted(folder.glob("*.tar")):
            with tarfile.open(shard) as opened:
                lines += [opened.extractfile(member).read() for member in opened if member.name.endswith(".json")]  # type: ignore[union-attr]
        found[export.format] = [json.loads(line) for line in lines]
    return found


def as_lists(folder: Path, exports: Mapping[str, Rows]) -> list[Path]:
    """The rows of each format as JSON lines, and those of one as what people convert them to."""
    folder.mkdir()
    lists = []
    for form, rows in exports.items():
        lists.append(folder / f"{form}.jsonl")
        lists[-1].write_text("\n".join(map(json.dumps, rows)))
    rows = exports["imagefolder"]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), folder / "a.parquet")
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]))
    table.writeheader()
    table.writerows(rows)
    (folder / "a.csv").write_text(text.getvalue())
    return [*lists, folder / "a.parquet", folder / "a.csv"]


async def test_the_rows_of_an_export_are_a_list_that_gives_the_same_set(tmp_path: Path) -> None:
    """Resized images, whose digests are not those of the origin's bytes; labels, captions, splits, licences and groups stay."""
    divided: dict[str, Any] = {"splits": {"train": 0.5, "val": 0.5}, "export_format": "files"}
    async with Origin() as origin:
        urls = [origin.script(f"/{number}.jpg", image(encode(photo(seed=number)))) for number in range(6)]
        (tmp_path / "first.jsonl").write_text("\n".join(json.dumps(known(number, url)) for number, url in enumerate(urls)))
        async with open_bench(tmp_path / "first") as bench:
            dataset_id = await build(bench, tmp_path / "first.jsonl", **divided)
            for form in ("imagefolder", "webdataset"):
                await submit_export(bench.resources, dataset_id, ExportRequest(export_format=form))
            await bench.drive()
            exports = await exported(bench, dataset_id)
        wanted = without_place(exports["files"])
        assert (len(wanted), set(exports)) == (6, {"files", "imagefolder", "webdataset"})
        assert {row["split"] for row in wanted.values()} == {"train", "val"}
        assert all(row["sha256"] != row["source_sha256"] for row in wanted.values())
        async with open_bench(tmp_path / "second") as bench:
            lists = as_lists(tmp_path / "lists", exports)
            for listed in lists:
                rebuilt = await exported(bench, await build(bench, listed, export_format="files"))
                assert without_place(rebuilt["files"]) == wanted, listed.name
            origin.script("/3.jpg", image(encode(photo(seed=77))))
            changed = {row.url: row for row in await rows_of(bench, await build(bench, lists[0], refresh=True))}
        before, after = exports["files"][3]["source_sha256"], changed[urls[3]]
        assert (after.state, after.reason) == (ImageState.REJECTED, "corrupt")
        assert after.detail == f"the origin now serves other bytes: expected sha256 {before}, got {after.sha256}"
        assert sum(row.state is ImageState.KEPT for row in changed.values()) == 5


def test_every_column_of_an_export_is_known_to_the_reader_of_lists() -> None:
    """As a field, or as one that describes the exported file."""
    names = {"file_name", "label", *spool._REQUIRED_COLUMNS, *spool.OPTIONAL_COLUMNS}
    assert names - OWN_COLUMNS - {"source_sha256"} <= set(ALIASES)
    assert not OWN_COLUMNS & set(ALIASES)
