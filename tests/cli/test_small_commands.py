"""fetch, sources, db, keys, config, openapi, worker --check, doctor: one command, one result."""

import json
import os
import sqlite3
from pathlib import Path

import pytest

from app.cli.demo.origin import cut_off, reply, reset
from app.cli.doctor import GROUPS
from tests.cli.conftest import OPEN, Invoke, Site

CONTRACT = {"url", "outcome", "error", "reason", "status", "final_url", "media_type", "bytes", "sha256", "retry_after_s", "attempts"}
FETCHED = CONTRACT | {"evidence", "decisions"}
QUICK = [*OPEN, "--set", "retry.backoff_base_s=0.01", "--set", "retry.jitter=0"]


def test_fetch_shows_every_attempt_and_keeps_the_bytes(site: Site, bodies: list[bytes], invoke: Invoke) -> None:
    """The contract's shape; the wait that followed an attempt; the bytes where asked."""
    url = site.add("/a.jpg", reply(503), reply(body=bodies[0]))
    result = invoke("fetch", url, "-o", "a.jpg", "--json", *QUICK)
    document = result.json
    assert result.code == 0
    assert set(document) == FETCHED
    assert (document["outcome"], document["bytes"], document["media_type"]) == ("ok", len(bodies[0]), "image/jpeg")
    assert [set(attempt) for attempt in document["attempts"]] == [{"number", "status", "error", "wait_s", "elapsed_s"}] * 2
    assert [(attempt["status"], attempt["wait_s"]) for attempt in document["attempts"]] == [(503, 0.01), (200, 0.0)]
    assert Path("a.jpg").read_bytes() == bodies[0]


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([reply(404)], "failed: http_404"),
        ([reset()], "failed: network"),
        ([cut_off(b"\xff\xd8\xff" + b"x" * 100)], "failed: truncated_body"),
        ([reply(429, headers={"Retry-After": "60"})], "deferred: rate_limited, asked to come back in 60 s"),
        ([reply(302, headers={"Location": "/gone.jpg"})], "redirected to"),
    ],
)
def test_fetch_of_what_does_not_come_is_4(site: Site, invoke: Invoke, steps: list[object], words: str) -> None:
    """Failed and deferred alike, with the reason's slug."""
    result = invoke("fetch", site.add("/a.jpg", *steps), "--no-robots", *QUICK)  # type: ignore[arg-type]
    assert result.code == 4
    assert words in result.out


def test_fetch_of_a_blocked_address_sends_nothing(invoke: Invoke) -> None:
    """The guard holds for this command too."""
    result = invoke("fetch", "http://127.0.0.1:9/a.jpg", "--json")
    assert (result.code, result.json["reason"]) == (4, "blocked_address")
    assert result.json["evidence"] == "port 9"
    wrong = invoke("fetch", "http://h.test:99999/", "--json").json
    assert (wrong["reason"], wrong["evidence"]) == ("invalid_url", "port 99999")
    assert "evidence    the URL's scheme 'ftp'" in invoke("fetch", "ftp://h.test/").out
    assert "evidence    10.0.0.1, which may not be dialled" in invoke("fetch", "http://10.0.0.1/").out


def wished(site: Site, bodies: list[bytes]) -> tuple[str, str]:
    """An image that robots.txt disallows and one whose headers refuse training."""
    site.add("/robots.txt", reply(body=b"User-agent: *\nDisallow: /private", kind="text/plain"))
    headers = {"X-Robots-Tag": "noindex, noai"}
    return site.add("/private.jpg", reply(body=bodies[0])), site.add("/noai.jpg", reply(body=bodies[1], headers=headers))


def test_fetch_tells_what_was_decided(site: Site, bodies: list[bytes], invoke: Invoke) -> None:
    """robots.txt with its line, the opt-out with its header, in words and as data; nothing of what it did not come to."""
    private, noai = wished(site, bodies)
    where = f"{site.origin.base}/robots.txt"
    rule = f"{where} line 2, user-agent *: Disallow: /private"
    disallowed = {"robots_txt": where, "verdict": "disallowed", "evidence": rule}
    document = invoke("fetch", private, "--json", *QUICK).json
    assert (document["reason"], document["evidence"], document["attempts"]) == ("robots", rule, [])
    assert document["decisions"] == {
        "robots": {"asked": True, "verdict": "disallowed", "evidence": rule, "hops": [disallowed]},
        "opt_out": {"verdict": "not_read", "evidence": None},
    }
    told = invoke("fetch", private, *QUICK).out
    assert f"robots.txt  disallows it, {rule}" in told
    assert "opt-out" not in told
    assert "evidence" not in told

    document = invoke("fetch", noai, "--json", *QUICK).json
    assert (document["reason"], document["evidence"]) == ("opt_out", "x-robots-tag: noindex, noai")
    assert document["decisions"]["robots"]["verdict"] == "allowed"
    assert document["decisions"]["opt_out"] == {"verdict": "refused", "evidence": "x-robots-tag: noindex, noai"}
    told = invoke("fetch", noai, *QUICK).out
    assert f"robots.txt  allows it, {where}" in told
    assert "opt-out     refused, x-robots-tag: noindex, noai" in told


