"""``--ui``: the pages for the time of one command; and the line that opens the page of a job where a server runs."""

import errno
import json
import re
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.cli.demo.origin import reply
from app.cli.failures import UsageError
from app.cli.options import parse_ui
from app.cli.pages import cannot_listen, origin_of
from app.db import api_keys
from app.workspace import Holder, Workspace
from tests.cli.conftest import LOOPBACK, OPEN, Hold, Invoke, Site, Spawn, in_database, wait_for_hits

URL = "http://127.0.0.1:8099"


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def look(url: str) -> tuple[int, str]:
    """Status and text of a page."""
    request = urllib.request.Request(url, headers={"Accept": "text/html"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status), str(answer.read(), "utf-8")
    except urllib.error.HTTPError as error:
        return error.code, str(error.read(), "utf-8")


@contextmanager
def visitor(site: Site, url: str) -> Iterator[list[tuple[int, str]]]:
    """Look at a page once the build has sent its first requests."""
    seen: list[tuple[int, str]] = []

    def visit() -> None:
        wait_for_hits(site, 1)
        seen.append(look(url))

    thread = threading.Thread(target=visit)
    thread.start()
    yield seen
    thread.join(60)


def test_a_build_shows_its_pages_while_it_runs(slow_gallery: Site, invoke: Invoke) -> None:
    """The line leads to the job; the pages end with the command, which says so; the document has no dead address."""
    port = free_port()
    arguments = ("build", "--urls", slow_gallery.write_list(Path("list.txt")), *LOOPBACK[:4], "--per-host", "4", "--json")
    with visitor(slow_gallery, f"http://127.0.0.1:{port}/") as seen:
        done = invoke(*arguments, "--ui", "--port", port)
    assert done.code == 0
    ((status, page),) = seen
    assert status == 200
    assert done.json["job_id"] in page
    assert f"pages on http://127.0.0.1:{port}, as long as this command runs" in done.err
    assert f"  page       http://127.0.0.1:{port}/jobs/{done.json['job_id']}" in done.err
    assert "have ended with this command" in done.err
    assert done.json["url"] is None
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5)
    assert Workspace(Path(".pictrawl"), Holder(1, "")).find_url() is None


def test_with_a_key_in_force_the_pages_ask_for_it(slow_gallery: Site, invoke: Invoke) -> None:
    """As those of `serve`."""
    made = api_keys.make_key()
    in_database(lambda db: api_keys.add_key(db, key_id=made.key_id, user_id="ann", name="test", digest=made.digest))
    port = free_port()
    arguments = ("build", "--urls", slow_gallery.write_list(Path("list.txt")), *LOOPBACK[:4], "--per-host", "4", "-q")
    with visitor(slow_gallery, f"http://127.0.0.1:{port}/") as seen:
        assert invoke(*arguments, "--ui", "--port", port).code == 0
    assert "<h1>Sign in</h1>" in seen[0][1]


def test_a_port_that_is_taken_is_refused_before_the_job(site: Site, bodies: list[bytes], invoke: Invoke) -> None:
    site.add("/a.jpg", reply(body=bodies[0]))
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen()
        port = bound.getsockname()[1]
        done = invoke("build", "--urls", site.write_list(Path("list.txt")), *LOOPBACK, "--ui", "--port", port)
    assert done.code == 6
    assert f"cannot listen on 127.0.0.1:{port}" in done.err
    assert "--port 0 picks a free one" in done.err
    assert invoke("jobs", "ls", "--json").json["items"] == []


def test_resume_shows_the_pages_too(site: Site, bodies: list[bytes], invoke: Invoke) -> None:
    site.add("/a.jpg", reply(body=bodies[0]))
    made = invoke("build", "--urls", site.write_list(Path("list.txt")), "--detach", "-q").out.strip()
    done = invoke("resume", made, "--ui", "--json", *OPEN)
    assert done.code == 0
    assert re.search(rf"  page       http://127\.0\.0\.1:\d+/jobs/{made}\n", done.err)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--port", "8080"), "--port 8080 has no effect without --ui"),
        (("--ui", "--port", "65536"), "--port 65536 is no port"),
        (("--ui", "--port", "-1"), "--port -1 is no port"),
        (("--ui", "--detach"), "--ui has no effect with --detach"),
        (("--ui", "--dry-run"), "--ui has no effect with --dry-run"),
    ],
)
def test_options_without_an_effect_are_refused(arguments: tuple[str, ...], words: str, invoke: Invoke) -> None:
    Path("list.txt").write_text("http://127.0.0.1/a.jpg\n")
    done = invoke("build", "--urls", "list.txt", *arguments)
    assert done.code == 2
    assert words in done.err
    assert not Path(".pictrawl").exists()


def test_the_port_of_the_pages() -> None:
    """None wanted, a free one, a certain one."""
    assert (parse_ui(False, None), parse_ui(True, None), parse_ui(True, 8080)) == (None, 0, 8080)
    with pytest.raises(UsageError):
        parse_ui(False, 0)


def test_a_detached_build_names_its_page(invoke: Invoke, hold: Hold) -> None:
    """In text and in the document, while a server shows the workspace; null otherwise."""
    Path("list.txt").write_text("http://127.0.0.1/a.jpg\n")
    made = invoke("build", "--urls", "list.txt", "--detach", "--json").json
    assert made["url"] is None
    server = hold("serve")
    with server.serving(URL):
        told = invoke("build", "--urls", "list.txt", "--detach", "--json").json
        assert told["url"] == f"{URL}/jobs/{told['job_id']}"
        text = invoke("build", "--urls", "list.txt", "--detach").out
    assert re.search(rf"  page       {URL}/jobs/job_[0-9a-f]{{32}}\n", text)


def test_a_build_and_its_watcher_name_the_page_of_the_server(site: Site, bodies: list[bytes], invoke: Invoke) -> None:
    """The server may only show the workspace, and work on nothing, as `serve --no-worker` does."""
    site.add("/a.jpg", reply(body=bodies[0]))
    with Workspace(Path(".pictrawl"), Holder(4711, "serve")).serving(URL):  # the folder is not there yet: nothing is recorded
        done = invoke("build", "--urls", site.write_list(Path("list.txt")), "--json", *LOOPBACK)
    assert done.json["url"] is None
    with Workspace(Path(".pictrawl"), Holder(4711, "serve")).serving(URL):
        again = invoke("build", "--urls", "list.txt", "-o", "other", "--json", *LOOPBACK)
        watched = invoke("jobs", "watch", again.json["job_id"], "--json")
    page = f"{URL}/jobs/{again.json['job_id']}"
    assert again.json["url"] == watched.json["url"] == page
    assert f"  page       {page}\n" in again.err
    assert f"  page       {page}\n" in watched.err


def test_serve_records_where_it_is(spawn: Spawn) -> None:
    """While it lives, however it ends."""
    process = spawn("serve", "--port", "0", "--json", "--no-worker")
    assert process.stdout is not None
    url = json.loads(process.stdout.readline())["url"]
    workspace = Workspace(Path(".pictrawl"), Holder(1, ""))
    assert workspace.find_url() == url
    process.kill()
    process.communicate(timeout=30)
    assert url in Path(".pictrawl/server").read_text()
    assert workspace.find_url() is None


def test_urls_and_errors_of_addresses() -> None:
    assert origin_of("127.0.0.1", 80) == "http://127.0.0.1:80"
    assert origin_of("::1", 8080) == "http://[::1]:8080"
    assert cannot_listen("a", 1, OSError(errno.EIO, "broken")) is None
