"""The cookie of a browser, and the token against forged requests that is derived from it.

Where keys are in force, the cookie holds the secret of a session (:mod:`app.db.sessions`). On loopback without keys it holds a random
value that is stored nowhere: it gives no rights, and only ties forms to the browser that loaded them.
"""

import hashlib
import hmac
import secrets
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import Response

from app.db.sessions import SESSION_S

__all__ = ["COOKIE", "CSRF_FIELD", "CSRF_HEADER", "clear", "csrf_token", "has_token", "new_secret", "put", "secret_of"]

COOKIE: Final = "pictrawl_session"
CSRF_FIELD: Final = "csrf_token"
CSRF_HEADER: Final = "X-CSRF-Token"

_LONGEST = 100


def secret_of(headers: Headers) -> str | None:
    """Return what the browser's cookie holds; ``None`` without one."""
    secret = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
    return secret if 0 < len(secret) <= _LONGEST and secret.isascii() else None


def new_secret() -> str:
    """A random value for the cookie."""
    return secrets.token_urlsafe(32)


def csrf_token(secret: str) -> str:
    """The token that a form or a script of ours sends back; who cannot read the page cannot know it."""
    return hmac.digest(secret.encode(), b"csrf", hashlib.sha256).hex()


def has_token(secret: str | None, token: str) -> bool:
    """Whether a token belongs to a cookie."""
    return secret is not None and hmac.compare_digest(csrf_token(secret).encode(), token.encode())


def put(response: Response, secret: str, *, is_secure: bool) -> None:
    """Set the cookie: for this server alone, out of the reach of scripts, and not sent along from other sites."""
    response.set_cookie(COOKIE, secret, max_age=int(SESSION_S), path="/", secure=is_secure, httponly=True, samesite="strict")


def clear(response: Response, *, is_secure: bool) -> None:
    """Delete the cookie."""
    response.delete_cookie(COOKIE, path="/", secure=is_secure, httponly=True, samesite="strict")
