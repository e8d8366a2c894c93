"""``pictrawl jobs watch|logs``."""

import json
import threading
import time

import pytest

from tests.cli.conftest import Built, Invoke, Result


def test_watching_a_job_that_has_ended_prints_its_summary(mixed: Result, invoke: Invoke) -> None:
    """At once."""
    watched = invoke("jobs", "watch", mixed.json["job_id"])
    assert watched.code == 0
    assert "kept in" in watched.out


def test_logs_show_a_jobs_whole_life(mixed: Result, invoke: Invoke) -> None:
    """Submission to export; by level, by event, as JSON, followed to its end."""
    job_id = mixed.json["job_id"]
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


def test_watching_ends_when_the_job_is_cancelled(mixed: Result, invoke: Invoke) -> None:
    """Another process cancels; nothing was kept."""
    made = invoke("build", "--urls", "list.txt", "-o", "more", "--detach", "-q").out.strip()
    from app.settings import load_settings

    settings = load_settings()

    def cancel() -> None:
        import asyncio

        from app.db import Database, lifecycle
        from app.job_states import DesiredState

        async def steer() -> None:
            db = Database(settings.database_url)
            try:
                await lifecycle.set_desired_state(db, made, DesiredState.CANCELLED)
            finally:
                await db.close()

        time.sleep(1.0)
        asyncio.run(steer())

    thread = threading.Thread(target=cancel)
    thread.start()
    watched = invoke("jobs", "watch", made, "--json")
    thread.join()
    assert watched.json["job_id"] == made


def test_logs_are_filtered_by_url_host_chunk_level_and_event(licensed: Built, invoke: Invoke) -> None:
    """Alone and together; with a limit, and on from its cursor."""
    logs = ("jobs", "logs", licensed.job_id)
    (retry,) = invoke(*logs, "--url", f"{licensed.base}/busy.jpg", "--json").json["items"]
    assert (retry["event"], retry["level"], retry["data"]["status"]) == ("download.retry", "WARNING", 503)
    host = licensed.base.partition("//")[2]
    assert len(invoke(*logs, "--host", host, "--level", "warning").out.splitlines()) == 2
    assert len(invoke(*logs, "--host", "127.0.0.1", "--event", "download.").out.splitlines()) == 2
    chunk = retry["data"]["chunk_id"]
    assert "chunk.validated" in invoke(*logs, "--chunk", chunk[:-1]).out
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
def test_a_filter_that_can_match_nothing_is_refused(licensed: Built, invoke: Invoke, option: str, value: str) -> None:
    """With the option, the value, and a way out."""
    refused = invoke("jobs", "logs", licensed.job_id, option, value)
    assert refused.code == 2
    assert f"error: {option} '{value}'" in refused.err
    assert "hint: " in refused.err
