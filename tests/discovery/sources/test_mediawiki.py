"""What a MediaWiki body says."""

from typing import Any

import pytest

import errors
from app.discovery.sources import mediawiki
from tests.discovery.fakes import ScriptedClient


async def test_call_when_answer_is_good() -> None:
    """The answer comes back, and was asked for in the second format version."""
    client = ScriptedClient({"query": {}})
    assert await mediawiki.call(client, "u", {"action": "query"}) == {"query": {}}
    assert client.requests == [("u", {"action": "query", "format": "json", "formatversion": "2"})]


@pytest.mark.parametrize(
    ("error", "expected", "wait_s"),
    [
        ({"code": "maxlag", "info": "Waiting for db1: 7.5 seconds lagged.", "lag": 7.5}, errors.ServiceUnavailableError, 7.5),
        ({"code": "maxlag", "lag": 0.2}, errors.ServiceUnavailableError, 5.0),
        ({"code": "maxlag", "lag": 9000}, errors.ServiceUnavailableError, 60.0),
        ({"code": "readonly"}, errors.ServiceUnavailableError, 5.0),
        ({"code": "internal_api_error_DBQueryError"}, errors.ServiceUnavailableError, 5.0),
        ({"code": "cirrussearch-too-busy-error"}, errors.ServiceUnavailableError, 5.0),
        ({"code": "ratelimited", "info": "You've exceeded your rate limit."}, errors.RateLimitError, 60.0),
        ({"code": "badvalue", "info": "Unrecognised value"}, errors.BadRequestError, None),
        ({"code": ["odd"]}, errors.BadRequestError, None),
    ],
)
async def test_call_when_error_in_a_200(error: dict[str, Any], expected: type[errors.PictrawlError], wait_s: float | None) -> None:
    """Patience is asked for as such, with its time; a refusal is one."""
    with pytest.raises(expected) as caught:
        await mediawiki.call(ScriptedClient({"error": error}), "u", {})
    assert caught.value.retry_after_s == wait_s


@pytest.mark.parametrize("problems", [[{"code": "ratelimited", "text": "slow"}], ["odd"]])
async def test_call_when_errors_are_a_list(problems: list[Any]) -> None:
    """The API's newer error format is understood as well."""
    with pytest.raises(errors.PictrawlError, match="MediaWiki API"):
        await mediawiki.call(ScriptedClient({"errors": problems}), "u", {})


@pytest.mark.parametrize("reply", [[], "text", None, 3])
async def test_call_when_answer_is_no_object(reply: object) -> None:
    """An answer of another shape is a protocol error."""
    with pytest.raises(errors.ProtocolError):
        await mediawiki.call(ScriptedClient(reply), "u", {})


async def test_call_when_info_is_hostile() -> None:
    """What the source says is evidence, bounded and without markup, and no part of the message."""
    with pytest.raises(errors.BadRequestError) as caught:
        await mediawiki.call(ScriptedClient({"error": {"code": "x", "info": "<b>no\x00</b>" + "y" * 999}}), "u", {})
    assert caught.value.evidence is not None
    assert caught.value.evidence.startswith("noy")
    assert len(caught.value.evidence) == 300
    assert "yyy" not in caught.value.message


def test_continuation_when_parameters_are_taken() -> None:
    """All of the object goes into the next request, but nothing that overrules it."""
    reply = {"continue": {"gsroffset": 50, "continue": "gsroffset||", "action": "delete", "Bad Name": "x", "list": [], "long": "x" * 999}}
    assert mediawiki.continuation(reply, {"action": "query"}) == {"gsroffset": "50", "continue": "gsroffset||"}


@pytest.mark.parametrize("reply", [{}, {"continue": {}}, {"continue": "x"}, {"continue": {"action": "y"}}])
def test_continuation_when_there_is_none(reply: dict[str, Any]) -> None:
    """Nothing to go on with is the end."""
    assert mediawiki.continuation(reply, {"action": "query"}) is None
