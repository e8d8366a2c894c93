"""``pictrawl doctor``."""

import sqlite3
from pathlib import Path

import pytest

from app.cli.doctor import GROUPS, machine
from app.settings import load_settings
from tests.cli.conftest import Invoke


def test_doctor_finds_a_fresh_machine_fit(invoke: Invoke) -> None:
    """Every group but the network, before there is a workspace; nothing is left behind."""
    groups = [item for group in GROUPS if group != "network" for item in ("--only", group)]
    result = invoke("doctor", *groups)
    assert result.code == 0, result.out
    assert "no check failed" in result.out
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
    password = ["--set", "db.password_file=none"]
    assert invoke("doctor", "--only", "settings", *password).code == 0  # no database server uses it
    assert invoke("doctor", "--only", "settings", *password, "--set", "db.url=postgresql+asyncpg://x@127.0.0.1:1/x").code == 5
    redis = ["--set", "queue.backend=redis", "--set", "queue.url=redis://127.0.0.1:1/0"]
    refused = invoke("doctor", "--only", "queue", *redis)
    assert refused.code == 5
    assert "hint" in refused.out
    postgres = ["--set", "db.url=postgresql+asyncpg://x@127.0.0.1:1/x"]
    assert invoke("doctor", "--only", "database", *postgres).code == 5
    assert invoke("doctor", "--only", "storage", "--set", "storage.url=ftp://x").code == 5
    assert invoke("doctor", "--only", "workspace", "--workspace", "/proc/none").code == 5
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


def test_doctor_fails_only_for_what_the_settings_ask_for(invoke: Invoke) -> None:
    """Without a server no Redis is asked, an optional package is a note, and an embedded database upgrades by itself."""
    invoke("db", "upgrade")
    with sqlite3.connect(".pictrawl/pictrawl.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0012'")
    connection.close()
    groups = [item for group in GROUPS if group != "network" for item in ("--only", group)]
    result = invoke("doctor", *groups, "--set", "queue.url=redis://127.0.0.1:1/0", "--json")
    assert result.code == 0, result.out
    found = {check["name"]: (check["status"], check["value"]) for check in result.json["checks"]}
    (*_, optional) = machine.check_packages(load_settings(), {"no-such-package": "lists of this kind"})
    assert (optional.status, optional.value) == ("note", "not installed")
    assert found["queue"][0] == "ok"
    assert found["schema"][1].startswith("0012; the next command that opens it brings it to 00")
