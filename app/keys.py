"""API keys: how one is made, written, read and compared. Pure; the rows are :mod:`app.db.fleet`'s, the door is the web's.

A token is ``ptk_<id>_<secret>``. The id finds the row; only the SHA-256 of the secret is kept there. A secret of 256 random bits
needs no slow hash: there is nothing to guess.
"""

import hashlib
import hmac
import re
import secrets
from typing import NamedTuple

__all__ = ["NewKey", "Token", "digest", "is_same", "make_key", "parse"]

_ID_BYTES = 8  # tells keys apart; no secret
_SECRET_BYTES = 32
_TOKEN = re.compile(r"ptk_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")


class NewKey(NamedTuple):
    """A key at its birth: the only moment at which its token is known."""

    key_id: str
    token: str
    digest: str


class Token(NamedTuple):
    """What a token spells."""

    key_id: str
    secret: str


def make_key() -> NewKey:
    """A new key. Store the id and the digest, show the token once."""
    bare_id, secret = secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(_SECRET_BYTES)
    return NewKey(f"key_{bare_id}", f"ptk_{bare_id}_{secret}", digest(secret))


def parse(token: str) -> Token | None:
    """The id and the secret in a token; ``None`` where it is none of ours."""
    match = _TOKEN.fullmatch(token)
    return Token(f"key_{match[1]}", match[2]) if match else None


def digest(secret: str) -> str:
    """What is stored of a secret: its SHA-256 in hex."""
    return hashlib.sha256(secret.encode()).hexdigest()


def is_same(one: str, other: str) -> bool:
    """Whether two digests are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(one, other)
