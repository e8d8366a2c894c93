"""``pictrawl serve``."""

import asyncio
import json
import signal
import socket
import subprocess
import urllib.request
from pathlib import Path

import pytest

from app.cli.demo import pictures
from app.cli.demo.origin import drip, reply
from app.cli.follow import follow_job
from app.cli.serve import _standing_by
from app.cli.session import Interrupts
from app.jobs import settle, submit
from app.resources import open_resources
from app.settings import Settings
from app.spec import JobRequest
from app.workspace import Holder, Workspace
from tests.cli.conftest import (
    OPEN,
    PICTURES,
    SLOWLY,
    Hold,
    Invoke,
    Site,
    Spawn,
    wait_for_hits,
)
from tests.figures import parsed


def end(process: "subprocess.Popen[str]") -> int:
    """Ask it to go; return its exit code."""
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    return process.returncode


def test_serve_answers_works_and_goes_on_sigterm(site: Site, bodies: list[bytes], spawn: Spawn, invoke: Invoke) -> None:
    """One JSON document when it listens; a detached build is carried out by it; a second worker in the workspace is refused."""
    site.add("/a.jpg", reply(body=bodies[0]))
    process = spawn("serve", "--port", "0", "--json", *OPEN)
    assert process.stdout is not None
    url = json.loads(process.stdout.readline())["url"]
    with urllib.request.urlopen(f"{url}/v1/jobs", timeout=10) as answer:
        assert answer.status == 200
    made = invoke("build", "--urls", site.write_list(Path("list.txt")), "--detach", "-q")
    assert made.err == ""
    refused = invoke("worker", "all")
    assert refused.code == 5
    assert f"in use by `pictrawl serve` (process {process.pid})" in refused.err
    watched = invoke("jobs", "watch", made.out.strip(), "--json")
    assert watched.json["funnel"]["kept"] == 1
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        samples = parsed(answer.read().decode())
    assert samples["pictrawl_downloads_total", ("ok", "none")] == samples["pictrawl_images_validated_total", ("valid",)] == 1
    assert samples["pictrawl_worker_slots", ("validator",)] == samples["pictrawl_queue_slots", ("validator",)] == 4
    assert end(process) == 0


def test_commands_work_while_serve_does_and_after_it_was_killed(gallery: Site, bodies: list[bytes], spawn: Spawn, invoke: Invoke) -> None:
    """The server does the work of build, export, verify and resume; a build that it leaves in the middle is finished by its command."""
    few = [gallery.origin.script(f"/few/{at}.jpg", reply(body=bodies[at])) for at in range(3)]
    Path("few.txt").write_text("\n".join(few))
    server = spawn("serve", "--port", "0", "--json", *SLOWLY[:4], "--set", "fetch.per_host=4", "--set", "jobs.chunk_size=10")
    assert server.stdout is not None
    server.stdout.readline()
    built = invoke("build", "--urls", "few.txt", "--json", *OPEN)
    assert (built.code, built.json["funnel"]["kept"]) == (0, 3), built.err
    assert Path("datasets/few/manifest.json").is_file()
    exported = invoke("datasets", "export", "few", "-o", "packed", "-f", "webdataset", "--json")
    assert (exported.code, exported.json["samples"]) == (0, 3), exported.err
    assert invoke("datasets", "verify", "few").code == 0
    job_id = invoke("build", "--urls", "few.txt", "-o", "later", "--detach", "-q").out.strip()
    assert invoke("resume", job_id).code == 0
    assert Path("later/manifest.json").is_file()
    assert invoke("workspace", "prune", "--yes").code == 0
    gallery.add("/late.jpg", drip(bodies[0], seconds=300), reply(body=pictures.encoded(pictures.photograph(PICTURES))))
    follower = spawn("build", "--urls", gallery.write_list(Path("list.txt")), "--json", *SLOWLY)
    wait_for_hits(gallery, 1, "/late.jpg")
    server.kill()
    server.communicate()
    out, err = follower.communicate(timeout=120)
    assert follower.returncode == 0, err
    assert "this command continues the job" in err
    assert json.loads(out)["funnel"]["kept"] == PICTURES + 1
    assert max(gallery.hits(f"/{at:03d}.jpg") for at in range(PICTURES)) <= 2


def test_serve_on_a_port_in_use_is_6(invoke: Invoke) -> None:
    """And says which."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = invoke("serve", "--port", port, "--no-worker")
    assert result.code == 6
    assert str(port) in result.err


@pytest.mark.parametrize("command", ["serve", "worker"])
@pytest.mark.parametrize(("proxy", "said"), [("http://ann:hunter2@127.0.0.1:1", True), ("socks5://127.0.0.1:1", False)])
def test_a_service_says_at_its_start_what_the_address_guard_does_not_see(
    invoke: Invoke, hold: Hold, command: str, proxy: str, said: bool
) -> None:
    """As a build does, in its log; without the password of the proxy. A server without workers requests nothing."""
    hold("build")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = ("--port", taken.getsockname()[1]) if command == "serve" else ()
        logged = invoke(command, *port, "--set", f"fetch.proxy={proxy}").err
        assert ("the proxy resolves the names" in logged) == said
        assert "hunter2" not in logged
        if command == "serve":
            assert "the proxy resolves the names" not in invoke(command, *port, "--no-worker", "--set", f"fetch.proxy={proxy}").err


async def test_serve_works_once_the_process_that_holds_the_workspace_has_ended(settings: Settings) -> None:
    """Until then that process hears of its jobs; a job that it did not end is ended by the server."""
    holder, mine = (Workspace(settings.workspace.path, Holder(at, "build", job_ids=ids)) for at, ids in ((1, frozenset()), (2, None)))
    assert holder.take()
    heard: list[str] = []
    stop = asyncio.Event()
    async with open_resources(settings, workspace=mine) as resources:
        with holder.listen(heard.append):
            async with _standing_by(resources, mine, stop):
                url_list = await settle.store_urls(resources, ["http://127.0.0.1:1/a.jpg"])
                spec = settle.resolve_spec(resources, JobRequest(urls=["x"]), url_list=url_list)
                job_id = (await submit.submit_build(resources, spec, name="a")).job_id
                async with asyncio.timeout(60):
                    while not heard:
                        await resources.db.now()
                assert (heard, mine.is_held) == ([job_id], False)
                holder.release()
                with Interrupts() as interrupts:
                    ended = await follow_job(resources.db, job_id, lambda _: None, interrupts)
    assert (ended.job.state, stop.is_set()) == ("failed", True)
    mine.release()


async def test_serve_in_standby_ends_with_the_server(settings: Settings) -> None:
    """Without ever having held the workspace."""
    holder, mine = (Workspace(settings.workspace.path, Holder(at, "build", job_ids=frozenset())) for at in (1, 2))
    assert holder.take()
    stop = asyncio.Event()
    async with open_resources(settings, workspace=mine) as resources, _standing_by(resources, mine, stop):
        stop.set()
    assert not mine.is_held
    holder.release()
