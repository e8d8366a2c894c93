"""``pictrawl sources``."""

from app.discovery import SOURCES
from tests.cli.conftest import Invoke


def test_sources_say_whether_they_are_ready(invoke: Invoke) -> None:
    """Wikimedia asks for a contact."""
    assert "needs --contact" in invoke("sources", "ls").out
    items = invoke("sources", "ls", "--set", "fetch.contact=me@example.org", "--json").json["items"]
    assert {item["name"]: item["ready"] for item in items}["wikimedia"] is True
    assert invoke("sources", "ls", "-q").out.split() == list(SOURCES)
