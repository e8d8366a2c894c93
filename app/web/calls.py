"""What a route is given of the request it answers: the resources, who asks, and its Idempotency-Key."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request
from pydantic import BaseModel
from starlette.datastructures import Headers

from app.db import fleet
from app.jobs import submit
from app.resources import Resources
from app.web import problems

__all__ = ["Call", "Here", "IdempotencyKey", "json_only"]

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="The same key with the same request gives the same answer again, for a day; with another request it is refused.",
    ),
]


@dataclass(frozen=True, slots=True)
class Call:
    """One request."""

    resources: Resources
    user_id: str
    request_id: str
    path: str
    is_head: bool = False
    traceparent: str | None = None

    def caller(self, key: str | None = None, body: BaseModel | None = None) -> submit.Caller:
        """Who submits. The key belongs to path and body together: one key for two resources is a mistake of the client's."""
        if key is None:
            return submit.Caller(self.user_id, self.request_id, traceparent=self.traceparent)
        sent = body.model_dump_json(exclude_unset=True) if body is not None else ""
        idempotency = (key, submit.body_digest(f"{self.path}\n{sent}".encode()))
        return submit.Caller(self.user_id, self.request_id, idempotency, self.traceparent)

    async def made_before(self, caller: submit.Caller) -> submit.Submitted | None:
        """What the caller's Idempotency-Key already made, for routes that would do more than write rows."""
        if caller.idempotency is None:
            return None
        key, digest = caller.idempotency
        async with self.resources.db.read() as connection:
            known = await fleet.remember(connection, user_id=caller.user_id, key=key, body_digest=digest)
        return submit.Submitted(known, known, is_new=False) if known else None


def _call(request: Request) -> Call:
    state = request.scope["state"]
    return Call(
        request.app.state.resources,
        state["user_id"],
        state["request_id"],
        request.scope["path"],
        is_head=bool(state.get("is_head")),
        traceparent=state.get("traceparent"),
    )


Here = Annotated[Call, Depends(_call)]


def json_only(request: Request) -> None:
    """Refuse a body that does not say it is JSON. A form, which a web page may post anywhere, ends here too."""
    headers = Headers(scope=request.scope)
    has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = media_type.startswith("application/") and (media_type == "application/json" or media_type.endswith("+json"))
    if has_body and request.method not in ("GET", "DELETE") and not is_json:
        raise problems.Refusal("unsupported-media-type", "Send the body as application/json.", headers={"Accept": "application/json"})
