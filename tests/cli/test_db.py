"""``pictrawl db``."""

from sqlalchemy import text

from app.db import Database
from tests.cli.conftest import Hold, Invoke, in_database


def test_db_is_made_and_told(invoke: Invoke) -> None:
    """upgrade makes it, current tells it."""
    assert "nothing >" in invoke("db", "upgrade").out
    assert "as before" in invoke("db", "upgrade").out
    current = invoke("db", "current", "--json").json
    assert current["revision"] == current["newest"]
    assert "the newest" in invoke("db", "current").out


async def make_older(db: Database) -> None:
    """As an older version left it."""
    async with db.write() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))


def test_a_workspace_in_use_is_not_upgraded(invoke: Invoke, hold: Hold) -> None:
    """By no command, not even one that only reads: its tables are another version's. The message names the process."""
    assert invoke("db", "upgrade").code == 0
    in_database(make_older)
    hold("serve")
    for command in (("db", "upgrade"), ("jobs", "ls"), ("datasets", "verify", "ds_1")):
        refused = invoke(*command)
        assert refused.code == 2, command
        assert "`pictrawl serve` (process 4711) works with it" in refused.err
        assert "hint: stop that process" in refused.err
    assert invoke("db", "current", "--json").json["revision"] == "0001"
