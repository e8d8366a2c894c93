"""`datasets lock` and `rebuild`: a dataset is made again elsewhere with the same bytes; what lacks is named, and the exit code says so."""

import filecmp
import gzip
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from app.exports.sidecars import REPORT
from tests.cli.conftest import LOOPBACK, Invoke, Result, Site, reply
from tests.datasets.locks import reseal


def same(left: Path, right: Path) -> bool:
    """Whether two folders hold the same files, byte for byte, but for their reports; as `diff -r -x report.html`."""
    found = filecmp.dircmp(left, right, ignore=[REPORT])
    if found.left_only or found.right_only or found.funny_files:
        return False
    _, differs, errors = filecmp.cmpfiles(left, right, found.common_files, shallow=False)
    return not differs and not errors and all(same(left / name, right / name) for name in found.common_dirs)


@pytest.fixture
def listed(site: Site, bodies: list[bytes], tmp_path: Path) -> Path:
    """A list of six pictures with labels, captions and credits."""
    urls = [site.add(f"/{at}.jpg", reply(body=body)) for at, body in enumerate(bodies[:6])]
    rows = [{"url": url, "label": f"l{at % 2}", "caption": f"« {at} »", "creator": "Ann"} for at, url in enumerate(urls)]
    path = tmp_path / "list.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture
def locked(invoke: Invoke, listed: Path, tmp_path: Path) -> Path:
    """The lock of a dataset of it, which lies in ``original``."""
    built = invoke("build", "--urls", listed, "--name", "cats", "-o", tmp_path / "original", "--split", "train=0.7,test=0.3", *LOOPBACK)
    assert built.code == 0, built.err
    result = invoke("datasets", "lock", "cats", "-o", tmp_path / "dataset.lock", "--json")
    assert result.code == 0, result.err
    assert (result.json["images"], result.json["dataset"]["version"]) == (6, "1.0.0")
    return tmp_path / "dataset.lock"


def rebuild(invoke: Invoke, lock: Path, output: Path, *options: object, workspace: str = "elsewhere") -> Result:
    return invoke("rebuild", lock, "-o", output, "--workspace", lock.parent / workspace, *LOOPBACK[:4], *options)


def test_a_rebuild_is_the_original_byte_for_byte(invoke: Invoke, locked: Path, tmp_path: Path, site: Site) -> None:
    """In a workspace of its own, exit code 0; a second one there makes no request, and verification finds nothing."""
    made = rebuild(invoke, locked, tmp_path / "again", "--json")
    assert made.code == 0, made.err
    assert made.json["rebuild"] | {"lock": ""} == {
        "lock": "",
        "version": "1.0.0",
        "images": 6,
        "libraries": None,
        "changed": [],
        "missing": [],
        "other_forms": [],
    }
    assert same(tmp_path / "original", tmp_path / "again")
    hits = sum(site.origin.hits.values())
    assert rebuild(invoke, locked, tmp_path / "third").code == 0
    assert same(tmp_path / "original", tmp_path / "third")
    assert sum(site.origin.hits.values()) == hits
    assert invoke("datasets", "verify", tmp_path / "again").code == 0
    assert invoke("datasets", "verify", "cats", "--workspace", locked.parent / "elsewhere").code == 0


def test_an_altered_and_a_missing_image_are_named(invoke: Invoke, locked: Path, tmp_path: Path, site: Site, bodies: list[bytes]) -> None:
    """Exit code 3, in the document and in the summary; with --allow-missing 0; the others are delivered."""
    site.origin.script("/1.jpg", reply(body=bodies[9]))
    site.origin.script("/4.jpg", reply(404))
    made = rebuild(invoke, locked, tmp_path / "again", "--json")
    assert made.code == 3
    (changed,), (missing,) = made.json["rebuild"]["changed"], made.json["rebuild"]["missing"]
    assert (changed["url"], changed["reason"]) == (site.urls[1], "changed")
    assert changed["evidence"].startswith("sha256 promised ")
    assert (missing["url"], missing["reason"]) == (site.urls[4], "http_404")
    assert json.loads((tmp_path / "again" / "manifest.json").read_text())["samples"] == 4
    told = invoke("explain", site.urls[1], "--workspace", tmp_path / "elsewhere").out
    assert f"by list, rebuilt from lock {made.json['rebuild']['lock']}, line 3" in told
    text = rebuild(invoke, locked, tmp_path / "more", "--allow-missing", workspace="third")
    assert text.code == 0
    assert f"  changed    {site.urls[1]}  sha256 promised" in text.out
    assert f"  missing    {site.urls[4]}  http_404" in text.out


