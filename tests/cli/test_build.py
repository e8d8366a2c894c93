"""``pictrawl build`` from start to end, and everything that it refuses before it writes anything."""

import gzip
import io
import json
import sqlite3
import sys
import warnings
from pathlib import Path

import pytest

from app.cli.demo.origin import reply
from tests.cli.conftest import LOOPBACK, PICTURES, Hold, Invoke, Site
from tests.images import colour_files

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of what webdataset itself imports
    import webdataset

CONTRACT = {"keywords", "shortfall", "short_classes", "job_id", "status", "target", "funnel", "reasons", "retries", "exports", "url"}
"""Keys of the document, as DESIGN section 7 has them."""


def everything_below(folder: Path) -> set[str]:
    """Paths of what is there."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_build_of_a_list_delivers_every_image_once(gallery: Site, invoke: Invoke) -> None:
    """Files: one document on stdout in the contract's shape, each picture there once, one request for each URL."""
    result = invoke("build", "--urls", gallery.write_list(Path("list.txt")), "--json", *LOOPBACK)
    document = result.json
    assert result.code == 0, result.err
    assert set(document) == CONTRACT
    assert document["status"] == "succeeded"
    assert document["target"] is None
    all_of_them = dict.fromkeys(("rows_read", "distinct_urls", "candidates", "fetched", "valid", "unique", "kept"), PICTURES)
    assert document["funnel"] == all_of_them | dict.fromkeys(("merged_rows", "label_conflicts", "reused", "not_modified", "spare"), 0)
    assert document["retries"]["mean_attempts"] == 1.0
    folder = Path(document["exports"][0]["path"])
    assert folder == Path("datasets/list")
    assert len(list(folder.rglob("*.jpg"))) == PICTURES
    assert all(gallery.hits(f"/{at:03d}.jpg") == 1 for at in range(PICTURES))


