"""Who asks. A bearer key names its user; without any key in force, a server on loopback takes everyone for ``local``.

Open to all are ``/healthz``, ``/readyz``, and the pages ``/`` and ``/docs``, which are the same on every server and which a browser asks
for without a key. Once a key is in force, every other path needs one, ``/metrics`` and the OpenAPI document included: behind a proxy every
request comes from loopback, so the peer's address proves nothing.
"""

import ipaddress
import time
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

import errors
from app.db import Database, api_keys
from app.web.api import problems
from logging_setup import get_logger

__all__ = ["LOCAL_USER", "OPEN_PATHS", "KeyAuthentication", "authenticate", "is_loopback_name"]

log = get_logger(__name__)

LOCAL_USER = "local"
OPEN_PATHS = frozenset({"/", "/docs", "/healthz", "/readyz"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

TOUCH_S = 60.0
"""Seconds between two notes that a key is in use."""

_NO_KEY = "0" * 64


class KeyAuthentication:
    """Middleware that puts ``user_id`` on the request's state, or ends the request with a problem."""

    def __init__(self, app: ASGIApp, *, db: Database | None, keys_required: bool = False) -> None:
        self.app = app
        self.db = db
        self.keys_required = keys_required
        self.touched: dict[str, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            await self.app(scope, receive, send)
            return
        try:
            user_id = await self._user_of(scope)
        except errors.PictrawlError as error:
            await problems.respond(scope, problems.of_error(error))(scope, receive, send)
            return
        except problems.Refusal as refusal:
            await problems.respond(scope, refusal)(scope, receive, send)
            return
        scope["state"]["user_id"] = user_id
        with log.contextualize(user_id=user_id):
            await self.app(scope, receive, send)

    async def _user_of(self, scope: Scope) -> str:
        assert self.db is not None
        headers = Headers(scope=scope)
        header = headers.get("authorization")
        if header is not None:
            key_id, user_id = await authenticate(self.db, header)
            await self._touch(key_id)
            return user_id
        if self.keys_required or await api_keys.has_keys(self.db):
            raise _unauthenticated("Send an API key: Authorization: Bearer ptk_…", "")
        _require_local(scope["method"], headers)
        return LOCAL_USER

    async def _touch(self, key_id: str) -> None:
        now = time.monotonic()
        if now - self.touched.get(key_id, -TOUCH_S) >= TOUCH_S:
            self.touched[key_id] = now
            assert self.db is not None
            await api_keys.touch_key(self.db, key_id, every_s=TOUCH_S)


async def authenticate(db: Database, header: str) -> tuple[str, str]:
    """(key id, user id) for an Authorization header.

    Raises:
        problems.Refusal: it holds no key in force.
    """
    scheme, _, token = header.partition(" ")
    parsed = api_keys.parse_token(token.strip()) if scheme.lower() == "bearer" else None
    if parsed is None:
        raise _unauthenticated("The Authorization header holds no pictrawl key.", ', error="invalid_token"')
    found = await api_keys.find_key(db, parsed.key_id)
    user_id, digest = found or ("", _NO_KEY)
    if not api_keys.digests_match(api_keys.secret_digest(parsed.secret), digest):
        raise _unauthenticated("This API key is not in force.", ', error="invalid_token"')
    return parsed.key_id, user_id


def _unauthenticated(detail: str, challenge: str) -> problems.Refusal:
    return problems.Refusal("unauthenticated", detail, headers={"WWW-Authenticate": f'Bearer realm="pictrawl"{challenge}'})


def _require_local(method: str, headers: Headers) -> None:
    """Refuse browsers where no key protects the API: DNS rebinding to loopback, and cross-site posts."""
    host = headers.get("host", "")
    if not is_loopback_name(_host_part(host)):
        raise problems.Refusal("misdirected", "Without an API key this server answers to localhost and loopback addresses only.")
    origin = headers.get("origin")
    if origin is not None and method not in SAFE_METHODS and urlsplit(origin).netloc != host:
        raise problems.Refusal("cross-origin", "A page of another origin may not change anything here.")


def _host_part(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def is_loopback_name(host: str) -> bool:
    """Return whether a host name or address can only be this machine; any other name may be rebound by its owner."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
