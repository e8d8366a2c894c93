"""The commands that look and steer: jobs, images, datasets, explain, logs."""

import contextlib
import io
import json
import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.cli import entry
from app.cli.demo import pictures
from app.cli.demo.origin import reply
from tests.cli.conftest import LOOPBACK, OPEN, Invoke, Result, Site, serving


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """One origin for all tests here."""
    with serving() as started:
        yield started


@pytest.fixture(scope="module")
def original(site: Site, bodies: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A small dataset with one of everything: kept, throttled, gone, moved, tiny, double, blocked."""
    site.add("/kept.jpg", reply(body=bodies[0]))
    site.add("/busy.jpg", reply(429, headers={"Retry-After": "1"}), reply(body=bodies[1]))
    site.add("/gone.jpg")
    site.origin.script("/new.jpg", reply(body=bodies[2]))
    site.add("/moved.jpg", reply(302, headers={"Location": "/new.jpg"}))
    site.add("/tiny.jpg", reply(body=pictures.tiny(1)))
    site.add("/double.jpg", reply(body=bodies[0]))
    site.add("/blocked.jpg", reply(302, headers={"Location": "http://10.0.0.1/x.jpg"}))
    site.origin.script("/robots.txt", reply(body=b"# be kind\nUser-agent: *\nDisallow: /private", kind="text/plain"))
    site.add("/private.jpg", reply(body=bodies[0]))
    site.add("/noai.jpg", reply(body=bodies[0], headers={"X-Robots-Tag": "noai"}))
    folder = tmp_path_factory.mktemp("built")
    path = site.write_list(folder / "list.txt")
    path.write_text("not a url\n" + path.read_text())
    out = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        code = entry.run(["build", "--urls", str(path), "--json", *LOOPBACK])
    assert code == 0
    return folder, Result(code, out.getvalue(), "")


@pytest.fixture
def built(original: tuple[Path, Result]) -> Result:
    """A copy of it for this test, in the current folder."""
    folder, result = original
    shutil.copytree(folder, Path.cwd(), dirs_exist_ok=True)
    return result


def image_id(invoke: Invoke, path: str) -> int:
    """The id of the image whose URL ends so."""
    items = invoke("images", "ls", "--json").json["items"]
    return int(next(image["id"] for image in items if image["url"].endswith(path)))


def test_images_are_listed_by_state_reason_and_as_a_list(built: Result, invoke: Invoke) -> None:
    """Filters take the words of the contract; urls can be the next build's list; pages go on with a cursor."""
    assert invoke("images", "ls", "--reason", "http_404", "-f", "urls").out.endswith("/gone.jpg\n")
    assert "too_small" in invoke("images", "ls", "--state", "rejected").out
    first = invoke("images", "ls", "-n", 2)
    assert "more: add --cursor" in first.err
    second = invoke("images", "ls", "-n", 2, "--cursor", first.err.split()[-1], "-q")
    assert len(second.out.split()) == 2
    assert "no images" in invoke("images", "ls", "--label", "none").err
    assert invoke("images", "ls", "--state", "lost").code == 2
    assert invoke("images", "ls", "--cursor", "???").code == 2


def test_explain_tells_attempts_with_wait_and_cause(built: Result, invoke: Invoke, site: Site) -> None:
    """A throttled URL: both requests, the wait and that the origin asked for it."""
    story = invoke("explain", f"{site.origin.base}/busy.jpg")
    assert story.code == 0
    assert "429 RateLimitError" in story.out
    assert "waited 1.0s (as Retry-After asked)" in story.out
    items = invoke("explain", f"{site.origin.base}/busy.jpg", "--json").json["items"]
    assert [attempt["status"] for attempt in items[0]["attempts"]] == [429, 200]


def test_explain_tells_checks_duplicates_and_redirects(built: Result, invoke: Invoke, site: Site) -> None:
    """Each check with value and limit; the original of a duplicate; where a redirect led; what was never asked for."""
    tiny = invoke("explain", f"{site.origin.base}/tiny.jpg").out
    assert "rejected: too_small" in tiny
    double = image_id(invoke, "/double.jpg")
    original = image_id(invoke, "/kept.jpg")
    told = invoke("images", "show", max(double, original)).out
    assert f"duplicate  of image {min(double, original)}" in told
    assert re.search(r"sharpness +- +at least 20 +not asked for", told)
    assert "at least 64" in told
    assert "not asked for" in told
    assert "redirect" in invoke("explain", f"{site.origin.base}/moved.jpg").out
    assert "gave up" in invoke("explain", f"{site.origin.base}/gone.jpg").out
    sha256 = invoke("images", "show", original, "--json").json["sha256"]
    (item,) = invoke("explain", sha256, "--json").json["items"]
    assert (item["id"], [other["id"] for other in item["also"]]) == (max(double, original), [min(double, original)])


def test_explain_tells_what_a_refusal_rests_on(built: Result, invoke: Invoke, site: Site) -> None:
    """Which rule of robots.txt, which header, which address; the same in images show and as data."""
    base = site.origin.base
    rule = f"{base}/robots.txt line 3, user-agent *: Disallow: /private"
    for name, evidence, words in (
        ("private", rule, f"evidence   the rule at {rule}"),
        ("noai", "x-robots-tag: noai", "evidence   the reply's header x-robots-tag: noai"),
        ("blocked", "10.0.0.1", "evidence   10.0.0.1, which may not be dialled"),
    ):
        assert words in invoke("explain", f"{base}/{name}.jpg").out
        shown = image_id(invoke, f"/{name}.jpg")
        assert words in invoke("images", "show", shown).out
        assert invoke("images", "show", shown, "--json").json["evidence"] == evidence
    assert "evidence" not in invoke("explain", f"{base}/gone.jpg").out


def test_explain_refuses_what_nobody_asked_for(built: Result, invoke: Invoke) -> None:
    """Unknown URLs, ids and nonsense are usage errors."""
    for what in ("https://example.org/none.jpg", "99999", "job_none", "nonsense", "f" * 64):
        assert invoke("explain", what).code == 2


def test_explain_of_a_job_tells_funnel_searches_and_where_it_is(built: Result, invoke: Invoke) -> None:
    """In words and as data."""
    job_id = built.json["job_id"]
    told = invoke("explain", job_id).out
    assert "not kept" in told
    assert "1 URL retried, 1 recovered (100 %)" in told
    assert "datasets/list" in told
    assert "list.txt" in told
    data = invoke("explain", job_id, "--json").json
    assert data["funnel"] == built.json["funnel"]
    assert data["bad_lines"] == 1
    assert data["exports"][0]["status"] == "ready"
    assert invoke("jobs", "show", job_id, "-q").out == "succeeded\n"


def test_jobs_are_listed_and_watched(built: Result, invoke: Invoke) -> None:
    """ls by state; watching a job that has ended prints its summary at once."""
    job_id = built.json["job_id"]
    assert job_id in invoke("jobs", "ls", "--state", "succeeded").out
    assert invoke("jobs", "ls", "--state", "failed").err == "no jobs\n"
    assert invoke("jobs", "ls", "--state", "nope").code == 2
    watched = invoke("jobs", "watch", job_id)
    assert watched.code == 0
    assert "kept in" in watched.out


def test_logs_show_a_jobs_whole_life(built: Result, invoke: Invoke) -> None:
    """Submission to export; by level, by event, as JSON, followed to its end."""
    job_id = built.json["job_id"]
    lines = invoke("jobs", "logs", job_id).out
    assert "job.accepted" in lines
    assert "export.verified" in lines
    bad = invoke("jobs", "logs", job_id, "--event", "list.bad_line", "--json").json["items"]
    assert [event["data"]["line"] for event in bad] == [1]
    assert invoke("jobs", "logs", job_id, "--level", "error").out == ""
    followed = invoke("jobs", "logs", job_id, "--follow", "--json").out.splitlines()
    assert len(followed) == len(lines.splitlines())
    assert all(json.loads(line)["job_id"] == job_id for line in followed)
    assert invoke("jobs", "logs", job_id, "--level", "loud").code == 2
    assert invoke("jobs", "logs", "job_none").code == 2


def test_jobs_are_steered(built: Result, invoke: Invoke, site: Site) -> None:
    """Pause, resume and cancel are wishes on the row; a job that has ended takes none."""
    made = invoke("build", "--urls", "list.txt", "-o", "more", "--detach", "-q", *LOOPBACK).out.strip()
    paused = invoke("jobs", "pause", made, "--json").json
    assert (paused["status"], paused["desired_state"]) == ("paused", "paused")
    assert invoke("jobs", "resume", made).code == 0
    assert invoke("jobs", "pause", made).code == 0
    assert invoke("resume", made, *OPEN).code == 0
    assert Path("more/manifest.json").is_file()
    ended = invoke("jobs", "cancel", made)
    assert ended.code == 2
    assert "has ended" in ended.err


def test_watching_ends_when_the_job_is_cancelled(built: Result, invoke: Invoke) -> None:
    """Another process cancels; nothing was kept."""
    made = invoke("build", "--urls", "list.txt", "-o", "more", "--detach", "-q", *LOOPBACK).out.strip()
    from app.settings import load_settings

    settings = load_settings()

    def cancel() -> None:
        import asyncio

        from app.db import Database, lifecycle
        from app.domain import JobState

        async def steer() -> None:
            db = Database(settings.database_url)
            try:
                await lifecycle.steer(db, made, JobState.CANCELLED)
            finally:
                await db.close()

        time.sleep(1.0)
        asyncio.run(steer())

    thread = threading.Thread(target=cancel)
    thread.start()
    watched = invoke("jobs", "watch", made, "--json")
    thread.join()
    assert watched.json["job_id"] == made


def test_datasets_are_shown_exported_and_verified(built: Result, invoke: Invoke) -> None:
    """Another format from the same images; read back from the store and from the folder."""
    dataset = invoke("datasets", "ls", "-q").out.strip()
    assert "list" in invoke("datasets", "ls").out
    shown = invoke("datasets", "show", dataset)
    assert "3 kept of 9 candidates" in shown.out
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


def test_verify_finds_damage_in_a_folder(built: Result, invoke: Invoke) -> None:
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


def test_verify_finds_damage_in_the_store(built: Result, invoke: Invoke) -> None:
    """An object that is gone: exit code 7."""
    sha256 = invoke("images", "ls", "--state", "kept", "--json").json["items"][0]["sha256"]
    Path(f".pictrawl/store/blobs/{sha256[:2]}/{sha256[2:4]}/{sha256}").unlink()
    found = invoke("datasets", "verify", invoke("datasets", "ls", "-q").out.strip(), "--json")
    assert found.code == 7
    assert any("missing" in problem for problem in found.json["problems"])


def test_looking_makes_no_workspace(invoke: Invoke) -> None:
    """Commands that only look refuse where there is nothing, and leave nothing behind."""
    looks = ["jobs ls", "images ls", "datasets ls", "explain job_x", "db current", "keys ls"]
    for command in [*looks, "datasets verify ds_x", "datasets export ds_x -o x"]:
        result = invoke(*command.split())
        assert result.code == 2, command
        assert "no workspace" in result.err
    assert list(Path.cwd().iterdir()) == []