def test_build_as_webdataset_is_read_back_by_its_own_reader(gallery: Site, invoke: Invoke) -> None:
    """The webdataset package finds every sample with its image and its metadata."""
    result = invoke("build", "--urls", gallery.write_list(Path("list.txt")), "-f", "webdataset", "-o", "wds", "--json", *LOOPBACK)
    assert result.code == 0, result.err
    shards = sorted(str(path) for path in Path("wds").glob("*.tar"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves shards to the garbage collector
        samples = list(webdataset.WebDataset(shards, shardshuffle=False, empty_check=False))
    assert len(samples) == PICTURES
    assert {json.loads(sample["json"])["url"] for sample in samples} == set(gallery.urls)


def test_the_same_list_again_requests_nothing_and_refresh_asks_again(site: Site, bodies: list[bytes], invoke: Invoke) -> None:
    """The figures and the summary say so, the document and `explain` name the job that fetched the bytes; the datasets are the same."""
    for at, body in enumerate(bodies[:3]):
        site.add(f"/{at}.jpg", reply(body=body, headers={"ETag": '"1"'}), reply(304))
    command = ("build", "--urls", site.write_list(Path("list.txt")), *LOOPBACK)
    first = invoke(*command, "-o", "one", "--json").json
    again = invoke(*command, "-o", "two")
    assert "  reused     3 reused, 0 fetched" in again.out.splitlines()
    assert [site.hits(f"/{at}.jpg") for at in range(3)] == [1, 1, 1]
    refreshed = invoke(*command, "-o", "three", "--refresh", "--json").json["funnel"]
    assert (refreshed["kept"], refreshed["reused"], refreshed["not_modified"]) == (3, 0, 3)
    assert [site.hits(f"/{at}.jpg") for at in range(3)] == [2, 2, 2]
    (shown,) = invoke("explain", site.urls[0], "--json").json["items"]
    assert invoke("images", "show", str(shown["id"]), "--json").json["reuse"] == "not_modified"
    assert (shown["reuse"], shown["reused_from"]) == ("not_modified", first["job_id"])
    assert f"304: the origin confirmed at this time the bytes that job {first['job_id']} fetched" in invoke("explain", site.urls[0]).out
    assert len({(Path(folder) / "metadata.jsonl").read_text() for folder in ("one", "two", "three")}) == 1


def test_build_prints_a_summary(gallery: Site, invoke: Invoke) -> None:
    """Without --json: dataset, funnel and what to do next, in 80 columns but for what is there to copy; progress is on stderr."""
    gallery.add("/gone.jpg")
    result = invoke("build", "--urls", gallery.write_list(Path("list.txt")), "-n", 101, "--min-images", 5, *LOOPBACK)
    assert result.code == 0
    assert "partial: 100 of 101 images kept" in result.out
    assert "http_404 1" in result.out
    assert "why short" in result.out
    assert "pictrawl explain job_" in result.out
    assert "running" in result.err
    assert all(len(line) <= 80 for line in result.out.splitlines() if "pictrawl" not in line)


def test_build_warns_of_images_that_leave_with_16_bits(site: Site, invoke: Invoke) -> None:
    """In the summary and in the explanation of the image; the bytes stay those of the origin. Re-encoded there is nothing to warn of."""
    body = colour_files.png((colour_files.smooth() * 65535).astype("uint16"), 16)
    url = site.add("/deep.png", reply(body=body, kind="image/png"))
    listed = site.write_list(Path("list.txt"))
    result = invoke("build", "--urls", listed, "-o", "kept", *LOOPBACK)
    assert result.code == 0, result.err
    assert "1 image of more than 8 bits a channel left as found" in " ".join(result.out.split())
    (copy,) = Path("kept").rglob("*.png")
    assert copy.read_bytes() == body
    explained = invoke("explain", url).out
    assert "16 bits a channel leave as they came" in explained
    again = invoke("build", "--urls", listed, "-o", "again", "--encode", "png", *LOOPBACK)
    assert "8 bits a channel" not in again.out


def test_build_counts_bad_lines_and_continues(gallery: Site, invoke: Invoke) -> None:
    """A line that is no URL is named with its number; the rest is built."""
    path = gallery.write_list(Path("list.txt"))
    path.write_text("no url\n" + path.read_text())
    result = invoke("build", "--urls", path, "-n", 10, *LOOPBACK)
    assert result.code == 0
    assert "line 1" in result.err
    assert "bad lines 1" in result.out


def test_build_from_stdin_with_every_option(gallery: Site, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """A packed CSV on stdin; labels, splits, size and encoding are those of the options; -q prints the path alone."""
    rows = "\n".join(["link,about,what", *(f"{url},a picture,{'cat' if at % 2 else 'dog'}" for at, url in enumerate(gallery.urls[:40]))])
    packed = io.BytesIO(gzip.compress(rows.encode()))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(packed))
    options = ["--url-col", "link", "--caption-col", "about", "--label-col", "what", "--list-format", "csv.gz", "--name", "Pets"]
    options += ["--split", "train=0.5,test=0.5", "--seed", "7", "--encode", "webp:70", "--resize", "center_crop", "--size", "64"]
    options += ["--level", "basic", "--dedupe", "exact", "--label-conflicts", "keep-all", "--min-size", "100"]
    options += ["-f", "imagefolder", "-q", "--concurrency", "8"]
    result = invoke("build", "--urls", "-", *options, *LOOPBACK)
    assert result.code == 0, result.err
    assert result.out == "datasets/pets\n"
    assert result.err == ""
    found = list(Path("datasets/pets").rglob("*.webp"))
    assert len(found) == 40
    assert {path.parent.name for path in found} == {"cat", "dog"}
    assert {path.parts[2] for path in found} == {"train", "test"}


def test_build_when_columns_stand_in_objects(gallery: Site, invoke: Invoke) -> None:
    """Dotted names lead into objects; the images of one group stay together; what is missing is named with what there is."""
    rows = [{"image": {"src": url, "alt": f"no {at}"}, "shop": {"id": at // 5}} for at, url in enumerate(gallery.urls[:20])]
    Path("pages.jsonl").write_text("\n".join(map(json.dumps, rows)))
    named = ["--caption-col", "image.alt", "--group-col", "shop.id", "--keep-col", "shop.id"]
    more = ["--split", "train=0.5,test=0.5", "--dedupe", "none", "--level", "basic", *LOOPBACK]
    assert invoke("build", "--urls", "pages.jsonl", "-o", "out", *named, *more).code == 0
    found = [json.loads(line) for line in Path("out/metadata.jsonl").read_text().splitlines()]
    assert {row["caption"] for row in found} == {f"no {at}" for at in range(20)}
    assert {row["group_id"] for row in found} == {"0", "1", "2", "3"}
    assert len({(row["group_id"], row["split"]) for row in found}) == 4
    assert [row["shop.id"] for row in found] == [int(row["group_id"]) for row in found]
    refused = invoke("build", "--urls", "pages.jsonl", "--url-col", "image.href", *LOOPBACK)
    assert refused.code == 2
    assert "no column 'image.href'" in refused.err
    assert "image.src" in refused.err


def test_build_with_too_few_images_is_3_and_with_none_4(gallery: Site, invoke: Invoke) -> None:
    """--min-images decides between 0 and 3, as --min-images-per-label does without labels; nothing kept is 4 and leaves no dataset."""
    urls = gallery.write_list(Path("list.txt"))
    assert invoke("build", "--urls", urls, "--min-images", PICTURES + 1, *LOOPBACK).code == 3
    unlabelled = invoke("build", "--urls", urls, "--overwrite", "--min-images-per-label", 1, *LOOPBACK)
    assert unlabelled.code == 3
    assert "no image has a label, 1 wanted of each" in unlabelled.out
    Path("gone.txt").write_text(f"{gallery.origin.base}/gone.jpg\n")
    result = invoke("build", "--urls", "gone.txt", "--json", *LOOPBACK)
    assert result.code == 4
    assert result.json["reasons"] == {"http_404": 1}
    assert not Path("datasets/gone").exists()


def test_build_again_wants_overwrite(gallery: Site, invoke: Invoke) -> None:
    """A folder that holds something is refused, and replaced as a whole where asked."""
    path = gallery.write_list(Path("list.txt"))
    assert invoke("build", "--urls", path, "-n", 5, *LOOPBACK).code == 0
    refused = invoke("build", "--urls", path, "-n", 3, *LOOPBACK)
    assert refused.code == 2
    assert "not empty" in refused.err
    assert invoke("build", "--urls", path, "-n", 3, "--overwrite", *LOOPBACK).code == 0
    assert len(list(Path("datasets/list").rglob("*.jpg"))) == 3


def test_build_keeps_what_a_list_says_and_counts_its_rows(gallery: Site, invoke: Invoke) -> None:
    """Fifteen rows of three URLs: every caption, the labels that differ, the further columns; the same figures in every interface."""
    rows = [
        f"{gallery.urls[at]},caption {n},{'0.0' if n < 3 else 'nan' if n == 3 else '1.0'},{n}.50,x,{n}" for at in range(3) for n in range(5)
    ]
    Path("coco.csv").write_text("\n".join(["url,caption,label,score,hash,width", *rows, "no url,,,,,"]))
    result = invoke("build", "--urls", "coco.csv", "--keep-col", "score", "--keep-col", "hash", *LOOPBACK)
    assert result.code == 0, result.err
    assert "further columns: score, hash" in result.err
    assert "rows read 16, distinct URLs 3, merged rows 12, bad lines 1, label conflicts 3" in " ".join(result.out.split())
    rows_of_export = [json.loads(line) for line in Path("datasets/coco/metadata.jsonl").read_text().splitlines()]
    assert len(rows_of_export) == 3
    for row in rows_of_export:
        assert (row["label"], row["labels"], row["score"], row["hash"]) == ("0", ["0", "1"], 0.5, "x")
        assert (row["caption"], row["captions"]) == ("caption 0", [f"caption {n}" for n in range(5)])
    listed = invoke("images", "ls", "--reason", "label_conflict", "--json").json["items"]
    assert [(item["status"], "0 (line 2), 1 (line 6)" in item["detail"]) for item in listed][:1] == [("kept", True)]
    job = listed[0]["job_id"]
    figures = {"rows_read": 16, "distinct_urls": 3, "merged_rows": 12, "label_conflicts": 3}
    assert invoke("explain", job, "--json").json["funnel"].items() >= figures.items()
    dropped = invoke("build", "--urls", "coco.csv", "--label-conflicts", "drop", "--keep-col", "none", "-o", "out", "--json", *LOOPBACK)
    assert (dropped.code, dropped.json["reasons"]) == (4, {"label_conflict": 3})


@pytest.mark.parametrize(
    ("cells", "row"),
    [
        ('{"url": "%s", "caption": NaN, "label": 0.0, "source": "x"}', {"label": "0", "source": "list", "list_source": "x"}),
        ('{"url": "%s", "caption": "None", "label": null, "box": [1]}', {"caption": "None", "source": "list"}),
    ],
)
def test_build_of_odd_json_lines(gallery: Site, invoke: Invoke, cells: str, row: dict[str, object]) -> None:
    """A bare NaN costs its value alone; a name of ours is changed; what is left out is named."""
    Path("l.jsonl").write_text(cells % gallery.urls[0])
    result = invoke("build", "--urls", "l.jsonl", *LOOPBACK)
    assert result.code == 0, result.err
    (found,) = [json.loads(line) for line in Path("datasets/l/metadata.jsonl").read_text().splitlines()]
    assert {name: found[name] for name in ("label", "caption", "source", "list_source") if name in found} == row
    assert ("not carried over: box" in result.err) == ("box" in cells)


@pytest.fixture
def lists() -> None:
    """Lists to be refused, and one that is fine."""
    Path("empty.txt").write_text("\n\n")
    Path("garbage.txt").write_bytes(bytes(range(256)) * 10)
    Path("good.txt").write_text("http://127.0.0.1:1/a.jpg\n")
    Path("columns.csv").write_text("my_link,url_column\nhttp://127.0.0.1:1/a.jpg,x\n")
    Path("words.csv").write_text("keyword,label,number\npoodle,dog,30\ncat,,\n")
    Path("bad.csv").write_text("keyword,number\ncat,3\ndog,x\n")
    Path("full").mkdir()
    Path("full/file").write_text("here")
    Path("file").write_text("here")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing to build"),
        (["--urls", ""], "'--urls': must not be empty"),
        (["--keywords-file", ""], "'--keywords-file': must not be empty"),
        (["--pages", ""], "'--pages': must not be empty"),
        (["--folder", ""], "'--folder': must not be empty"),
        (["cat", "-o", ""], "'-o': must not be empty"),
        (["cat", "--workspace", ""], "'--workspace': must not be empty"),
        (["cat", "--config", ""], "'--config': must not be empty"),
        (["--urls", "none.txt"], "no list none.txt"),
        (["--urls", "empty.txt"], "is empty"),
        (["--urls", "garbage.txt"], "no usable URL"),
        (["--urls", "full"], "directory"),
        (["--urls", "file"], "does not end in one of"),
        (["--urls", "good.txt", "--urls", "good.txt"], "2 lists"),
        (["--urls", "good.txt", "cat"], "keywords and a list"),
        (["--urls", "good.txt", "--license", "cc0,comercial"], "there is no licence 'comercial'\n  hint: did you mean commercial?"),
        (
            ["--urls", "good.txt", "--license", "by-nd", "--license", "derivatives"],
            "by-nd and derivatives, which leaves out ND, exclude each other",
        ),
        (["--urls", "good.txt", "--license", " , "], "--license: "),
        (["--urls", "good.txt", "--url-col", "x"], "no columns"),
        (["--urls", "columns.csv"], "my_link, url_column; call one 'url' or name it with --url-col, as in --url-col 'my_link'"),
        (["--urls", "columns.csv", "--url-col", "my_link", "--caption-col", "nope"], "no column 'nope' (--caption-col)\n"),
        (["--urls", "columns.csv", "--url-col", "my_link", "--label-col", "nope"], "no column 'nope' (--label-col)\n"),
        (["--urls", "columns.csv", "--url-col", "my_link", "--keep-col", "nope"], "no column 'nope' (--keep-col)\n"),
        (["--urls", "good.txt", "--contact", "notamail"], "error: --contact 'notamail': must hold a mail address or an http(s) URL"),
        (["--urls", "good.txt", "--contact", "Jürgen <j@x.de>"], "in printable ASCII\n  hint: you@example.org or https://example.org/bot"),
        (["--urls", "good.txt", "-s", "wikimedia"], "--source has no effect with a list"),
        (["--urls", "good.txt", "--keywords-file", "words.csv"], "keywords and a list"),
        (["--urls", "good.txt", "--per-label", "3"], "--per-label has no effect with a list"),
        (["--urls", "-", "--keywords-file", "-"], "--keywords-file - and --urls - both read stdin"),
        (["--keywords-file", "none.csv"], "the keywords none.csv cannot be read: No such file"),
        (["--keywords-file", "full"], "the keywords full cannot be read: Is a directory"),
        (["--keywords-file", "bad.csv"], "bad.csv: line 3: number 'x' must be a whole number"),
        (["--keywords-file", "words.csv", "-n", "20"], "the keywords' own numbers are 30 together, --max-images is 20"),
        (["--keywords-file", "words.csv", "--label", "pet"], "label 'pet' is for every image, and keywords have"),
        (["--keywords-file", "words.csv", "Poodle"], "keyword 2 ('poodle') asks for label 'dog', 30 images, keyword 1 for a fair share"),
        (["--keywords-file", "words.csv"], "add --contact"),
        (["cat", "--label-col", "x"], "--label-col has no effect without --urls"),
        (["cat", "-s", "picasa", "--contact", "me@example.org"], "no source 'picasa'"),
        (["cat"], "add --contact"),
        (["good.txt"], "good.txt is a file\n  hint: did you mean --urls good.txt?"),
        (["none.csv"], "is a list, not a word to search for\n  hint: there is no such file here; a list of URLs is given as --urls FILE"),
        (["full/"], "full/ is a folder\n  hint: did you mean --folder full/?"),
        (["https://img.example/a.jpg"], "is a URL, not a word to search for\n  hint: images of a page: --pages URL; image URLs as a list"),
        (["cat.jpg"], "is an image file, not a word to search for"),
        (["--urls", "good.txt", "good.txt"], "good.txt is a second list; a build takes one"),
        (["  ", "--contact", "me@example.org"], "keyword 1"),
        (["--urls", "good.txt", "--set", "fetch.per_hsot=2"], "fetch.per_hsot does not exist"),
        (["--urls", "good.txt", "--set", "nonsense"], "is not SECTION.NAME=VALUE"),
        (["--urls", "good.txt", "--set", "fetch.ports=[80"], "not JSON"),
        (["--urls", "good.txt", "--set", "fetch.per_host=many"], "fetch.per_host"),
        (["--urls", "good.txt", "--config", "none.toml"], "none.toml"),
        (["--urls", "good.txt", "--set", "fetch.ca_file=none.pem"], "fetch.ca_file"),
        (["--urls", "good.txt", "--set", "fetch.proxy=hunter2"], "fetch.proxy is no http"),
        (["--urls", "good.txt", "--set", 'hosts.a.test={"headers": {"X-Key": {"env": "NOWHERE"}}}'], "NOWHERE is not set"),
        (["--urls", "good.txt", "--min-size", "big"], "--min-size"),
        (["--urls", "good.txt", "--min-size", "0x10"], "--min-size"),
        (["--urls", "good.txt", "--size", "64"], "without --resize"),
        (["--urls", "good.txt", "--encode", "gif"], "--encode"),
        (["--urls", "good.txt", "--encode", "webp:0"], "--encode"),
        (["--urls", "good.txt", "--split", "train"], "--split"),
        (["--urls", "good.txt", "--split", "train=0.5"], "sum to 0.5"),
        (["--urls", "good.txt", "-n", "3", "--min-images", "5"], "--min-images 5 is more than --max-images 3"),
        (["--urls", "good.txt", "-n", "0"], "--max-images 0: must be at least 1"),
        (["--urls", "good.txt", "--level", "hard"], "hard"),
        (["--urls", "good.txt", "-o", "full"], "not empty"),
        (["--urls", "good.txt", "-o", "file"], "is a file"),
        (["--urls", "good.txt", "-o", "/proc/none/out"], "cannot be written"),
        (["--urls", "good.txt", "-o", ".", "--overwrite"], "holds"),
        (["--urls", "good.txt", "--workspace", "file/ws"], "workspace"),
        (["--urls", "good.txt", "--nonsense"], "--nonsense"),
    ],
)
def test_build_refuses_what_is_wrong_before_it_writes(lists: None, invoke: Invoke, arguments: list[str], words: str) -> None:
    """Exit code 2, a reason that names it, and nothing left behind: no workspace, no output."""
    before = everything_below(Path.cwd())
    result = invoke("build", *arguments)
    assert result.code == 2, result.err
    assert result.err.startswith("error: ")
    assert words in result.err
    assert result.out == ""
    assert everything_below(Path.cwd()) == before


def test_build_refuses_as_one_json_document(invoke: Invoke) -> None:
    """With --json an error is a problem document on stdout, wherever the option is given."""
    for words in ("--json build --urls none.txt", "build --urls none.txt --json", "build --nonsense --json"):
        result = invoke(*words.split())
        assert result.code == 2
        assert result.json["exit_code"] == 2
        assert result.json["title"] == "Wrong usage or configuration"
        assert result.err == ""


def test_build_refuses_a_database_that_is_newer(invoke: Invoke, lists: None) -> None:
    """A revision that this version does not know is refused with nothing written."""
    Path(".pictrawl").mkdir()
    with sqlite3.connect(".pictrawl/pictrawl.db") as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.execute("INSERT INTO alembic_version VALUES ('9999')")
    connection.close()
    result = invoke("build", "--urls", "good.txt")
    assert result.code == 2
    assert "newer" in result.err
    assert not Path("datasets").exists()
    assert not Path(".pictrawl/store").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "holds CSV, not plain text\n  hint: add --list-format csv\n"),
        (
            ["--url-col", "url"],
            "is plain text, it has no columns\n  hint: leave the --…-col options out, or add --list-format csv\n",
        ),
    ],
)
def test_build_of_a_csv_on_stdin_names_the_option(invoke: Invoke, monkeypatch: pytest.MonkeyPatch, options: list[str], words: str) -> None:
    """It has no name that could be changed, and our copy of it is nobody's business."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"url,caption\nhttp://127.0.0.1:1/a.jpg,x\n")))
    result = invoke("build", "--urls", "-", *options)
    assert (result.code, result.err) == (2, f"error: the list on stdin {words}")


def test_build_stdin_from_a_terminal_is_refused(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list is piped in, not typed."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    result = invoke("build", "--urls", "-")
    assert result.code == 2
    assert "terminal" in result.err


def test_build_detached_waits_for_a_worker_and_resume_does_it(site: Site, bodies: list[bytes], invoke: Invoke) -> None:
    """--detach only submits the job and warns that nobody works on it; resume runs it and delivers to the build's folder."""
    site.add("/a.jpg", reply(body=bodies[0]))
    made = invoke("build", "--urls", site.write_list(Path("list.txt")), "--detach", "-q")
    assert made.code == 0
    assert "no process works on this workspace" in made.err
    assert site.hits("/a.jpg") == 0
    shown = invoke("jobs", "show", made.out.strip())
    assert "not begun" in shown.out
    done = invoke("resume", made.out.strip(), *LOOPBACK[:4])
    assert done.code == 0, done.err
    assert len(list(Path("datasets/list").rglob("*.jpg"))) == 1


