"""``pictrawl resume`` and ``pictrawl retry``, after Ctrl-C, SIGTERM and SIGKILL in the middle of a build."""

import json
import signal
from collections import Counter
from pathlib import Path

import pytest

from app.cli.demo.origin import drip
from tests.cli.conftest import (
    LOOPBACK,
    OPEN,
    PICTURES,
    SLOWLY,
    Invoke,
    Site,
    Spawn,
    wait_for_hits,
)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_build_is_saved_and_resumed(
    slow_gallery: Site, spawn: Spawn, invoke: Invoke, number: signal.Signals, code: int
) -> None:
    """The first signal drains, says how to go on and exits 128 + n; resume requests no URL twice and delivers everything."""
    process = spawn("build", "--urls", slow_gallery.write_list(Path("list.txt")), *SLOWLY)
    wait_for_hits(slow_gallery, 30)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "interrupted:" in out
    assert "pictrawl resume job_" in out
    assert "stopping" in err
    assert not Path("datasets").exists()
    done = invoke("resume", "--json", *OPEN)
    assert done.code == 0, done.err
    assert done.json["funnel"]["kept"] == PICTURES
    assert {slow_gallery.hits(f"/{at:03d}.jpg") for at in range(PICTURES)} == {1}


def test_killed_build_is_resumed_without_asking_twice(slow_gallery: Site, spawn: Spawn, invoke: Invoke) -> None:
    """SIGKILL half-way: resume waits for no lease, every image is there once, and no URL with an outcome is requested again."""
    leases = ["--set", "jobs.lease_s=900"]
    process = spawn("build", "--urls", slow_gallery.write_list(Path("list.txt")), "--json", *SLOWLY, *leases)
    wait_for_hits(slow_gallery, 60)
    process.kill()
    process.communicate()
    known = invoke("images", "ls", "-n", 200, "--json").json["items"]
    settled = [image["url"].removeprefix(slow_gallery.origin.base) for image in known if image["status"] != "pending"]
    assert settled
    before = Counter(slow_gallery.origin.hits)
    resumed = spawn("resume", "--json", *OPEN, *leases)
    out, err = resumed.communicate(timeout=300)  # waiting for the dead process's leases would take longer
    assert resumed.returncode == 0, err
    done = json.loads(out)
    assert done["funnel"]["kept"] == PICTURES
    assert all(slow_gallery.hits(path) == before[path] for path in settled)
    assert max(slow_gallery.hits(f"/{at:03d}.jpg") for at in range(PICTURES)) <= 2
    names = [path.name for path in Path("datasets/list").rglob("*.jpg")]
    assert len(names) == len(set(names)) == PICTURES
    again = invoke("resume")
    assert again.code == 2
    assert "nothing to resume" in again.err
    assert invoke("resume", done["job_id"]).code == 0


def test_killed_before_delivery_is_delivered_by_resume(site: Site, bodies: list[bytes], invoke: Invoke) -> None:
    """A job that ended and whose dataset did not reach its folder is what resume takes up."""
    site.add("/a.jpg", drip(bodies[0], seconds=0.0))
    built = invoke("build", "--urls", site.write_list(Path("list.txt")), "--json", *LOOPBACK)
    folder = Path(built.json["exports"][0]["path"])
    folder.rename("elsewhere")
    done = invoke("resume", "--json")
    assert done.code == 0
    assert done.json["job_id"] == built.json["job_id"]
    assert folder.is_dir()
    moved = invoke("resume", built.json["job_id"], "-o", "other")
    assert moved.code == 0
    assert Path("other/manifest.json").is_file()
    assert site.hits("/a.jpg") == 1


def test_resume_and_retry_refuse_what_cannot_go_on(gallery: Site, invoke: Invoke) -> None:
    """No workspace, no such job, a cancelled job, an unknown reason, nothing that failed."""
    assert invoke("resume").code == 2
    assert not Path(".pictrawl").exists()
    made = invoke("build", "--urls", gallery.write_list(Path("list.txt")), "-n", 2, "--detach", "--json").json["job_id"]
    assert invoke("resume", "job_none").code == 2
    assert invoke("retry", made).code == 2
    assert "did you mean robots" in invoke("retry", made, "--reason", "robot").err
    assert invoke("jobs", "cancel", made).code == 0
    cancelled = invoke("resume", made)
    assert cancelled.code == 2
    assert "cancelled" in cancelled.err


def test_retry_fetches_again_what_failed_and_renews_the_dataset(site: Site, bodies: list[bytes], invoke: Invoke) -> None:
    """What failed is fetched on the second try; what was fetched is not requested again."""
    from app.cli.demo.origin import reply

    site.add("/a.jpg", reply(body=bodies[0]))
    site.add("/b.jpg", reply(404), reply(body=bodies[1]))
    built = invoke("build", "--urls", site.write_list(Path("list.txt")), "--json", *LOOPBACK)
    assert built.json["funnel"]["kept"] == 1
    assert "nothing to retry" in invoke("retry", built.json["job_id"], *OPEN).err
    done = invoke("retry", built.json["job_id"], "--reason", "http_404", "--json", *OPEN)
    assert done.code == 0, done.err
    assert json.loads(done.out)["funnel"]["kept"] == 2
    assert len(list(Path("datasets/list").rglob("*.jpg"))) == 2
    assert (site.hits("/a.jpg"), site.hits("/b.jpg")) == (1, 2)


def test_an_interrupted_build_is_finished_with_what_it_has(slow_gallery: Site, spawn: Spawn, invoke: Invoke) -> None:
    """`finish` requests nothing more: what is valid is delivered, the rest has the reason cancelled and can be fetched later."""
    process = spawn("build", "--urls", slow_gallery.write_list(Path("list.txt")), *SLOWLY)
    wait_for_hits(slow_gallery, 30)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert f"pictrawl finish {invoke('jobs', 'ls', '-q').out.strip()}" in out
    hits = sum(slow_gallery.origin.hits.values())
    done = invoke("finish", "--json", *OPEN)
    assert done.code == 0, done.err
    assert done.json["status"] == "partial"
    kept = done.json["funnel"]["kept"]
    assert 0 < kept < PICTURES
    assert done.json["reasons"] == {"cancelled": PICTURES - kept}
    assert sum(slow_gallery.origin.hits.values()) == hits
    assert len(list(Path("datasets/list").rglob("*.jpg"))) == kept
    again = invoke("finish")
    assert (again.code, "nothing to finish" in again.err) == (2, True)
    ended = invoke("finish", done.json["job_id"])
    assert (ended.code, "has ended as partial" in ended.err) == (2, True)
    rest = invoke("retry", done.json["job_id"], "--reason", "cancelled", "--json", *OPEN)
    assert rest.json["funnel"]["kept"] == PICTURES
