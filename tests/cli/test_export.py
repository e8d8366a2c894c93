"""``pictrawl datasets export|verify``."""

import hashlib
import json
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from app.cli.demo.origin import reply
from tests.cli.conftest import LOOPBACK, Invoke, Result, Site
from tests.exports.builders import reseal
from tests.images.test_metadata import BAD_RATIONAL, segment


def test_datasets_are_exported_and_verified(mixed: Result, invoke: Invoke) -> None:
    """Another format from the same images; read back from the store and from the folder."""
    dataset = invoke("datasets", "ls", "-q").out.strip()
    exported = invoke("datasets", "export", dataset, "-f", "webdataset", "-o", "wds", "--json")
    assert exported.code == 0, exported.err
    assert exported.json["samples"] == 3
    assert list(Path("wds").glob("*.tar"))
    assert invoke("datasets", "export", dataset, "-o", "wds").code == 2
    assert "verified" in invoke("datasets", "export", dataset, "-o", "wds", "--overwrite").out
    verified = invoke("datasets", "verify", dataset, "--json")
    assert (verified.code, verified.json["problems"]) == (0, [])
    assert verified.json["objects"] == 3
    assert invoke("datasets", "verify", "wds").out.endswith("nothing differs\n")


def test_another_form_is_made_of_the_stored_originals(mixed: Result, invoke: Invoke, site: Site) -> None:
    """No origin is asked; the export, the dataset and the manifest say what was asked for."""
    dataset, requests = invoke("datasets", "ls", "-q").out.strip(), site.origin.hits.total()
    options = ("--encode", "webp:80", "--resize", "longest", "--size", "100", "--shard-samples", "2")
    made = invoke("datasets", "export", dataset, "-o", "small", "-f", "webdataset", *options, "--json")
    assert made.code == 0, made.err
    rules = {"format": "webp", "level": 80, "resize": "longest", "size": 100, "only_if_bigger": True}
    assert (made.json["options"]["compression"], made.json["options"]["shard_samples"]) == (rules, 2)
    assert "webp:80 longest 100" in invoke("datasets", "show", dataset).out
    assert json.loads(Path("small/manifest.json").read_text())["options"] == {"compression": rules, "shard_samples": 2}
    with tarfile.open(Path("small/train-000000.tar")) as shard:
        picture = shard.extractfile(next(name for name in shard.getnames() if name.endswith(".webp")))
        assert picture is not None
        assert max(Image.open(picture).size) == 100
    assert len(list(Path("small").glob("*.tar"))) == 2
    assert site.origin.hits.total() == requests


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--encode", "gif"), "--encode 'gif' is not an encoding"),
        (("--size", "100"), "--size 100 has no effect without --resize"),
        (("--no-only-if-bigger",), "--no-only-if-bigger has no effect without --resize"),
        (("--encode", "avif", "-f", "webdataset"), "the loaders of webdataset do not read avif, but bmp, gif, jpg"),
        (("--resize", "border", "--size", "13378"), "size 13378 with resize border and format keep: at most 13377"),
        (("--resize", "longest", "-f", "csv"), "csv holds no images to encode or resize"),
        (("--shard-bytes", "5"), "--shard-bytes 5: must be at least 1000000"),
    ],
)
def test_a_form_that_cannot_be_made_is_refused(mixed: Result, invoke: Invoke, options: tuple[str, ...], words: str) -> None:
    """Before anything is written, with the way out."""
    refused = invoke("datasets", "export", invoke("datasets", "ls", "-q").out.strip(), "-o", "no", *options)
    assert (refused.code, words in refused.err) == (2, True), refused.err
    assert not Path("no").exists()


def test_verify_finds_damage_in_a_folder(mixed: Result, invoke: Invoke) -> None:
    """A changed, a missing and a foreign file: exit code 7, each named."""
    folder = Path("datasets/list")
    first, second, *_ = sorted(folder.rglob("*.jpg"))
    damaged = first.read_bytes()[:-1] + b"x"
    first.unlink()  # it is a hard link to the store's
    first.write_bytes(damaged)
    second.unlink()
    (folder / "notes.txt").write_text("mine")
    found = invoke("datasets", "verify", folder)
    assert found.code == 7
    assert "3 problems" in found.out
    for words in ("its bytes differ", "missing", "notes.txt: not of this dataset"):
        assert words in found.out
    assert invoke("datasets", "verify", "datasets").code == 2


