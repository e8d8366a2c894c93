"""``pictrawl serve``."""

import json
import signal
import socket
import subprocess
import urllib.request
from pathlib import Path

from app.cli.demo.origin import reply
from tests.cli.conftest import (
    OPEN,
    Invoke,
    Site,
    Spawn,
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
    assert "--detach" in refused.err
    watched = invoke("jobs", "watch", made.out.strip(), "--json")
    assert watched.json["funnel"]["kept"] == 1
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        samples = parsed(answer.read().decode())
    assert samples["pictrawl_downloads_total", ("ok", "none")] == samples["pictrawl_images_validated_total", ("valid",)] == 1
    assert samples["pictrawl_worker_slots", ("validator",)] == samples["pictrawl_queue_slots", ("validator",)] == 4
    assert end(process) == 0


def test_serve_on_a_port_in_use_is_6(invoke: Invoke) -> None:
    """And says which."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = invoke("serve", "--port", port, "--no-worker")
    assert result.code == 6
    assert str(port) in result.err
