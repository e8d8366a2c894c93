"""``pictrawl workers``."""

from app.db import schema
from tests.cli.conftest import Invoke, employ, in_database


def test_workers_are_listed_with_their_signs_of_life(invoke: Invoke) -> None:
    """Every figure in the table and in the document; ids alone; none is said."""
    in_database(schema.current)
    assert invoke("workers", "ls").err == "no workers\n"
    in_database(employ)
    lines = invoke("workers", "ls").out.splitlines()
    assert lines[0].split() == ["id", "kind", "host", "pid", "version", "slots", "running", "lag", "seen", "status"]
    assert lines[1].split()[:8] == ["wrk_1-builder", "builder", "box", "7", "0.1.0", "8", "2", "12"]
    assert (lines[1].split()[-1], lines[2].split()[-1]) == ("alive", "silent")
    assert "1m0" in lines[2]
    alive, silent = invoke("workers", "ls", "--json").json["items"]
    assert (alive["id"], alive["is_alive"], alive["loop_lag_s"], alive["slots"]) == ("wrk_1-builder", True, 0.0123, 8)
    assert (silent["is_alive"], silent["beat_age_s"] > 60) == (False, True)
    assert invoke("workers", "ls", "-q").out == "wrk_1-builder\nwrk_2-validator\n"
