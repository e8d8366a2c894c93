"""``pictrawl build --also FORMAT``: the same dataset in several formats, each in a folder of its own."""

import json
import shutil
from pathlib import Path

import pytest

from app.cli.delivery import Destination
from app.cli.demo.origin import reply
from tests.cli.conftest import LOOPBACK, Invoke, Site


@pytest.fixture
def urls(site: Site, bodies: list[bytes]) -> Path:
    """A list of three pictures."""
    for number, body in enumerate(bodies[:3]):
        site.add(f"/{number}.jpg", reply(body=body))
    return site.write_list(Path("list.txt"))


def test_a_build_writes_several_formats(urls: Path, site: Site, invoke: Invoke) -> None:
    """Of one version, fetched once; what is gone from one folder is written again by resume."""
    built = invoke("build", "--urls", urls, "-o", "out", "--also", "csv", "--also", "webdataset", *LOOPBACK, "--json")
    assert built.code == 0, built.err
    assert [(one["format"], one["path"], one["state"]) for one in built.json["exports"]] == [
        ("files", "out", "ready"),
        ("csv", "out-csv", "ready"),
        ("webdataset", "out-webdataset", "ready"),
    ]
    manifests = [json.loads(Path(f"{folder}/manifest.json").read_text()) for folder in ("out", "out-csv", "out-webdataset")]
    assert {(one["dataset"]["id"], one["samples"]) for one in manifests} == {(manifests[0]["dataset"]["id"], 3)}
    assert len(list(Path("out-webdataset").glob("*.tar"))) == 1
    shutil.rmtree("out-csv")
    done = invoke("resume")
    assert done.code == 0, done.err
    assert "also       " in done.out
    assert Path("out-csv/manifest.json").is_file()
    assert "nothing to resume" in invoke("resume").err
    assert {site.hits(f"/{number}.jpg") for number in range(3)} == {1}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--also", "gif"), "--also gif: must be files, imagefolder, "),
        (("--also", "files"), "also files: the dataset is written as files anyway"),
        (("--also", "csv", "--also", "csv"), "also csv: the dataset is written as csv anyway"),
        (("--also", "webdataset", "--encode", "avif"), "the loaders of webdataset do not read avif"),
        (("--also", "csv", "-o", "taken"), "taken-csv"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is_fetched(
    urls: Path, site: Site, invoke: Invoke, options: tuple[str, ...], words: str
) -> None:
    """Formats, encodings and folders of all of them."""
    Path("taken-csv").mkdir()
    Path("taken-csv/mine.txt").write_text("mine")
    refused = invoke("build", "--urls", urls, *LOOPBACK, *options)
    assert (refused.code, words in refused.err) == (2, True), refused.err
    assert not site.origin.hits


@pytest.mark.parametrize(("folder", "beside"), [("out", "out-csv"), ("a/out", "a/out-csv"), ("/a/b", "/a/b-csv")])
def test_a_further_format_has_a_folder_beside_the_first(folder: str, beside: str) -> None:
    """With the same right to replace what is there; the current folder is named by its path."""
    assert Destination(Path(folder), overwrite=True).beside("csv") == Destination(Path(beside), overwrite=True)
    here = Path.cwd()
    assert Destination(Path()).beside("csv").folder == here.with_name(f"{here.name}-csv")
