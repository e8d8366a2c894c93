import asyncio

import pytest
from sqlalchemy import update

import errors
from app.db import Database, api_keys, tables
from app.db.exceptions import KeyReused, StateConflict
from tests.db.builders import change, count


def test_make_key_gives_a_token_that_parses_to_its_id_and_digest() -> None:
    """What is stored and what is shown belong together, and no two keys are alike."""
    made, other = api_keys.make_key(), api_keys.make_key()
    parsed = api_keys.parse_token(made.token)
    assert parsed is not None
    assert parsed.key_id == made.key_id
    assert api_keys.digests_match(api_keys.secret_digest(parsed.secret), made.digest)
    assert not api_keys.digests_match(made.digest, other.digest)
    assert made.token.startswith("ptk_")
    assert parsed.secret not in made.key_id + made.digest


@pytest.mark.parametrize(
    "token", ["", "ptk_", "ptk_0123456789abcdef_", "ptk_0123456789ABCDEF_" + "A" * 43, "ptk_0123456789abcdef_" + "A" * 44, "x" * 10_000]
)
def test_parse_refuses_what_is_no_token(token: str) -> None:
    """Exactly our form, nothing near it."""
    assert api_keys.parse_token(token) is None


def test_parse_takes_every_secret_that_make_key_may_draw() -> None:
    """URL-safe base64 has `-` and `_` too."""
    parsed = api_keys.parse_token("ptk_0123456789abcdef_" + "-_" * 21 + "A")
    assert parsed == api_keys.ApiToken("key_0123456789abcdef", "-_" * 21 + "A")


async def test_a_key_from_its_making_to_its_end(any_database: Database) -> None:
    """In force until it is revoked; only then is there no key. Its digest is shown to nobody but the door."""
    assert not await api_keys.has_keys(any_database)
    key_id = "key_laptop"
    await api_keys.add_key(any_database, key_id=key_id, user_id="ann", name="laptop", digest="ab" * 32)
    assert await api_keys.has_keys(any_database)
    assert await api_keys.find_key(any_database, key_id) == ("ann", "ab" * 32)
    assert await api_keys.find_key(any_database, "key_unknown") is None
    (key,) = await api_keys.list_keys(any_database)
    assert (key.id, key.user_id, key.name, key.revoked_at, key.last_used_at) == (key_id, "ann", "laptop", None, None)
    assert "ab" * 32 not in repr(key)
    await api_keys.revoke_key(any_database, key_id)
    assert await api_keys.find_key(any_database, key_id) is None
    assert not await api_keys.has_keys(any_database)
    assert (await api_keys.list_keys(any_database))[0].revoked_at is not None
    for gone in (key_id, "key_unknown"):
        with pytest.raises(errors.NotFoundError, match=f"no API key {gone} is in force"):
            await api_keys.revoke_key(any_database, gone)


async def test_the_use_of_a_key_is_noted_once_a_minute(any_database: Database) -> None:
    """A write for each request would be one too many."""
    await api_keys.add_key(any_database, key_id="key_1", user_id="ann", name="laptop", digest="x")
    await api_keys.touch_key(any_database, "key_1")
    used = (await api_keys.list_keys(any_database))[0].last_used_at
    assert used is not None
    await api_keys.touch_key(any_database, "key_1")
    assert (await api_keys.list_keys(any_database))[0].last_used_at == used
    await change(any_database, tables.api_keys, "key_1", last_used_at=used - 61)
    await api_keys.touch_key(any_database, "key_1")
    assert (await api_keys.list_keys(any_database))[0].last_used_at >= used


async def make_once(db: Database, key: str, *, user_id: str = "ann", body: str = "digest", resource: str = "job_1") -> str:
    """What a request with an Idempotency-Key does: look, else make and note."""
    async with db.write() as connection:
        known = await api_keys.recall_idempotent(connection, user_id=user_id, key=key, body_digest=body)
        if known is None:
            await api_keys.note_idempotent(connection, user_id=user_id, key=key, body_digest=body, resource=resource)
        return known or resource


async def test_an_idempotency_key_remembers_what_it_made(any_database: Database) -> None:
    """The same key and body give the same resource; another user's key is another key."""
    assert await make_once(any_database, "k", resource="job_1") == "job_1"
    assert await make_once(any_database, "k", resource="job_2") == "job_1"
    assert await make_once(any_database, "k", user_id="bob", resource="job_3") == "job_3"
    assert await make_once(any_database, "other", resource="job_4") == "job_4"


async def test_a_key_with_another_body_is_refused(any_database: Database) -> None:
    """The message says what to do."""
    await make_once(any_database, "k")
    with pytest.raises(KeyReused, match="another request; send a new key"):
        await make_once(any_database, "k", body="other")


async def test_requests_with_the_same_key_at_the_same_moment(any_database: Database) -> None:
    """Ten at once: one makes its resource, all others get it, none fails."""
    made = await asyncio.gather(*(make_once(any_database, "k", resource=f"job_{number}") for number in range(10)))
    assert len(set(made)) == 1
    assert await count(any_database, tables.idempotency_keys) == 1


async def test_a_key_is_bound_once(any_database: Database) -> None:
    """Who notes without having looked takes nothing of the first one's away."""
    await make_once(any_database, "k", resource="job_1")
    async with any_database.write() as connection:
        with pytest.raises(StateConflict, match="is being answered; send it again"):
            await api_keys.note_idempotent(connection, user_id="ann", key="k", body_digest="digest", resource="job_2")
    assert await make_once(any_database, "k", resource="job_3") == "job_1"


async def test_old_idempotency_keys_are_forgotten(any_database: Database) -> None:
    """Only those beyond the age."""
    for key in ("old", "new"):
        await make_once(any_database, key)
    columns = tables.idempotency_keys.c
    async with any_database.write() as connection:
        await connection.execute(update(tables.idempotency_keys).where(columns.key == "old").values(created_at=columns.created_at - 86_401))
    assert await api_keys.expire_idempotency(any_database, older_than_s=86_400) == 1
    assert await make_once(any_database, "old", body="new body", resource="job_9") == "job_9"
