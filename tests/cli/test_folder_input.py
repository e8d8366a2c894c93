"""``pictrawl build --folder``: every kind of folder comes in with every row, and what cannot be read is refused before anything starts."""

import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from app.cli.demo import pictures
from tests.cli.conftest import Invoke
from tests.discovery.folders.trees import img2dataset_row, tar, write

COUNT = 6
SAME = ("label", "split", "caption", "license", "license_url", "creator", "attribution", "title", "group_id", "page_url", "url", "source")


@pytest.fixture(scope="module")
def bodies() -> list[bytes]:
    """Different pictures."""
    return [pictures.encoded(pictures.photograph(seed)) for seed in range(COUNT)]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which commands run."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def described(folder: Path, bodies: list[bytes]) -> Path:
    """An imagefolder with everything that can be said of an image."""
    rows = []
    for at, body in enumerate(bodies):
        write(folder, {f"images/{at}.jpg": body})
        row = {"file_name": f"images/{at}.jpg", "label": "owl" if at % 2 else "cat", "split": "val" if at > 3 else "train"}
        row |= {"text": f"picture {at}", "license": "CC-BY-4.0", "license_url": "https://creativecommons.org/licenses/by/4.0/"}
        row |= {"creator": f"Jane {at}", "attribution": f"(c) Jane {at}", "title": f"Title {at}", "group_id": f"g{at}", "camera": "Leica"}
        row |= {"page_url": f"https://site.example/{at}", "url": f"https://img.example/{at}.jpg"}
        rows.append(json.dumps(row))
    return write(folder, {"metadata.jsonl": "\n".join(rows)})


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """The rows of a dataset of ours in any format, by the digest of their bytes."""
    found = [json.loads(line) for path in folder.rglob("metadata.jsonl") for line in path.read_text().splitlines()]
    for shard in folder.glob("*.tar"):
        with tarfile.open(shard) as file:
            members = [member for member in file if member.name.endswith(".json")]
            found += [json.loads(file.extractfile(member).read()) for member in members]  # type: ignore[union-attr]
    for shard in folder.glob("data/*.parquet"):
        names = json.loads(pq.read_schema(shard).metadata[b"huggingface"])["info"]["features"]["label"]["names"]
        rows = pq.read_table(shard).to_pylist()
        found += [{name: value for name, value in row.items() if name != "image"} | {"label": names[row["label"]]} for row in rows]
    return sorted(found, key=lambda row: row["sha256"])


def test_a_folder_is_built_without_a_request_and_stays_as_it_is(here: Path, invoke: Invoke, bodies: list[bytes]) -> None:
    """Class folders in splits: the bytes are linked, each row has its place, the summary and `explain` say what became of each file."""
    folder = here / "my photos"
    for at, body in enumerate(bodies):
        write(folder, {f"{'val' if at > 3 else 'train'}/{'owl' if at % 2 else 'cat'}/a b#{at}%.jpg": body})
    write(folder, {"train/cat/empty.jpg": b"", "train/cat/copy.jpg": bodies[0], "notes.md": "x", ".hidden": "x"})
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}
    result = invoke("build", "--folder", "my photos", "--json")
    assert result.code == 0, result.err
    document = result.json
    assert (document["funnel"]["kept"], document["reasons"]) == (COUNT, {"duplicate_exact": 1, "empty_body": 1})
    assert "2 labels (cat, owl); 2 splits (train, val)" in result.err
    assert "left out: 1 .md, 1 hidden" in result.err
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()} == before
    rows = rows_of(here / "datasets/my_photos")
    assert {(row["url"], row["split"], row["label"]) for row in rows if "copy" not in row["url"]} <= {
        (f"{split}/{label}/a%20b%23{at}%25.jpg", split, label)
        for at in range(COUNT)
        for split, label in [("val" if at > 3 else "train", "owl" if at % 2 else "cat")]
    }
    assert {row["source"] for row in rows} == {"folder"}
    owl = folder / "train/owl/a b#1%.jpg"
    assert owl.stat().st_nlink == 2
    shown = invoke("explain", owl).out
    assert shown.splitlines()[0] == owl.as_uri()
    assert f"file       {owl}" in shown
    assert "found      by folder my photos, rank" in shown
    assert "request" not in shown
    assert invoke("explain", owl.as_uri()).out == shown
    assert "empty_body, the file is empty" in invoke("explain", folder / "train/cat/empty.jpg").out