def test_verify_loads_what_the_digests_call_whole(mixed: Result, invoke: Invoke) -> None:
    """A file over which loaders fail is a problem although every digest is right, as in folders of earlier versions."""
    folder = Path("datasets/list")
    first = min((folder / "images").iterdir())
    body = first.read_bytes()
    broken = body[:2] + segment(0xE1, b"Exif\0\0" + BAD_RATIONAL) + body[2:]
    digest = hashlib.sha256(broken).hexdigest()
    renamed = first.with_name(f"{first.name[:7]}{digest[:12]}.jpg")
    first.unlink()
    renamed.write_bytes(broken)
    for name in ("metadata.jsonl", "SHA256SUMS"):
        text = (folder / name).read_text().replace(hashlib.sha256(body).hexdigest(), digest).replace(first.name, renamed.name)
        (folder / name).write_text(text.replace(f'"size_bytes":{len(body)},', f'"size_bytes":{len(broken)},'))
    image_bytes = json.loads((folder / "manifest.json").read_text())["image_bytes"]
    reseal(folder, image_bytes=image_bytes + len(broken) - len(body))
    sums = (folder / "SHA256SUMS").read_text().splitlines()
    new = hashlib.sha256((folder / "metadata.jsonl").read_bytes()).hexdigest()
    (folder / "SHA256SUMS").write_text("".join(f"{new if line.endswith('metadata.jsonl') else line[:64]}{line[64:]}\n" for line in sums))
    reseal(folder)
    found = invoke("datasets", "verify", folder, "--json")
    (problem,) = found.json["problems"]
    assert (found.code, problem.partition(": cannot be loaded as jpeg: ")[0]) == (7, f"images/{renamed.name}")


def test_verify_finds_damage_in_the_store(mixed: Result, invoke: Invoke) -> None:
    """An object that is gone: exit code 7."""
    sha256 = invoke("images", "ls", "--state", "kept", "--json").json["items"][0]["sha256"]
    Path(f".pictrawl/store/blobs/{sha256[:2]}/{sha256[2:4]}/{sha256}").unlink()
    found = invoke("datasets", "verify", invoke("datasets", "ls", "-q").out.strip(), "--json")
    assert found.code == 7
    assert any("missing" in problem for problem in found.json["problems"])


def test_several_formats_are_written_at_once(mixed: Result, invoke: Invoke) -> None:
    """Each beside the first, with the name of its format; the document has them all."""
    dataset = invoke("datasets", "ls", "-q").out.strip()
    made = invoke("datasets", "export", dataset, "-o", "many", "--also", "csv", "--also", "imagefolder", "--json")
    assert made.code == 0, made.err
    assert [(one["format"], one["path"]) for one in made.json["exports"]] == [
        ("files", "many"),
        ("csv", "many-csv"),
        ("imagefolder", "many-imagefolder"),
    ]
    assert (made.json["id"], made.json["path"]) == (made.json["exports"][0]["id"], "many")
    for folder in ("many", "many-csv", "many-imagefolder"):
        assert invoke("datasets", "verify", folder).code == 0
    again = invoke("datasets", "export", dataset, "-o", "new", "--also", "csv")
    assert again.code == 0
    assert again.out.startswith("new\n  files, 3 samples, ")
    assert "\nnew-csv\n  csv, 3 samples, " in again.out


def test_a_folder_that_is_taken_is_named_before_anything_is_written(mixed: Result, invoke: Invoke) -> None:
    """Also that of a further format."""
    dataset = invoke("datasets", "ls", "-q").out.strip()
    Path("out-csv").mkdir()
    Path("out-csv/mine.txt").write_text("mine")
    refused = invoke("datasets", "export", dataset, "-o", "out", "--also", "csv")
    assert (refused.code, "out-csv" in refused.err, Path("out").exists()) == (2, True, False)
    twice = invoke("datasets", "export", dataset, "-o", "out", "--also", "files")
    assert (twice.code, "the dataset is written as files anyway" in twice.err) == (2, True)


LISTED = [
    {"label": "a, b", "caption": '=SUM(1) "q"', "split": "val", "license": "CC-BY-4.0", "creator": "Ann", "group_id": "g", "score": 0.5},
    {"label": "x", "captions": ["one", "two"], "split": "train", "license": "CC0-1.0", "score": 2.0},
    {"caption": "é 😀", "split": "train", "page_url": "https://p.example/", "score": -1.5},
]
"""What a list says of its images, beside their URLs."""


@pytest.mark.parametrize("name", ["jsonl", "csv"])
def test_the_rows_of_an_export_build_the_same_set_again(name: str, site: Site, bodies: list[bytes], invoke: Invoke) -> None:
    """URLs, labels, captions, splits, groups, licences and digests; nothing of the first build is known to the second."""
    rows = [row | {"url": site.add(f"/{at}.jpg", reply(body=bodies[at]))} for at, row in enumerate(LISTED)]
    Path("list.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert invoke("build", "--urls", "list.jsonl", "-f", name, "-o", "one", *LOOPBACK).code == 0
    elsewhere = ("--workspace", "other")
    again = invoke("build", "--urls", f"one/images.{name}", "-f", name, "-o", "two", *elsewhere, *LOOPBACK)
    assert again.code == 0, again.err
    assert Path(f"two/images.{name}").read_bytes() == Path(f"one/images.{name}").read_bytes()
    assert invoke("datasets", "verify", "two").code == 0
