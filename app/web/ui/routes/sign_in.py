"""``/signin`` and ``/signout``: an API key, given once, becomes the session of a browser."""

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from app.db import Database, api_keys, sessions
from app.web import cookies
from app.web.api import problems
from app.web.api.conventions import call_of
from app.web.identity import authenticate, host_of, is_loopback_name
from app.web.ui.forms import read_form
from app.web.ui.templating import needs_secure_cookie, render
from logging_setup import get_logger

__all__ = ["local_path", "router"]

router = APIRouter()
log = get_logger(__name__)


@router.get("/signin")
async def show(request: Request, next: str = "/") -> Response:
    """The form for a key."""
    return await _form(request, local_path(next))


@router.post("/signin")
async def sign_in(request: Request) -> Response:
    """Start a session; go to the page that was asked for."""
    form = await read_form(request)
    target, token = local_path(str(form.get("next", "/"))), str(form.get("key", "")).strip()
    db: Database = request.app.state.resources.db
    try:
        key_id, user_id = await authenticate(db, f"Bearer {token}")
    except problems.Refusal:
        return await _form(request, target, problem="This is no API key in force. `pictrawl keys create` shows a new one, once.")
    if (former := cookies.secret_of(request.headers)) is not None:
        await sessions.end(db, former)  # nobody could sign out of it any more
    secret = await sessions.start(db, key_id=key_id, user_id=user_id)
    log.info("session.started", user_id=user_id, key_id=key_id)
    response = RedirectResponse(target, 303)
    cookies.put(response, secret, is_secure=needs_secure_cookie(request.scope))
    return response


@router.post("/signout")
async def sign_out(request: Request) -> Response:
    """End the session."""
    secret = cookies.secret_of(request.headers)
    if secret is not None:
        await sessions.end(request.app.state.resources.db, secret)
        log.info("session.ended")
    response = RedirectResponse("/signin", 303)
    cookies.clear(response, is_secure=needs_secure_cookie(request.scope))
    return response


@router.get("/session")
async def session(request: Request) -> Response:
    """Whose session this is, and the token for changes in it, for pages that were open before the user signed in again."""
    secret = cookies.secret_of(request.headers) or ""
    return JSONResponse({"user_id": call_of(request).user_id, "csrf_token": cookies.csrf_token(secret)})


async def _form(request: Request, target: str, problem: str = "") -> Response:
    is_plain = request.scope.get("scheme") == "http" and not is_loopback_name(host_of(request.headers))
    has_keys = await api_keys.has_keys(request.app.state.resources.db)
    return render(
        request, "sign_in.html", status=401 if problem else 200, target=target, problem=problem, is_plain=is_plain, has_keys=has_keys
    )


def local_path(path: str) -> str:
    """A path on this server to go on to; ``/`` for anything that a browser could take for another site."""
    is_local = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and "\\" not in path
    return path if is_local else "/"
