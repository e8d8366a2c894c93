"""A job with one of everything, and what each of its images has to say for itself; its log by URL, host and chunk."""

import contextlib
import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.cli import entry
from app.cli.demo import pictures
from app.cli.demo.origin import reply
from tests.cli.conftest import LOOPBACK, Invoke, Site, serving

FORGED = "CC-BY-4.0\x1b[2J"
ROBOTS = b"User-agent: *\nDisallow: /private"


@dataclass(frozen=True)
class Built:
    """A job that has ended, in the current folder."""

    job_id: str
    base: str


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """One origin for all tests here."""
    with serving() as started:
        yield started


@pytest.fixture(scope="module")
def original(site: Site, bodies: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Run the job once."""
    site.add("/kept.jpg?size=large", reply(body=bodies[0]))
    site.add("/busy.jpg", reply(503), reply(body=bodies[1]))
    site.add("/asks.jpg", reply(429, headers={"Retry-After": "1"}), reply(body=bodies[2]))
    site.add("/gone.jpg")
    site.add("/private.jpg", reply(body=bodies[3]))
    site.add("/noai.jpg", reply(body=bodies[3], headers={"X-Robots-Tag": "noai"}))
    site.add("/double.jpg", reply(body=bodies[0]))
    site.add("/tiny.jpg", reply(body=pictures.tiny(1)))
    site.add("/broken.jpg", reply(body=bodies[4][:2000]))
    site.origin.script("/robots.txt", reply(body=ROBOTS, kind="text/plain"))
    folder = tmp_path_factory.mktemp("built")
    (folder / "list.jsonl").write_text("\n".join(json.dumps({"url": url, "license": FORGED}) for url in site.urls))
    out = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        assert entry.run(["build", "--urls", "list.jsonl", "--json", *LOOPBACK]) == 0
    return folder, json.loads(out.getvalue())["job_id"]


@pytest.fixture
def built(original: tuple[Path, str], site: Site) -> Built:
    """A copy of it for this test."""
    shutil.copytree(original[0], Path.cwd(), dirs_exist_ok=True)
    return Built(original[1], site.origin.base)


Told = tuple[str, dict[str, Any]]


def told(invoke: Invoke, what: object) -> Told:
    """The story in words and as data."""
    said = invoke("explain", what)
    assert said.code == 0, said.err
    assert all(line.isprintable() for line in said.out.splitlines())
    (item,) = invoke("explain", what, "--json").json["items"]
    return said.out, item


def test_a_kept_image_tells_its_whole_way(built: Built, invoke: Invoke) -> None:
    """Found, licence, robots.txt, request, headers, bytes, every check, label, split and export; no control character of a list's."""
    words, data = told(invoke, f"{built.base}/kept.jpg")
    assert "kept: it is in the dataset" in words
    assert "found      by list list.jsonl, line 1" in words
    assert "licence    CC-BY-4.0" in words
    assert f"robots.txt allows it, {built.base}/robots.txt" in words
    assert "opt-out    none in the reply's headers" in words
    assert "label      none, split train" in words
    (export,) = data["exports"]
    assert export in words
    assert (data["verdict"], data["level"], data["keyword"]) == ("kept: it is in the dataset", "standard", "list.jsonl")
    outcomes = {check["outcome"] for check in data["checks"]}
    assert outcomes == {"passed", "not_asked"}
    assert [line["topic"] for line in data["lines"]][:2] == ["found", "part of"]


@pytest.mark.parametrize(
    ("name", "status", "error", "cause"),
    [("busy", 503, "ServiceUnavailableError", "backoff"), ("asks", 429, "RateLimitError", "retry_after")],
)
def test_a_retried_image_tells_each_attempt(built: Built, invoke: Invoke, name: str, status: int, error: str, cause: str) -> None:
    """Status, wait, and whether the host asked for it."""
    words, data = told(invoke, f"{built.base}/{name}.jpg")
    first, second = data["attempts"]
    assert (first["status"], first["error"], first["wait_cause"], second["status"]) == (status, error, cause, 200)
    assert first["wait_s"] >= 1
    assert f"{status} {error} in " in words
    assert ("(as Retry-After asked)" if cause == "retry_after" else "(backoff)") in words


def test_images_that_never_came_tell_why(built: Built, invoke: Invoke) -> None:
    """Gone, forbidden by robots.txt, refused for training: each with what decided."""
    words, data = told(invoke, f"{built.base}/gone.jpg")
    assert (data["reason"], data["attempts"][0]["status"]) == ("http_404", 404)
    assert "404 NotFoundError in " in words
    assert "checks     none reached: there are no bytes" in words
    words, data = told(invoke, f"{built.base}/private.jpg")
    assert (data["robots"], data["robots_txt"], data["attempts"]) == ("disallowed", f"{built.base}/robots.txt", [])
    assert "robots.txt disallows it" in words
    assert "line 2, user-agent *: Disallow: /private" in words
    assert "requests   none: it ended before any was sent" in words
    words, data = told(invoke, f"{built.base}/noai.jpg")
    assert (data["reason"], data["opt_out"]) == ("opt_out", "refused")
    assert "opt-out    refused by the reply's headers" in words


def test_images_that_were_judged_tell_which_check_failed(built: Built, invoke: Invoke) -> None:
    """With value and limit, and what was not reached behind it."""
    words, data = told(invoke, f"{built.base}/tiny.jpg")
    failed = [check for check in data["checks"] if check["outcome"] == "failed"]
    assert [(check["name"], check["passed"], check["limit"]) for check in failed] == [("width", False, "at least 64")]
    assert "not reached" in words
    _, data = told(invoke, f"{built.base}/broken.jpg")
    assert data["reason"] == "corrupt"
    assert any(check["outcome"] == "failed" for check in data["checks"])


def test_a_duplicate_tells_of_which_and_why_the_other_was_kept(built: Built, invoke: Invoke) -> None:
    """The same bytes; who came first."""
    words, data = told(invoke, f"{built.base}/double.jpg")
    _, original = told(invoke, f"{built.base}/kept.jpg?size=large")
    assert data["duplicate"] == {"of": original["id"], "url": original["url"], "is_exact": True, "distance": 0, "limit": 6}
    assert "the same bytes; alike in pixels and bytes, the other was found first" in words
    words, data = told(invoke, original["sha256"])
    assert [other["id"] for other in data["also"]] == [original["id"]]
    assert f"also       image {original['id']} of dataset" in words


def test_the_job_tells_where_its_time_went(built: Built, invoke: Invoke) -> None:
    """Kinds of work, hosts with their waits, failures, retries, and what to type next."""
    words = invoke("explain", built.job_id).out
    for part in ("where its time went", "stage      plan", "127.0.0.1", "backoff", "Retry-After", "2 URLs retried: 2 came, 0 failed"):
        assert part in words
    assert f"look at    pictrawl jobs logs {built.job_id} --level warning" in words
    time = invoke("explain", built.job_id, "--json").json["time"]
    assert time["hosts"][0]["retry_after_s"] >= 1
    assert time["failures"]["service_unavailable"] == 1
    assert (time["exhausted"], time["waits_for"], time["troubled"]) == (0, [], [])


def test_logs_are_filtered_by_url_host_chunk_level_and_event(built: Built, invoke: Invoke) -> None:
    """Alone and together; as many as asked for, and on from there."""
    logs = ("jobs", "logs", built.job_id)
    (retry,) = invoke(*logs, "--url", f"{built.base}/busy.jpg", "--json").json["items"]
    assert (retry["event"], retry["level"], retry["data"]["status"]) == ("download.retry", "WARNING", 503)
    host = built.base.partition("//")[2]
    assert len(invoke(*logs, "--host", host, "--level", "warning").out.splitlines()) == 2
    assert len(invoke(*logs, "--host", "127.0.0.1", "--event", "download.").out.splitlines()) == 2
    chunk = retry["data"]["chunk_id"]
    assert "chunk.validated" in invoke(*logs, "--chunk", chunk).out
    first = invoke(*logs, "--level", "warning", "-n", 1)
    assert first.err.startswith("more: add --cursor ")
    assert invoke(*logs, "--level", "warning", "-n", 1, "--cursor", first.err.split()[-1]).err == ""
    page = invoke(*logs, "-n", 2, "--json").json
    assert page["next_cursor"] == str(page["items"][-1]["id"])
    assert invoke(*logs, "--url", "http://none.test/").err == "no lines\n"
    assert len(invoke(*logs, "--follow", "--json", "-n", 3).out.splitlines()) == 3


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--level", "loud"),
        ("--event", "Not an event"),
        ("--url", "ftp://h/x"),
        ("--host", "http://h"),
        ("--chunk", "chunk_none"),
        ("--cursor", "12x"),
        ("--cursor", str(2**63)),
    ],
)
def test_a_filter_that_can_match_nothing_is_refused(built: Built, invoke: Invoke, option: str, value: str) -> None:
    """With the option, the value, and a way out."""
    refused = invoke("jobs", "logs", built.job_id, option, value)
    assert refused.code == 2
    assert f"error: {option} '{value}'" in refused.err
    assert "hint: " in refused.err
