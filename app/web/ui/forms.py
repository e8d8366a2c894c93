"""Forms of pages: read within bounds, and taken only from a page of ours."""

from collections.abc import AsyncIterator
from typing import Final

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData
from starlette.requests import Request

from app.formatting import clipped
from app.web import cookies
from app.web.api import problems
from app.web.identity import SAFE_METHODS, require_own_origin

__all__ = ["read_form", "require_token"]

MOST_FIELDS: Final = 1_000
MOST_FILES: Final = 1


async def require_token(request: Request) -> AsyncIterator[None]:
    """Refuse a change without the token of the browser's cookie; a dependency of every route of pages. Closes the files of the form.

    Raises:
        problems.Refusal: the form or the header holds no token, or another browser's.
    """
    try:
        if request.method not in SAFE_METHODS:
            await _check_token(request)
        yield
    finally:
        await request.close()


async def _check_token(request: Request) -> None:
    require_own_origin(request.method, request.headers)
    token = request.headers.get(cookies.CSRF_HEADER) or (await read_form(request)).get(cookies.CSRF_FIELD, "")
    if not isinstance(token, str) or not cookies.has_token(cookies.secret_of(request.headers), token):
        raise problems.Refusal("cross-origin", "This form is too old, or not from this page. Load the page again, and send it once more.")


async def read_form(request: Request) -> FormData:
    """The fields of the request's form.

    Raises:
        problems.Refusal: there are too many fields or files in it, or characters that no text has.
    """
    if not _is_utf8(request.headers.get("content-type", "")):
        raise problems.Refusal("bad-request", "Send the form as UTF-8, as browsers do; its Content-Type names another charset.")
    limit = request.app.state.resources.settings.serve.max_body_bytes  # of the whole body, so of each field
    form = await request.form(max_files=MOST_FILES, max_fields=MOST_FIELDS, max_part_size=limit)
    for name, value in form.multi_items():
        if "\0" in name or (isinstance(value, str) and "\0" in value):
            raise problems.Refusal("bad-request", f"{clipped(name, 60)!r}: a field of a form must not contain NUL.")
    return form


def _is_utf8(content_type: str) -> bool:
    """Whether a form is to be read as UTF-8; some of the other codecs of Python raise errors of their own, or make lone surrogates."""
    _, options = parse_options_header(content_type)
    return options.get(b"charset", b"utf-8").lower() in (b"utf-8", b"utf8")
