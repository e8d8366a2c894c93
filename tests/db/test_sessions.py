import pytest

from app.db import Database, api_keys, sessions
from app.db.engine import db_now


async def key_of(db: Database, user_id: str) -> str:
    made = api_keys.make_key()
    await api_keys.add_key(db, key_id=made.key_id, user_id=user_id, name="test", digest=made.digest)
    return made.key_id


async def test_a_session_is_its_keys_until_it_ends(any_database: Database) -> None:
    """Ended, or its key revoked."""
    key_id = await key_of(any_database, "ann")
    one = await sessions.start(any_database, key_id=key_id, user_id="ann")
    other = await sessions.start(any_database, key_id=key_id, user_id="ann")
    assert await sessions.find(any_database, one) == sessions.Session(key_id, "ann")
    await sessions.end(any_database, one)
    assert await sessions.find(any_database, one) is None
    assert await sessions.find(any_database, other) is not None
    await api_keys.revoke_key(any_database, key_id)
    assert await sessions.find(any_database, other) is None
    assert await sessions.find(any_database, "guess") is None


async def test_a_session_that_has_run_out_is_none_and_goes_with_the_next_one(
    any_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_id = await key_of(any_database, "ann")
    old = await sessions.start(any_database, key_id=key_id, user_id="ann")
    later = db_now() + sessions.SESSION_S + 1
    monkeypatch.setattr(sessions, "db_now", lambda: later)
    assert await sessions.find(any_database, old) is None
    await sessions.start(any_database, key_id=key_id, user_id="ann")
    monkeypatch.undo()
    assert await sessions.find(any_database, old) is None