def test_a_dry_run_of_a_folder_says_what_is_read(here: Path, invoke: Invoke, bodies: list[bytes]) -> None:
    """Its images, labels and splits, what is left out, what its licences refuse; nothing is stored. Exit codes are those of the build."""
    write(here / "photos", {"cat/1.jpg": bodies[0], "owl/2.jpg": bodies[1], "owl/2.json": '{"license": "by-nc"}', "a.md": "x"})
    result = invoke("build", "--folder", "photos", "--dry-run")
    assert result.code == 0, result.err
    words = "folder       2 images; 2 labels (cat, owl)\n             left out: 1 .md\nasked        nobody; nothing was stored\n"
    assert result.out == words
    assert sorted(path.name for path in here.iterdir()) == ["photos"]
    document = invoke("build", "--folder", "photos", "--dry-run", "--license", "open", "--license-unknown", "keep", "--json").json
    assert (document["images"], document["refused"], document["labels"]) == (2, 1, {"cat": 1, "owl": 1})
    assert "; 2 of them refused by licence" in invoke("build", "--folder", "photos", "--dry-run", "--license", "open").out
    assert invoke("build", "--folder", "photos", "--dry-run", "--license", "open").code == 4
    assert invoke("build", "--folder", "photos", "--dry-run", "--min-images", "3").code == 3


@pytest.mark.parametrize("form", ["files", "imagefolder", "webdataset", "parquet"])
def test_an_earlier_dataset_comes_in_with_every_row(here: Path, invoke: Invoke, bodies: list[bytes], form: str) -> None:
    """In each format: what was said of an image is said again, with the URL that it came from; its digest is compared."""
    described(here / "source", bodies)
    assert invoke("build", "--folder", "source", "-f", form, "-o", "first").code == 0
    result = invoke("build", "--folder", "first", "-f", form, "-o", "second", "--json")
    assert result.code == 0, result.err
    assert result.json["funnel"]["kept"] == COUNT
    first, second = rows_of(here / "first"), rows_of(here / "second")
    assert [{name: row.get(name) for name in SAME} for row in first] == [{name: row.get(name) for name in SAME} for row in second]
    assert [row["sha256"] for row in first] == [row["sha256"] for row in second]
    assert {row["url"] for row in second} == {f"https://img.example/{at}.jpg" for at in range(COUNT)}
    assert {row["camera"] for row in second} == {"Leica"}
    assert set(first[0]) == set(second[0])


def test_a_file_of_an_earlier_dataset_that_changed_is_corrupt(here: Path, invoke: Invoke, bodies: list[bytes]) -> None:
    """Its row says which bytes it had."""
    described(here / "source", bodies[:3])
    invoke("build", "--folder", "source", "-o", "first")
    changed = next((here / "first/images").iterdir())
    changed.unlink()
    changed.write_bytes(bodies[5])
    document = invoke("build", "--folder", "first", "-o", "second", "--json").json
    assert (document["funnel"]["kept"], document["reasons"]) == (2, {"corrupt": 1})


def test_shards_of_img2dataset_come_in_with_every_row(here: Path, invoke: Invoke, bodies: list[bytes]) -> None:
    """Alone, or packed; a member is explained by its shard."""
    members = []
    for at, body in enumerate(bodies):
        members += [(f"{at:09d}.jpg", body), (f"{at:09d}.json", json.dumps(img2dataset_row(at)).encode()), (f"{at:09d}.txt", b"x")]
    tar(here / "shards/00000.tar", members[:9])
    tar(here / "shards/00001.tar.gz", members[9:], "w:gz")
    write(here / "shards", {"00000_stats.json": "{}"})
    document = invoke("build", "--folder", "shards", "-o", "out", "--json").json
    assert document["funnel"]["kept"] == COUNT
    found = {row["url"]: row["caption"] for row in rows_of(here / "out")}
    assert found == {f"https://img.example/{at}.jpg": f"picture {at}" for at in range(COUNT)}
    one = invoke("build", "--folder", "shards/00000.tar", "-o", "one", "--json").json
    assert one["funnel"]["kept"] == 3


