"""``pictrawl datasets view``, and the report that a build leaves beside its dataset."""

import shutil
import webbrowser
from pathlib import Path

import pytest

from app.cli.demo.origin import reply
from app.exports.sidecars import REPORT, REPORT_MARK
from tests.cli.conftest import LOOPBACK, OPEN, Invoke, Result, Site


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the browser of this machine was asked to open."""
    found: list[str] = []

    class Recording(webbrowser.BaseBrowser):
        def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:
            found.append(url)
            return True

    monkeypatch.setattr(webbrowser, "_browsers", {})
    monkeypatch.setattr(webbrowser, "_tryorder", [])
    webbrowser.register("recording", None, Recording(), preferred=True)
    return found


def dataset_of(built: Result) -> Path:
    """The folder of a build."""
    return Path(built.json["exports"][0]["path"])


def test_a_build_leaves_its_report_beside_the_dataset(mixed: Result, invoke: Invoke) -> None:
    """It says what was left out and why; verification has nothing against it, and the manifest does not know it."""
    folder = dataset_of(mixed)
    report = (folder / REPORT).read_bytes()
    assert report.startswith(REPORT_MARK)
    for words in (
        b"too_small",
        b"the origin answered 404",
        b"robots.txt disallows the URL",
        b"&#10003; kept",
        b"1 URL requested more than once",
    ):
        assert words in report
    assert REPORT not in (folder / "manifest.json").read_text() + (folder / "SHA256SUMS").read_text()
    verified = invoke("datasets", "verify", folder)
    assert (verified.code, "nothing differs" in verified.out) == (0, True)
    assert invoke("datasets", "leaks", folder).code == 0


@pytest.mark.parametrize("form", ["files", "imagefolder", "webdataset", "jsonl"])
def test_every_format_has_the_report_beside_it_and_is_replaced_with_it(mixed: Result, invoke: Invoke, form: str) -> None:
    """--overwrite knows the report as ours; without it there is none."""
    dataset = invoke("datasets", "ls", "-q").out.strip()
    assert invoke("datasets", "export", dataset, "-f", form, "-o", "out").code == 0
    assert (Path("out") / REPORT).read_bytes() == (dataset_of(mixed) / REPORT).read_bytes()
    assert invoke("datasets", "verify", "out").code == 0
    assert invoke("datasets", "export", dataset, "-f", form, "-o", "out", "--overwrite", "--no-report").code == 0
    assert not (Path("out") / REPORT).exists()
    assert invoke("datasets", "export", dataset, "-o", "two", "--set", "export.report=false").code == 0
    assert not (Path("two") / REPORT).exists()


def test_a_file_of_somebody_else_with_the_name_of_the_report_stays(mixed: Result, invoke: Invoke) -> None:
    """It is neither replaced by a report nor deleted with a dataset, and verification names it."""
    folder = dataset_of(mixed)
    (folder / REPORT).write_text("<!doctype html><p>mine")
    dataset = invoke("datasets", "ls", "-q").out.strip()
    refused = invoke("datasets", "export", dataset, "-o", folder, "--overwrite")
    assert (refused.code, "not of a pictrawl dataset: report.html" in refused.err) == (2, True)
    viewed = invoke("datasets", "view", folder)
    assert (viewed.code, "no report of pictrawl" in viewed.err, "-o" in viewed.err) == (2, True, True)
    assert "report.html: not of this dataset" in invoke("datasets", "verify", folder).out
    assert (folder / REPORT).read_text() == "<!doctype html><p>mine"


def test_a_build_without_a_report(site: Site, bodies: list[bytes], invoke: Invoke) -> None:
    """--no-report leaves it out, and view makes it later, of the newest dataset, where the build would have."""
    site.add("/a.jpg", reply(body=bodies[0]))
    built = invoke("build", "--urls", site.write_list(Path("list.txt")), "-o", "out", "--no-report", *LOOPBACK)
    assert (built.code, REPORT in built.out) == (0, False)
    assert not (Path("out") / REPORT).exists()
    viewed = invoke("datasets", "view", "--json")
    assert viewed.json["path"] == str(Path("out").resolve() / REPORT)
    assert viewed.json["size_bytes"] == (Path("out") / REPORT).stat().st_size
    shutil.rmtree("out")  # moved away: it goes to the current folder, under its id
    dataset = invoke("datasets", "ls", "-q").out.strip()
    assert invoke("datasets", "view", dataset, "-q").out == f"{Path.cwd() / f'{dataset}-{REPORT}'}\n"


def test_view_says_where_the_report_is_and_opens_it(mixed: Result, invoke: Invoke, opened: list[str]) -> None:
    """In the folder, or where -o says: a file, or a folder."""
    dataset = invoke("datasets", "ls", "-q").out.strip()
    path = dataset_of(mixed).resolve() / REPORT
    before = path.read_bytes()
    path.unlink()
    viewed = invoke("datasets", "view", dataset_of(mixed), "--open")
    assert (viewed.code, viewed.out.splitlines()[0], opened) == (0, str(path), [path.as_uri()])
    assert path.read_bytes() == before
    Path("folder").mkdir()
    for output, expected in (("here.html", "here.html"), ("folder", f"folder/{REPORT}")):
        assert invoke("datasets", "view", dataset[:12], "-o", output, "-q").out == f"{Path(expected).resolve()}\n"
    assert Path("here.html").read_bytes() == before
    assert len(opened) == 1


def test_view_without_a_browser_names_the_file(mixed: Result, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a server: the report is made all the same."""
    monkeypatch.setattr(webbrowser, "_browsers", {})
    monkeypatch.setattr(webbrowser, "_tryorder", [])
    viewed = invoke("datasets", "view", "--open", "-o", "here.html")
    assert (viewed.code, "no browser was found" in viewed.err) == (0, True)