def test_a_retry_makes_it_whole(invoke: Invoke, locked: Path, tmp_path: Path, site: Site, bodies: list[bytes]) -> None:
    """The dataset in the folder is replaced by the whole one, which is the original."""
    site.origin.script("/1.jpg", reply(404))
    made = rebuild(invoke, locked, tmp_path / "again", "--json")
    assert made.code == 3
    site.origin.script("/1.jpg", reply(body=bodies[1]))
    again = invoke("retry", made.json["job_id"], "--reason", "http_404", "--workspace", tmp_path / "elsewhere", *LOOPBACK[:4])
    assert again.code == 0, again.err
    assert same(tmp_path / "original", tmp_path / "again")


def test_forms_that_differ_have_an_exit_code_of_their_own(invoke: Invoke, locked: Path, tmp_path: Path) -> None:
    """All images are there, and what is exported of them is not what the lock has."""
    lines = locked.read_bytes().splitlines()
    body = {"media_type": "image/jpeg", "size_bytes": 1, "width": 1, "height": 1, "sha256": "0" * 64}
    header, images = json.loads(lines[0]), [json.loads(line) | {"form": body} for line in lines[1:-1]]
    header["recipe"]["format"] = "png"
    locked.write_bytes(reseal([json.dumps(header).encode(), *(json.dumps(image).encode() for image in images)]))
    made = rebuild(invoke, locked, tmp_path / "again", "--json")
    assert (made.code, len(made.json["rebuild"]["other_forms"])) == (7, 6)
    assert "every library has the lock's version" in made.json["rebuild"]["other_forms"][0]["evidence"]


@pytest.mark.parametrize(
    ("suffix", "unpack"),
    [(".gz", gzip.decompress), (".zst", lambda body: zstandard.ZstdDecompressor().decompressobj().decompress(body))],
)
def test_a_packed_lock_is_the_same_lock(invoke: Invoke, locked: Path, suffix: str, unpack: Callable[[bytes], bytes]) -> None:
    """By its suffix, the same bytes twice."""
    packed = locked.with_name(f"x.lock{suffix}")
    assert invoke("datasets", "lock", "cats", "-o", packed).code == 0
    first = packed.read_bytes()
    assert unpack(first) == locked.read_bytes()
    assert invoke("datasets", "lock", "cats", "-o", packed).code == 0
    assert packed.read_bytes() == first


def test_an_export_is_rebuilt_as_it_was_written(invoke: Invoke, locked: Path, tmp_path: Path) -> None:
    """Its format, its selection and its captions."""
    made = invoke("datasets", "export", "cats", "-o", tmp_path / "part", "-f", "webdataset", "--where", "label=l0", "--json")
    assert made.code == 0, made.err
    assert invoke("datasets", "lock", "cats", "-o", locked, "--export", made.json["id"]).code == 0
    assert rebuild(invoke, locked, tmp_path / "again").code == 0
    assert same(tmp_path / "part", tmp_path / "again")


def test_another_format_may_be_asked_for(invoke: Invoke, locked: Path, tmp_path: Path) -> None:
    """When the lock is written, or when it is rebuilt."""
    assert invoke("datasets", "export", "cats", "-o", tmp_path / "web", "-f", "webdataset").code == 0
    assert rebuild(invoke, locked, tmp_path / "again", "-f", "webdataset").code == 0
    assert same(tmp_path / "web", tmp_path / "again")
    assert invoke("datasets", "lock", "cats", "-o", locked, "-f", "webdataset").code == 0
    assert rebuild(invoke, locked, tmp_path / "third").code == 0
    assert same(tmp_path / "web", tmp_path / "third")


def changed_header(lock: Path, **values: object) -> None:
    """Give a lock another header, and seal it."""
    lines = lock.read_bytes().splitlines()
    lock.write_bytes(reseal([json.dumps(json.loads(lines[0]) | values).encode(), *lines[1:-1]]))


