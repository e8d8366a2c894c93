"""``pictrawl build --split-by`` and ``pictrawl datasets leaks``."""

import json
from pathlib import Path

import pytest

from app.cli.demo.origin import reply
from app.cli.leaks import lopsided_words
from app.images.split_groups import LeakReport
from tests.cli.conftest import LOOPBACK, Invoke, Site
from tests.exports.builders import reseal


@pytest.fixture
def paged(site: Site, bodies: list[bytes]) -> Path:
    """A list of 12 pictures, 10 of them from one page."""
    urls = [site.add(f"/{at}.jpg", reply(body=body)) for at, body in enumerate(bodies[:12])]
    rows = [{"url": url, "page_url": "https://example.org/" if at < 10 else f"https://example.org/{at}"} for at, url in enumerate(urls)]
    path = Path("pages.jsonl")
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_a_dataset_and_its_folder_have_the_same_figures(invoke: Invoke, paged: Path) -> None:
    """A page of most images is named in the summary, with the way out; what is not split by is counted and no fault."""
    split = ["--split", "train=0.5,test=0.5"]
    built = invoke("build", "--urls", paged, "-o", "out", *split, "--split-by", "page", *LOOPBACK)
    assert built.code == 0, built.err
    words = "10 of 12 images stay in one split: most of them share the same page; --split-by group divides them"
    assert words in " ".join(built.out.split())
    of_rows, of_folder = (invoke("datasets", "leaks", what, "--json") for what in ("pages", "out"))
    assert (of_rows.code, of_folder.code) == (0, 0)
    assert of_rows.json == of_folder.json == of_rows.json | {"leaks": {}, "problems": [], "split_by": ["page"], "largest": 10}
    assert of_rows.json["pairs"] == {"cluster": 0, "group": 0, "creator": 0, "page": 0, "host": of_rows.json["pairs"]["host"]}
    assert of_rows.json["pairs"]["host"] > 0
    assert words in " ".join(invoke("datasets", "leaks", "out").out.split())
    shown = invoke("datasets", "show", "pages")
    assert "split by page" in shown.out
    assert f"pairs across splits: host {of_rows.json['pairs']['host']}" in shown.out


def test_a_folder_that_was_changed_is_caught(invoke: Invoke, paged: Path) -> None:
    """An image that was moved to another split leaks, and the figures that are stated differ: exit code 7."""
    invoke("build", "--urls", paged, "-o", "out", "--split", "train=0.5,test=0.5", "--split-by", "page", *LOOPBACK)
    rows = [json.loads(line) for line in Path("out/metadata.jsonl").read_text().splitlines()]
    (first, *_) = [row for row in rows if row["page_url"] == "https://example.org/"]
    first["split"] = "test" if first["split"] == "train" else "train"
    text = "".join(json.dumps(row) + "\n" for row in rows)
    Path("out/metadata.jsonl").unlink()  # a hard link to the store's
    Path("out/metadata.jsonl").write_text(text)
    found = invoke("datasets", "leaks", "out", "--json")
    assert (found.code, found.json["leaks"]) == (7, {"page": 9})
    assert found.json["problems"][0].startswith("split_report: found ")
    reseal(Path("out"), split_report={key: value for key, value in found.json.items() if key not in ("leaks", "problems")})
    again = invoke("datasets", "leaks", "out", "--json")
    assert (again.code, again.json["leaks"], again.json["problems"]) == (7, {"page": 9}, [])
    assert invoke("datasets", "leaks", ".").code == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--split-by", "page"], "--split-by page has no effect on one split"),
        (["--split-by", "pages", "--split", "train=0.5,test=0.5"], "--split-by pages: must be"),
    ],
)
def test_what_cannot_be_split_by_is_refused(invoke: Invoke, paged: Path, arguments: list[str], words: str) -> None:
    """Before anything is fetched."""
    refused = invoke("build", "--urls", paged, *arguments)
    assert refused.code == 2
    assert words in " ".join(refused.err.split())


def test_words_of_a_large_component() -> None:
    """None where the splits are worth their name."""
    report = LeakReport({"train": 9, "test": 1}, 6, ("cluster", "creator"), {}, 9, "creator")
    assert (
        lopsided_words(report) == "9 of 10 images stay in one split: most of them share the same creator; --split-by cluster divides them"
    )
    assert lopsided_words(LeakReport({"train": 9, "test": 1}, 6, ("creator",), {}, 5, "creator")) == ""


def test_a_selection_that_is_none_is_refused_with_its_place(invoke: Invoke, paged: Path) -> None:
    """Before anything is fetched or looked up."""
    for command in (["build", "--urls", paged], ["datasets", "export", "none", "-o", "out"]):
        refused = invoke(*command, "--where", "lable = cat")
        assert refused.code == 2
        assert '--where: position 1: "lable": there is no such name; did you mean label?' in " ".join(refused.err.split())
    assert "gets its split after" in " ".join(invoke("build", "--urls", paged, "--where", "split = train").err.split())
