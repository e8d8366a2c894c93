"""Templates of the pages: one environment that escapes everything, and the headers that every page has."""

import json
import shlex
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.types import Scope

from app import formatting
from app.explain.log_line import line_words
from app.export_spec import describe
from app.resources import product_version
from app.web import cookies
from app.web.api.problems import Problem
from app.web.identity import host_of, is_loopback_name
from app.web.ui.assets import asset_url

__all__ = ["POLICY", "is_fragment", "link", "render", "render_error"]

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Vary": "Accept, Cookie, HX-Request",
}


def _at(value: datetime | float | None) -> float | None:
    return value.timestamp() if isinstance(value, datetime) else value


def ago(value: datetime | float | None) -> str:
    """How long ago a time was, as in ``5m00s ago``."""
    return formatting.ago(_at(value), time.time())


def when(value: datetime | float | None) -> str:
    """A time as local date and time."""
    return formatting.when(_at(value))


def iso(value: datetime | float | None) -> str:
    """A time for the ``datetime`` attribute."""
    moment = datetime.fromtimestamp(value).astimezone() if isinstance(value, int | float) else value
    return moment.isoformat(timespec="seconds") if moment else ""


def tone(state: str) -> str:
    """What a state of a job, an image, a unit or an export looks like: ``kept``, ``dropped``, ``duplicate``, ``running`` or ``waiting``."""
    return _TONES.get(state, "waiting")


_TONES: Final = {
    **dict.fromkeys(("kept", "valid", "succeeded", "done", "ready", "verified", "delivered"), "kept"),
    **dict.fromkeys(("failed", "rejected", "tombstoned", "dead", "cancelled", "quarantined"), "dropped"),
    **dict.fromkeys(("running", "planning", "finalizing", "writing"), "running"),
    "duplicate": "duplicate",
    "partial": "duplicate",
}


def percent(part: float, whole: float) -> str:
    """``12.5 %``; ``-`` of nothing."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def pretty(value: Any) -> str:
    """A value as indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def web_link(url: str | None) -> str | None:
    """A stranger's URL that may become a link; ``None`` for every scheme but http and https."""
    try:
        parts = urlsplit(url or "")
    except ValueError:
        return None
    return url if parts.scheme in ("http", "https") and parts.netloc else None


def link(path: str, **query: Any) -> str:
    """A path with a query; values that are ``None`` are left out."""
    given = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given, doseq=True)}" if given else path


def _environment() -> Environment:
    made = Environment(loader=PackageLoader("app.web.ui"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters |= {
        "ago": ago,
        "asked": describe,
        "clipped": formatting.clipped,
        "count": formatting.count,
        "duration": formatting.duration,
        "iso": iso,
        "line_words": line_words,
        "number": formatting.number,
        "percent": percent,
        "pretty": pretty,
        "shell": shlex.quote,
        "size": formatting.size,
        "tone": tone,
        "web_link": web_link,
        "when": when,
    }
    made.globals |= {"asset": asset_url, "link": link, "product_version": product_version()}
    return made


ENVIRONMENT: Final = _environment()


def is_fragment(request: Request) -> bool:
    """Whether a script of a page asks for a part of it, and not the browser for a whole page."""
    return "hx-request" in request.headers and "hx-boosted" not in request.headers


def render(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Render a template as the answer to a request. Sets the cookie that its forms need where the browser has none."""
    headers = request.headers
    secret = cookies.secret_of(headers)
    own = secret or cookies.new_secret()
    body = ENVIRONMENT.get_template(template).render(**_context(request.scope, own), **values)
    response = HTMLResponse(body, status, HEADERS)
    if secret is None:
        cookies.put(response, own, is_secure=needs_secure_cookie(request.scope))
    return response


def render_error(scope: Scope, problem: Problem, headers: Mapping[str, str]) -> HTMLResponse:
    """The page of a problem."""
    secret = cookies.secret_of(Headers(scope=scope)) or ""
    body = ENVIRONMENT.get_template("error.html").render(**_context(scope, secret), problem=problem)
    return HTMLResponse(body, problem.status, {**HEADERS, **headers})


def needs_secure_cookie(scope: Scope) -> bool:
    """Whether browsers may send the cookie over TLS only: everywhere but on this machine itself."""
    return not is_loopback_name(host_of(Headers(scope=scope)))


def _context(scope: Scope, secret: str) -> dict[str, Any]:
    """What every template knows: where it is, whose it is, the token for its forms, and where its JSON twin is asked for."""
    state = scope["state"]
    headers = Headers(scope=scope)
    return {
        "path": scope["path"],
        "user_id": state.get("user_id"),
        "is_signed_in": state.get("is_signed_in", False),
        "csrf_token": cookies.csrf_token(secret),
        "origin": f"{scope.get('scheme', 'http')}://{headers.get('host', '')}",
    }