def test_what_cannot_be_rebuilt_is_refused_before_anything_is_written(
    invoke: Invoke, locked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list, a newer lock, a format or an option of a newer version, a missing extra, a folder that lacks or has no use."""
    good = locked.read_bytes()
    refused = rebuild(invoke, tmp_path / "list.jsonl", tmp_path / "again")
    assert (refused.code, "build --urls" in refused.err) == (2, True)
    changed_header(locked, export={"format": "hologram", "options": {}})
    refused = rebuild(invoke, locked, tmp_path / "again")
    assert (refused.code, "the format 'hologram', which this version does not have" in refused.err) == (2, True)
    libraries = json.loads(locked.read_bytes().splitlines()[0])["libraries"] | {"webp": "0.1"}
    changed_header(locked, libraries=libraries)
    made = rebuild(invoke, locked, tmp_path / "again", "-f", "files")
    assert (made.code, "webp 0.1 in the lock" in made.out) == (0, True)
    changed_header(locked, export={"format": "files", "options": {"sparkle": 1}})
    refused = rebuild(invoke, locked, tmp_path / "more")
    assert (refused.code, "sparkle is not known here" in refused.err, "upgrade pictrawl" in refused.err) == (2, True, True)
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    changed_header(locked, export={"format": "parquet", "options": {}})
    refused = rebuild(invoke, locked, tmp_path / "more")
    assert (refused.code, "pictrawl[parquet]" in refused.err) == (2, True)
    locked.write_bytes(good)
    refused = rebuild(invoke, locked, tmp_path / "more", "--folder", tmp_path)
    assert (refused.code, "--folder has no effect" in refused.err) == (2, True)
    assert not (tmp_path / "more").exists()


def test_a_lock_of_a_folder_asks_for_one(invoke: Invoke, tmp_path: Path, bodies: list[bytes]) -> None:
    """Its images are named by their paths; another copy of the folder gives the same bytes."""
    for name in ("photos", "copy"):
        (tmp_path / name / "cat").mkdir(parents=True)
        for at, body in enumerate(bodies[:3]):
            (tmp_path / name / "cat" / f"{at}.jpg").write_bytes(body)
    assert invoke("build", "--folder", tmp_path / "photos", "-o", tmp_path / "original").code == 0
    lock = tmp_path / "dataset.lock"
    assert invoke("datasets", "lock", "photos", "-o", lock).code == 0
    refused = rebuild(invoke, lock, tmp_path / "again")
    assert (refused.code, "3 images of the lock came from a folder and have no URL" in refused.err) == (2, True)
    made = rebuild(invoke, lock, tmp_path / "again", "--folder", tmp_path / "copy")
    assert made.code == 0, made.err
    assert same(tmp_path / "original", tmp_path / "again")


def test_what_cannot_be_locked_is_refused(invoke: Invoke, listed: Path, tmp_path: Path) -> None:
    """No dataset, one that is being built, one without images, a path that is no file, two formats; nothing is left behind."""
    lock = tmp_path / "dataset.lock"
    assert invoke("build", "--urls", listed, "--name", "cats", "--detach").code == 0
    refused = invoke("datasets", "lock", "cats", "-o", lock)
    assert (refused.code, "still works on dataset" in refused.err, "wait for its end" in refused.err) == (2, True, True)
    empty = invoke("build", "--urls", listed, "--name", "none", "--min-size", "9000x9000", *LOOPBACK)
    assert empty.code == 4
    refused = invoke("datasets", "lock", "none", "-o", lock)
    assert (refused.code, "no image is kept" in refused.err) == (2, True)
    assert invoke("datasets", "lock", "dogs", "-o", lock).code == 2
    assert invoke("datasets", "lock", "cats", "-o", tmp_path).code == 2
    assert invoke("datasets", "lock", "cats", "-o", tmp_path / "absent" / "x.lock").code == 2
    os.mkfifo(tmp_path / "pipe")
    refused = invoke("datasets", "lock", "cats", "-o", tmp_path / "pipe")
    assert (refused.code, "is no file that can be written" in refused.err, (tmp_path / "pipe").is_fifo()) == (2, True, True)
    assert invoke("datasets", "lock", "cats", "-o", lock, "-f", "files", "--export", "exp_1").code == 2
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["list.jsonl"]