def test_view_of_a_folder_uses_its_rows_where_they_are(mixed: Result, invoke: Invoke) -> None:
    """In its workspace a folder has the report of its dataset; elsewhere one of what it holds, without what was left out."""
    folder = Path("moved")
    dataset_of(mixed).rename(folder)
    with_rows = (folder / REPORT).read_bytes()
    assert invoke("datasets", "view", folder).code == 0
    assert (folder / REPORT).read_bytes() == with_rows
    alone = invoke("datasets", "view", folder, "--workspace", "nowhere", "--json")
    assert alone.code == 0, alone.err
    assert not Path("nowhere").exists()
    report = (folder / REPORT).read_text()
    assert "Read from the folder alone" in report
    assert "no thumbnail" not in report
    assert 'id="reasons"' not in report
    assert str(Path.cwd()) not in report


def test_what_cannot_be_viewed(mixed: Result, invoke: Invoke) -> None:
    """Each error says what to do."""
    Path("empty").mkdir()
    for arguments, code, words in (
        (["empty"], 2, "holds no dataset of pictrawl"),
        (["no such dataset"], 2, "no dataset no such dataset"),
        (["--workspace", "nowhere"], 2, "there is no workspace"),
    ):
        result = invoke("datasets", "view", *arguments)
        assert (result.code, words in result.err) == (code, True), result.err
    assert invoke("db", "upgrade", "--workspace", "new").code == 0
    refused = invoke("datasets", "view", "--workspace", "new")
    assert (refused.code, "has no dataset" in refused.err) == (2, True)


def test_a_report_that_cannot_be_written(mixed: Result, invoke: Invoke) -> None:
    """A place below a file."""
    Path("file").write_text("x")
    refused = invoke("datasets", "view", "-o", "file/report.html")
    assert (refused.code, "cannot be written" in refused.err, "-o" in refused.err) == (2, True, True)


def test_a_report_is_not_read_as_a_dataset(mixed: Result, invoke: Invoke) -> None:
    """A build of a delivered folder takes its images, and not what lies beside them."""
    built = invoke("build", "--folder", dataset_of(mixed), "-o", "again", *OPEN)
    assert built.code == 0, built.err
    assert "3 images kept" in built.out
    assert f"  report     again/{REPORT}\n" in built.out
