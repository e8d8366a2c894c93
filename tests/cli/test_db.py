"""``pictrawl db``."""

from tests.cli.conftest import Invoke


def test_db_is_made_and_told(invoke: Invoke) -> None:
    """upgrade makes it, current tells it."""
    assert "nothing >" in invoke("db", "upgrade").out
    assert "as before" in invoke("db", "upgrade").out
    current = invoke("db", "current", "--json").json
    assert current["revision"] == current["newest"]
    assert "the newest" in invoke("db", "current").out