def test_a_detached_build_says_who_works_on_it(invoke: Invoke, hold: Hold) -> None:
    """A server, a command until its own job has ended, or nobody; in --json as what the job waits for."""
    Path("list.txt").write_text("http://127.0.0.1:9/a.jpg\n")
    build = ("build", "--urls", "list.txt", "--detach")
    waiting = invoke(*build)
    assert "is waiting for a worker" in waiting.out
    assert "no process works on this workspace" in waiting.err
    assert invoke(*build, "--json").json["waiting_for"] == "a worker"
    other = hold("build")
    assert "goes to `pictrawl build` (process 4711), which works on it until its own job has ended" in invoke(*build).out
    other.release()
    hold("serve")
    served = invoke(*build)
    assert "goes to `pictrawl serve` (process 4711)\n" in served.out
    assert "warning" not in served.err
    assert invoke(*build, "--json").json["waiting_for"] is None


def test_a_build_names_older_jobs_and_leaves_them_alone(site: Site, bodies: list[bytes], invoke: Invoke) -> None:
    """Three of them, with the command that continues each; they stay as they were."""
    site.add("/a.jpg", reply(body=bodies[0]))
    site.write_list(Path("list.txt"))
    older = [invoke("build", "--urls", "list.txt", "-o", f"{at}", "--detach", "-q").out.strip() for at in range(4)]
    built = invoke("build", "--urls", "list.txt", "--json", *LOOPBACK)
    assert built.code == 0, built.err
    assert "4 older jobs of this workspace did not end; this build leaves them alone" in built.err
    assert [job_id for job_id in reversed(older) if f"pictrawl resume {job_id}" in built.err] == older[:0:-1]
    assert "and 1 more: pictrawl jobs ls" in built.err
    states = {job["id"]: job["status"] for job in invoke("jobs", "ls", "--json").json["items"]}
    assert [states[job_id] for job_id in older] == ["pending"] * 4
    assert site.hits("/a.jpg") == 1
