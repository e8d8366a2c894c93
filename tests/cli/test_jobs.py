"""``pictrawl jobs ls|cancel|pause|resume``."""

from pathlib import Path
from typing import Any

from tests.cli.conftest import OPEN, Hold, Invoke, Result, Site


def test_jobs_are_listed_by_state(mixed: Result, invoke: Invoke) -> None:
    """A state that does not exist is refused."""
    assert mixed.json["job_id"] in invoke("jobs", "ls", "--state", "succeeded").out
    assert invoke("jobs", "ls", "--state", "failed").err == "no jobs\n"
    assert invoke("jobs", "ls", "--state", "nope").code == 2


def test_jobs_are_controlled(mixed: Result, invoke: Invoke, mixed_site: Site) -> None:
    """Pause, resume and cancel set the wanted state; a job that has ended refuses them."""
    made = invoke("build", "--urls", "list.txt", "-o", "more", "--detach", "-q").out.strip()
    paused = invoke("jobs", "pause", made, "--json").json
    assert (paused["status"], paused["desired_state"]) == ("paused", "paused")
    assert invoke("jobs", "resume", made).code == 0
    assert invoke("jobs", "pause", made).code == 0
    assert invoke("resume", made, *OPEN).code == 0
    assert Path("more/manifest.json").is_file()
    ended = invoke("jobs", "cancel", made)
    assert ended.code == 2
    assert "has ended" in ended.err


def test_what_cannot_be_undone_refuses_the_name_of_several(invoke: Invoke) -> None:
    """Removing and cancelling name the ids; nothing is changed. Pausing means the newest."""
    Path("list.txt").write_text("http://127.0.0.1:9/a.jpg\n")
    made = [invoke("build", "--urls", "list.txt", "--detach", "-q").out.strip() for _ in range(2)]
    for command in (("datasets", "rm"), ("jobs", "rm"), ("jobs", "cancel"), ("dead", "discard", "--job")):
        refused = invoke(*command, "list")
        assert (refused.code, "are named list: " in refused.err) == (2, True), refused.err
    assert [job["desired_state"] for job in invoke("jobs", "ls", "--json").json["items"]] == ["running", "running"]
    assert invoke("jobs", "pause", "list", "-q").out.strip() == made[1]


def test_control_commands_are_in_the_jobs_log(invoke: Invoke) -> None:
    """As with the API: the wanted state, and the job's user."""
    Path("list.txt").write_text("http://127.0.0.1:9/a.jpg\n")
    job_id = invoke("build", "--urls", "list.txt", "--detach", "-q").out.strip()
    for verb in ("pause", "resume", "cancel"):
        assert invoke("jobs", verb, job_id).code == 0
    (accepted,) = invoke("jobs", "logs", job_id, "--event", "job.accepted", "--json").json["items"]
    assert accepted["data"]["user_id"] == "local"
    lines: list[Any] = invoke("jobs", "logs", job_id, "--event", "job.steered", "--json").json["items"]
    assert [line["data"]["desired_state"] for line in lines] == ["paused", "running", "cancelled"]
    assert {line["data"]["user_id"] for line in lines} == {"local"}


def test_a_job_that_nobody_works_on_waits_for_a_worker(invoke: Invoke, hold: Hold) -> None:
    """In the list, alone and while it is watched; its state is what it was. A server works on it, and hears when it is resumed."""
    Path("list.txt").write_text("http://127.0.0.1:9/a.jpg\n")
    job_id = invoke("build", "--urls", "list.txt", "--detach", "-q").out.strip()
    listed = invoke("jobs", "ls", "--json").json["items"][0]
    assert (listed["status"], listed["waiting_for"]) == ("pending", "a worker")
    assert "waits for a worker" in invoke("jobs", "ls").out
    assert "waits for  a worker: no process works on it" in invoke("jobs", "show", job_id).out
    assert invoke("jobs", "show", job_id, "--json").json["waiting_for"] == "a worker"
    assert "no process works on this workspace" in invoke("jobs", "resume", job_id).err
    hold("serve")
    assert invoke("jobs", "ls", "--json").json["items"][0]["waiting_for"] is None
    assert "pending" in invoke("jobs", "ls").out
    assert invoke("jobs", "resume", job_id).err == ""
