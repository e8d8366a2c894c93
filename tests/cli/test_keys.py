"""``pictrawl keys``."""

from pathlib import Path

from tests.cli.conftest import Invoke


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
    assert invoke("keys", "revoke", key_id[:-1], "-q").out == f"{key_id}\n"
    assert "revoked" in invoke("keys", "ls").out
    assert invoke("keys", "revoke", key_id).code == 2
    assert invoke("keys", "create", " ").code == 2
