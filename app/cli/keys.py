"""``pictrawl keys``: API keys. The token is shown once; the database holds its digest."""

from dataclasses import asdict
from typing import Annotated

import typer

from app.cli.failures import UsageError
from app.cli.listing import Listing, show_items
from app.cli.options import Cli
from app.cli.session import open_database, run
from app.cli.settings import load_settings
from app.db import api_keys, lookup
from app.db.api_keys import make_key
from app.db.rows import ApiKey
from app.formatting import clipped, when

__all__ = ["create", "ls", "revoke"]


def create(
    cli: Cli,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the key is for.")],
    user: Annotated[str, typer.Option("--user", metavar="USER", help="Whose jobs it may see.")] = "local",
) -> int:
    """Make an API key and print its token.

    The token cannot be shown again.
    """
    return run(_create(cli, name, user))


async def _create(cli: Cli, name: str, user: str) -> int:
    for what, text in (("the name", name), ("--user", user)):
        if not text.strip() or len(text) > 100 or not text.isprintable():
            raise UsageError(f"{what} {text[:40]!r} cannot be used", "1 to 100 visible characters")
    async with open_database(cli, load_settings(cli), create=True) as db:
        key_id, token, digest = make_key()
        await api_keys.add_key(db, key_id=key_id, user_id=user, name=name, digest=digest)
    cli.result(token, {"id": key_id, "user_id": user, "name": name, "token": token}, brief=token)
    cli.note(f"key {key_id} of {user}: keep the token, it is not stored")
    return 0


def ls(cli: Cli) -> int:
    """List API keys, without their tokens."""
    return run(_ls(cli))


async def _ls(cli: Cli) -> int:
    async with open_database(cli, load_settings(cli)) as db:
        found = await api_keys.list_keys(db)
    await show_items(cli, Listing("keys", ("id", "user", "name", "status", "last used"), _row, asdict), found)
    return 0


def _row(key: ApiKey) -> tuple[object, ...]:
    status = "revoked" if key.revoked_at else "in force"
    return (key.id, clipped(key.user_id, 20), clipped(key.name, 24), status, when(key.last_used_at))


def revoke(cli: Cli, key: Annotated[str, typer.Argument(metavar="KEY", help="A key's id, or the beginning of it.")]) -> int:
    """Revoke an API key at once."""
    return run(_revoke(cli, key))


async def _revoke(cli: Cli, key_id: str) -> int:
    async with open_database(cli, load_settings(cli)) as db:
        key_id = await lookup.key_id(db, key_id)
        await api_keys.revoke_key(db, key_id)
    cli.result(f"key {key_id} is revoked", {"id": key_id, "revoked": True}, brief=key_id)
    return 0
