"""``pictrawl sources``."""

from tests.cli.conftest import Invoke


def test_sources_say_whether_they_are_ready(invoke: Invoke) -> None:
    """Wikimedia asks for a contact."""
    assert "needs --contact" in invoke("sources", "ls").out
    assert invoke("sources", "ls", "--set", "fetch.contact=me@example.org", "--json").json["items"][0]["ready"] is True
    assert invoke("sources", "ls", "-q").out == "wikimedia\n"