def test_fetch_tells_of_every_hop_and_of_no_file(site: Site, bodies: list[bytes], invoke: Invoke) -> None:
    """Hops decided alike are told once in words, each in the data."""
    site.add("/b.jpg", reply(body=bodies[0]))
    url = site.add("/a.jpg", reply(302, headers={"Location": "/b.jpg"}))
    assert [hop["verdict"] for hop in invoke("fetch", url, "--json", *QUICK).json["decisions"]["robots"]["hops"]] == ["no_file"] * 2
    told = invoke("fetch", url, *QUICK).out
    assert told.count("robots.txt  none, so all is allowed: the origin answered 404") == 1
    assert "opt-out     none in the reply's headers" in told


def test_fetch_tells_of_a_robots_txt_that_cannot_be_had(site: Site, bodies: list[bytes], invoke: Invoke) -> None:
    """Deferred, and why."""
    site.add("/robots.txt", reply(503))
    told = invoke("fetch", site.add("/a.jpg", reply(body=bodies[0])), *QUICK)
    assert told.code == 4
    assert f"robots.txt  not to be had, {site.origin.base}/robots.txt: the origin answered 503" in told.out
    assert "deferred: host_unavailable" in told.out


@pytest.mark.parametrize("way", ["environment", "flag"])
def test_robots_and_opt_outs_can_be_switched_off(
    site: Site, bodies: list[bytes], invoke: Invoke, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Each by its own setting, from wherever settings come; the image comes, and what was not asked is said."""
    private, noai = wished(site, bodies)
    for url, name, said in (
        (private, "robots", "robots.txt  not asked: fetch.robots is off"),
        (noai, "opt_out", "opt-out     not read: fetch.opt_out is off"),
    ):
        assert invoke("fetch", url, *QUICK).code == 4
        with monkeypatch.context() as changed:
            flags = ["--set", f"fetch.{name}=false"] if way == "flag" else []
            if way == "environment":
                changed.setenv(f"PICTRAWL_FETCH__{name.upper()}", "false")
            result = invoke("fetch", url, *flags, *QUICK)
            decided = invoke("fetch", url, "--json", *flags, *QUICK).json["decisions"]
        assert result.code == 0
        assert said in result.out
        assert [wish for wish, word in decided.items() if word["verdict"] == "off"] == [name]
    assert "fetch.robots is off" in invoke("fetch", private, "--no-robots", *QUICK).out


def test_sources_say_whether_they_are_ready(invoke: Invoke) -> None:
    """Wikimedia asks for a contact."""
    assert "set fetch.contact" in invoke("sources", "ls").out
    assert invoke("sources", "ls", "--set", "fetch.contact=me@example.org", "--json").json["items"][0]["ready"] is True
    assert invoke("sources", "ls", "-q").out == "wikimedia\n"


def test_db_is_made_and_told(invoke: Invoke) -> None:
    """upgrade makes it, current tells it."""
    assert "nothing >" in invoke("db", "upgrade").out
    assert "as before" in invoke("db", "upgrade").out
    current = invoke("db", "current", "--json").json
    assert current["revision"] == current["newest"]
    assert "the newest" in invoke("db", "current").out


def test_keys_are_made_listed_and_revoked(invoke: Invoke) -> None:
    """The token is on stdout alone, once; the digest is what the database has."""
    made = invoke("keys", "create", "laptop", "--user", "ann")
    token = made.out.strip()
    assert token.startswith("ptk_")
    assert token not in made.err
    listed = invoke("keys", "ls", "--json")
    key_id = listed.json["items"][0]["id"]
    assert token not in listed.out
    assert token.encode() not in Path(".pictrawl/pictrawl.db").read_bytes()
    assert "in force" in invoke("keys", "ls").out
    assert invoke("keys", "revoke", key_id).code == 0
    assert "revoked" in invoke("keys", "ls").out
    assert invoke("keys", "revoke", key_id).code == 2
    assert invoke("keys", "create", " ").code == 2


def test_config_shows_values_and_where_they_come_from(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """File, environment, flag and default, in their order; secrets masked; as TOML that can be read back."""
    Path("mine.toml").write_text("[fetch]\nper_host = 3\nconcurrency = 5\n[queue]\nurl = 'redis://:hunter2@localhost/0'\n")
    monkeypatch.setenv("PICTRAWL_FETCH__PER_HOST", "4")
    result = invoke("--config", "mine.toml", "config", "show", "--origins", "--json", "--set", "fetch.robots=false", "-v")
    assert result.json["fetch.per_host"] == {"value": 4, "origin": "environment"}
    assert result.json["fetch.concurrency"] == {"value": 5, "origin": "mine.toml"}
    assert result.json["fetch.robots"] == {"value": False, "origin": "flag"}
    assert result.json["log.level"] == {"value": "INFO", "origin": "flag"}
    assert result.json["retry.attempts"]["origin"] == "default"
    assert "hunter2" not in result.out
    assert "environment" in invoke("config", "show", "--origins").out
    assert "[fetch]\n" in invoke("config", "show").out
    assert "# url is not set" in invoke("config", "show").out


def test_config_validate_names_what_is_wrong(invoke: Invoke) -> None:
    """A good tree, a missing secret, two wrong values at once."""
    assert invoke("config", "validate").code == 0
    missing = invoke("config", "validate", "--set", "db.password_file=none")
    assert missing.code == 2
    assert "no file" in missing.err
    wrong = invoke("config", "validate", "--set", "fetch.per_host=0", "--set", "retry.attempts=9")
    assert "fetch.per_host" in wrong.err
    assert "retry.attempts" in wrong.err
    assert "hint" not in wrong.err


def test_openapi_is_printed_or_written(invoke: Invoke) -> None:
    """The same document in all three ways."""
    document = invoke("openapi", "--json").json
    assert document["openapi"].startswith("3.")
    assert json.loads(invoke("openapi").out) == document
    assert invoke("openapi", "-o", "api.json").out == ""
    assert json.loads(Path("api.json").read_text()) == document


def test_worker_check_asks_for_a_sign_of_life(invoke: Invoke, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """0 where the heartbeat is fresh, 5 where it is not."""
    monkeypatch.setattr("workers.health.FOLDER", tmp_path)
    assert invoke("worker", "--check").code == 5
    (tmp_path / str(os.getpid())).touch()
    assert invoke("worker", "all", "--check").code == 0


def test_worker_of_one_kind_alone_is_refused_when_embedded(invoke: Invoke) -> None:
    """It would never see a job."""
    assert "would never see" in invoke("worker", "builder").err


def test_doctor_finds_a_fresh_machine_fit(invoke: Invoke) -> None:
    """Every group but the network, before there is a workspace; nothing is left behind."""
    groups = [item for group in GROUPS if group != "network" for item in ("--only", group)]
    result = invoke("doctor", *groups)
    assert result.code == 0, result.out
    assert "all is well" in result.out
    assert list(Path.cwd().iterdir()) == []
    checks = invoke("doctor", *groups, "--json").json["checks"]
    assert {check["group"] for check in checks} == set(GROUPS) - {"network"}


def test_doctor_measures_a_workspace(invoke: Invoke) -> None:
    """The database answers, the store takes an object and gives it back."""
    invoke("db", "upgrade")
    Path(".pictrawl/store").mkdir()
    result = invoke("doctor", "--only", "database", "--only", "storage", "--json")
    assert result.code == 0
    names = {check["name"] for check in result.json["checks"]}
    assert {"sqlite", "database", "schema", "clocks", "workers", "storage"} <= names


def test_doctor_finds_what_is_wrong(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unknown groups are usage; wrong settings, an unreachable Redis and a newer database are 5, each with a hint."""
    assert invoke("doctor", "--only", "nonsense").code == 2
    assert invoke("doctor", "--set", "fetch.per_hsot=1").code == 5
    assert invoke("doctor", "--only", "settings", "--set", "db.password_file=none").code == 5
    redis = ["--set", "queue.backend=redis", "--set", "queue.url=redis://127.0.0.1:1/0"]
    refused = invoke("doctor", "--only", "queue", *redis)
    assert refused.code == 5
    assert "hint" in refused.out
    postgres = ["--set", "db.url=postgresql+asyncpg://x@127.0.0.1:1/x"]
    assert invoke("doctor", "--only", "database", *postgres).code == 5
    assert invoke("doctor", "--only", "storage", "--set", "storage.url=ftp://x").code == 5
    assert invoke("doctor", "--only", "workspace", "--workspace", "/proc/none").code == 5
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.org")
    nowhere = invoke("doctor", "--only", "network", "--set", "sources.wikimedia_url=https://nowhere.invalid")
    assert nowhere.code == 5
    assert "proxies are not used" in nowhere.out
    assert invoke("doctor", "--only", "network", "--set", "sources.wikimedia_url=http://localhost").code == 0
    Path(".pictrawl").mkdir()
    with sqlite3.connect(".pictrawl/pictrawl.db") as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.execute("INSERT INTO alembic_version VALUES ('9999')")
    connection.close()
    newer = invoke("doctor", "--only", "database")
    assert newer.code == 5
    assert "upgrade pictrawl" in newer.out


def test_doctor_tries_a_real_redis(invoke: Invoke, redis_url: str) -> None:
    """Version, queue lengths and the eviction policy."""
    result = invoke("doctor", "--only", "queue", "--set", "queue.backend=redis", "--set", f"queue.url={redis_url}", "--json")
    assert result.code == 0
    assert [check["name"] for check in result.json["checks"]] == ["redis", "maxmemory-policy"]
