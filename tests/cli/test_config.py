"""``pictrawl config``."""

import tomllib
from pathlib import Path

import pytest

from tests.cli.conftest import Invoke


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


def test_config_shows_the_hosts_as_tables(invoke: Invoke) -> None:
    """As TOML that can be read back, without the secrets."""
    Path("pictrawl.toml").write_text('[hosts."a.test".headers]\nX-Key = "hunter2"\nX-Other = { env = "NAME" }\n')
    result = invoke("config", "show")
    assert '[hosts."a.test"]\nheaders = { "X-Key" = "**********", "X-Other" = { "env" = "NAME" } }\n' in f"{result.out}\n"
    assert "hunter2" not in result.out
    assert tomllib.loads(result.out)["hosts"]["a.test"]["headers"]["X-Other"] == {"env": "NAME"}
    Path("pictrawl.toml").write_text('[fetch]\nproxy = { env = "NAME" }\n')
    assert tomllib.loads(invoke("config", "show").out)["fetch"]["proxy"] == {"env": "NAME"}
    Path("pictrawl.toml").unlink()
    assert "# hosts is not set" in invoke("config", "show").out


def test_config_validate_reads_the_secrets(invoke: Invoke) -> None:
    """Before a build does."""
    missing = invoke("config", "validate", "--set", 'hosts.a.test={"headers": {"X-Key": {"env": "NOWHERE"}}}')
    assert missing.code == 2
    assert "NOWHERE is not set" in missing.err
    assert invoke("config", "validate", "--set", "fetch.ca_file=none.pem").code == 2


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