def test_a_parquet_of_hugging_face_comes_in_with_every_row(here: Path, invoke: Invoke, bodies: list[bytes]) -> None:
    """Labels by their names, splits by the files' names; `--split` divides anew, `--label` names all."""
    import pyarrow as pa

    features = {"image": {"_type": "Image"}, "label": {"names": ["cat", "owl"], "_type": "ClassLabel"}}
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema([("image", kind), ("label", pa.int64())], {"huggingface": json.dumps({"info": {"features": features}})})
    for split, chosen in (("train", bodies[:4]), ("test", bodies[4:])):
        columns = {"image": [{"bytes": body, "path": "x.jpg"} for body in chosen], "label": [at % 2 for at in range(len(chosen))]}
        (here / "hub/data").mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns, schema=schema), here / f"hub/data/{split}-00000-of-00001.parquet")
    assert invoke("build", "--folder", "hub", "-o", "out").code == 0
    rows = rows_of(here / "out")
    assert sorted((row["split"], row["label"]) for row in rows) == [
        *(("test", name) for name in ("cat", "owl")),
        *(("train", name) for name in ("cat", "cat", "owl", "owl")),
    ]
    assert {row["url"].split("#")[0] for row in rows} == {f"data/{split}-00000-of-00001.parquet" for split in ("train", "test")}
    assert invoke("build", "--folder", "hub", "-o", "again", "--split", "a=0.5,b=0.5", "--label", "bird").code == 0
    assert {(row["label"], row["split"]) for row in rows_of(here / "again")} == {("bird", "a"), ("bird", "b")}


def test_a_build_of_a_folder_is_interrupted_and_resumed_by_a_retry(here: Path, invoke: Invoke, bodies: list[bytes]) -> None:
    """A file that is missing fails its image with what is wrong; once it is there, `retry` reads it."""
    described(here / "source", bodies)
    (here / "source/images/2.jpg").rename(here / "kept.jpg")
    document = invoke("build", "--folder", "source", "-o", "out", "--json").json
    assert (document["status"], document["reasons"]) == ("succeeded", {"unreadable": 1})
    assert "No such file or directory" in invoke("explain", f"{(here / 'source/images/2.jpg').as_uri()}").out
    (here / "kept.jpg").rename(here / "source/images/2.jpg")
    assert invoke("retry", document["job_id"]).code == 0
    assert len(rows_of(here / "out")) == COUNT


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--folder", "gone"], "there is no folder gone"),
        (["--folder", "empty"], "there is no image in"),
        (["--folder", "texts"], "left out: 1 .md"),
        (["--folder", "a.zip"], "unpack it and name the folder: unzip a.zip -d images"),
        (["--folder", "texts/a.md"], "is no folder, no tar, no Parquet file and no image"),
        (["--folder", "broken.tar"], "/broken.tar: broken.tar is no tar, or a damaged one"),
        (["--folder", "photos", "owl"], "keywords and a folder in one build"),
        (["--folder", "photos", "--urls", "list.txt"], "a list and a folder in one build"),
        (["--folder", "photos", "--refresh"], "--refresh has no effect with a folder"),
        (["--folder", "photos", "--contact", "a@b.example"], "--contact has no effect with a folder"),
        (["--folder", "photos", "--per-host", "3"], "--per-host has no effect with a folder"),
        (["--folder", "photos", "--no-robots"], "--no-robots has no effect with a folder"),
        (["--folder", "photos", "--source", "wikimedia"], "--source has no effect with a folder"),
        (["--folder", "photos", "--label-col", "x"], "--label-col has no effect with a folder"),
        (["--folder", "photos", "-o", "photos/out"], "is inside the folder that is read"),
        (["--folder", "."], "is inside the folder that is read"),
        (["--folder", "photos", "--workspace", "photos/ws"], "is inside the folder photos"),
        (["--folder", "photos", "--set", "queue.backend=redis"], "workers on other machines do not see the folder"),
        (["photos/"], "did you mean --folder photos/?"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(here: Path, invoke: Invoke, arguments: list[str], words: str) -> None:
    """Exit code 2, and a way out."""
    write(
        here,
        {
            "photos/1.jpg": b"\xff\xd8\xff",
            "texts/a.md": "x",
            "a.zip": "PK",
            "list.txt": "https://img.example/1.jpg",
            "broken.tar": "x" * 999,
        },
    )
    (here / "empty").mkdir()
    before = set(here.rglob("*"))
    result = invoke("build", *arguments)
    assert result.code == 2, result.err
    assert words in result.err
    assert set(here.rglob("*")) == before


def test_a_workspace_inside_a_folder_is_no_part_of_it(here: Path, invoke: Invoke, bodies: list[bytes]) -> None:
    """Its default name is hidden; what a build of here leaves is not read by the next one."""
    write(here / "photos", {f"{at}.jpg": body for at, body in enumerate(bodies[:2])})
    os.chdir(here / "photos")
    for _ in range(2):
        document = invoke("build", "--folder", ".", "-o", "../out", "--overwrite", "--json").json
        assert document["funnel"]["kept"] == 2


def test_the_api_takes_no_folder_of_the_server() -> None:
    """A request names none."""
    from app.spec import JobRequest

    assert "folder" not in JobRequest.model_fields
