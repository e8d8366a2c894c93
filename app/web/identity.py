"""Who asks. A bearer key or the session of a browser names its user; without any key in force, a server on loopback takes everyone for
``local``.

Open to all are ``/healthz``, ``/readyz``, ``/docs``, the sign-in page, the files of the pages, and what ``/`` tells programs: these are the
same on every server. Once a key is in force, every other path needs one, ``/metrics`` and the OpenAPI document included: behind a proxy
every request comes from loopback, so the peer's address proves nothing.
"""

import ipaddress
import time
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

import errors
from app.db import Database, api_keys, sessions
from app.web import cookies
from app.web.api import problems
from logging_setup import get_logger

__all__ = [
    "API_PREFIX",
    "LOCAL_USER",
    "OPEN_PATHS",
    "SAFE_METHODS",
    "KeyAuthentication",
    "authenticate",
    "host_of",
    "is_loopback_name",
    "require_own_origin",
    "wants_page",
]

log = get_logger(__name__)

LOCAL_USER = "local"
API_PREFIX = "/v1/"
OPEN_PATHS = frozenset({"/docs", "/healthz", "/readyz", "/signin"})
OPEN_PREFIX = "/static/"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

TOUCH_S = 60.0
"""Seconds between two notes that a key is in use."""

_NO_KEY = "0" * 64


class KeyAuthentication:
    """Middleware that puts ``user_id`` and ``is_signed_in`` on the request's state, or ends the request with a problem."""

    def __init__(self, app: ASGIApp, *, db: Database | None, keys_required: bool = False) -> None:
        self.app = app
        self.db = db
        self.keys_required = keys_required
        self.touched: dict[str, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _is_open(scope):
            await self.app(scope, receive, send)
            return
        try:
            user_id, is_signed_in = await self._user_of(scope)
        except errors.PictrawlError as error:
            await problems.respond(scope, problems.of_error(error))(scope, receive, send)
            return
        except problems.Refusal as refusal:
            await problems.respond(scope, refusal)(scope, receive, send)
            return
        scope["state"] |= {"user_id": user_id, "is_signed_in": is_signed_in}
        with log.contextualize(user_id=user_id):
            await self.app(scope, receive, send)

    async def _user_of(self, scope: Scope) -> tuple[str, bool]:
        """Who asks, and whether a key says so."""
        assert self.db is not None
        headers = Headers(scope=scope)
        header = headers.get("authorization")
        if header is not None:
            key_id, user_id = await authenticate(self.db, header)
            await self._touch(key_id)
            return user_id, True
        session = await self._session_of(headers)
        if session is not None:
            _require_own_page(scope, headers)
            await self._touch(session.key_id)
            return session.user_id, True
        if self.keys_required or await api_keys.has_keys(self.db):
            raise _unauthenticated("Send an API key: Authorization: Bearer ptk_…", "")
        _require_local(scope["method"], headers)
        return LOCAL_USER, False

    async def _session_of(self, headers: Headers) -> sessions.Session | None:
        assert self.db is not None
        secret = cookies.secret_of(headers)
        return await sessions.find(self.db, secret) if secret is not None else None

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


def _is_open(scope: Scope) -> bool:
    """Whether everyone may ask for this path."""
    path = scope["path"]
    return path in OPEN_PATHS or path.startswith(OPEN_PREFIX) or (path == "/" and not wants_page(Headers(scope=scope)))


def wants_page(headers: Headers) -> bool:
    """Whether a browser asks for a page, and not a program for data."""
    return "text/html" in headers.get("accept", "")


def _require_own_page(scope: Scope, headers: Headers) -> None:
    """Refuse requests that another site makes in a user's session. Routes of pages look for the token in the form instead."""
    method = scope["method"]
    require_own_origin(method, headers)
    is_api = scope["path"].startswith(API_PREFIX)
    if is_api and method not in SAFE_METHODS and not cookies.has_token(cookies.secret_of(headers), headers.get(cookies.CSRF_HEADER, "")):
        raise problems.Refusal("cross-origin", f"With a session, send the header {cookies.CSRF_HEADER}; or send an API key instead.")


def _require_local(method: str, headers: Headers) -> None:
    """Refuse browsers where no key protects the API: DNS rebinding to loopback, and cross-site posts."""
    if not is_loopback_name(host_of(headers)):
        raise problems.Refusal("misdirected", "Without an API key this server answers to localhost and loopback addresses only.")
    require_own_origin(method, headers)


def require_own_origin(method: str, headers: Headers) -> None:
    """Refuse what a page of another origin would change.

    Raises:
        problems.Refusal: the Origin header names another host than the request was sent to.
    """
    origin = headers.get("origin")
    if origin is not None and method not in SAFE_METHODS and _netloc(origin) != headers.get("host", ""):
        raise problems.Refusal("cross-origin", "A page of another origin may not change anything here.")


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def host_of(headers: Headers) -> str:
    """The host name or address that a request was sent to, without the port; empty where it cannot be read."""
    return _host_part(headers.get("host", ""))


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
