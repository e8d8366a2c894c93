import httpx
import pytest
from fastapi import FastAPI

from app.db import api_keys
from app.resources import Resources
from app.web import create_app
from app.web.identity import is_loopback_name
from tests.web import seeds
from tests.web.conftest import Connect


async def test_without_a_key_in_force_everyone_on_loopback_is_local(client: httpx.AsyncClient, resources: Resources) -> None:
    """The user is `local`, and sees what `local` made."""
    mine, _ = await seeds.build(resources), await seeds.build(resources, "somebody")
    assert [job["id"] for job in (await client.get("/v1/jobs")).json()["items"]] == [mine.id]


async def test_a_key_names_its_user_and_is_noted_as_used(app: FastAPI, connect: Connect, resources: Resources) -> None:
    """Rows are seen by their own user only; a use is written at most once a minute."""
    key = await seeds.key_of(resources, "ann")
    theirs, _ = await seeds.build(resources, "ann"), await seeds.build(resources)
    client = connect(app, key)
    assert [job["id"] for job in (await client.get("/v1/jobs")).json()["items"]] == [theirs.id]
    used_at = (await api_keys.list_keys(resources.db))[0].last_used_at
    assert used_at is not None
    await client.get("/v1/jobs")
    assert (await api_keys.list_keys(resources.db))[0].last_used_at == used_at


async def test_with_a_key_in_force_every_path_but_the_probes_asks_for_one(client: httpx.AsyncClient, resources: Resources) -> None:
    """401 with a challenge, for paths that do not exist too."""
    await seeds.key_of(resources, "ann")
    for path in ("/v1/jobs", "/metrics", "/v1/openapi.json", "/nope"):
        answer = await client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        assert answer.headers["www-authenticate"] == 'Bearer realm="pictrawl"'
    for path in ("/healthz", "/readyz", "/", "/docs"):
        assert (await client.get(path)).status_code == 200


@pytest.mark.parametrize("header", ["Bearer", "Basic dXNlcjpwYXNz", "Bearer ptk_1_2", "Bearer ptk_0123456789abcdef_" + "A" * 43])
async def test_a_header_that_holds_no_key_in_force_is_refused(client: httpx.AsyncClient, header: str) -> None:
    """Even where no key is needed: who sends one means it."""
    answer = await client.get("/v1/jobs", headers={"Authorization": header})
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


async def test_a_right_id_with_a_wrong_secret_is_refused(app: FastAPI, connect: Connect, resources: Resources) -> None:
    """The id finds the row, the secret opens."""
    key = await seeds.key_of(resources, "ann")
    assert (await connect(app, key[:-1] + ("A" if key[-1] != "A" else "B")).get("/v1/jobs")).status_code == 401


async def test_a_revoked_key_is_refused_at_once(app: FastAPI, connect: Connect, resources: Resources) -> None:
    """Revoking needs no restart; with no key left in force, loopback is open again."""
    client = connect(app, await seeds.key_of(resources, "ann"))
    assert (await client.get("/v1/jobs")).status_code == 200
    await api_keys.revoke_key(resources.db, (await api_keys.list_keys(resources.db))[0].id)
    assert (await client.get("/v1/jobs")).status_code == 401
    assert (await connect(app).get("/v1/jobs")).status_code == 200


async def test_a_server_that_others_reach_stays_closed_without_keys(connect: Connect, resources: Resources) -> None:
    """Revoking the last key closes the door, it does not open it."""
    client = connect(create_app(resources, keys_required=True))
    assert (await client.get("/v1/jobs")).status_code == 401


@pytest.mark.parametrize(
    "base_url", ["http://evil.example", "http://127.0.0.1.evil.example:8080", "http://192.0.2.1", "http://localhost.evil"]
)
async def test_without_a_key_other_host_names_are_refused(app: FastAPI, connect: Connect, base_url: str) -> None:
    """A page may rebind its own name to loopback; the Host header still tells the name."""
    answer = await connect(app, base_url=base_url).get("/v1/jobs")
    assert (answer.status_code, answer.json()["code"]) == (421, "misdirected")


@pytest.mark.parametrize("host", ["[", "", "a b"])
async def test_without_a_key_a_host_that_is_none_is_refused(client: httpx.AsyncClient, host: str) -> None:
    """What cannot be read is not loopback."""
    assert (await client.get("/v1/jobs", headers={"Host": host})).status_code == 421


@pytest.mark.parametrize("base_url", ["http://localhost:9999", "http://127.0.0.2", "http://[::1]:8080"])
async def test_without_a_key_loopback_names_are_served(app: FastAPI, connect: Connect, base_url: str) -> None:
    """Addresses cannot be rebound."""
    assert (await connect(app, base_url=base_url).get("/v1/jobs")).status_code == 200


async def test_with_a_key_any_host_name_is_served(app: FastAPI, connect: Connect, resources: Resources) -> None:
    """A page that rebinds its name has no key."""
    client = connect(app, await seeds.key_of(resources, "ann"), base_url="https://pictrawl.example")
    assert (await client.get("/v1/jobs")).status_code == 200


async def test_without_a_key_a_page_of_another_origin_changes_nothing(client: httpx.AsyncClient, resources: Resources) -> None:
    """A form may be posted anywhere without asking; reading its answer may not."""
    job = await seeds.build(resources)
    export_id = await seeds.export(resources, job, {})
    path = f"/v1/exports/{export_id}/verifications"
    answer = await client.post(path, headers={"Origin": "https://evil.example"})
    assert (answer.status_code, answer.json()["code"]) == (403, "cross-origin")
    assert (await client.post(path, headers={"Origin": "http://127.0.0.1:8080"})).status_code == 202
    assert (await client.get("/v1/jobs", headers={"Origin": "https://evil.example"})).status_code == 200


async def test_a_database_that_is_away_is_503_and_no_secret(connect: Connect, resources: Resources) -> None:
    """Nobody is let in, and nothing of the URL gets out."""
    away = seeds.without_database(resources)
    answer = await connect(create_app(away)).get("/v1/jobs")
    await away.db.close()
    assert (answer.status_code, answer.json()["code"]) == (503, "database-unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert "secret-word" not in answer.text
    assert "127.0.0.1" not in answer.text


@pytest.mark.parametrize(
    ("host", "is_local"), [("localhost", True), ("127.0.0.1", True), ("::1", True), ("0.0.0.0", False), ("", False), ("host", False)]
)
def test_is_loopback_name_trusts_addresses_and_localhost_only(host: str, is_local: bool) -> None:
    """Whatever else a name resolves to now, it may resolve to something else later."""
    assert is_loopback_name(host) is is_local
