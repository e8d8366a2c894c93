"""The MediaWiki Action API: one request and its answer. Errors come with status 200, so every body is checked for them.

Knows neither images nor terms; https://www.mediawiki.org/wiki/API:Errors_and_warnings and API:Etiquette are its sources.
"""

import re
from collections.abc import Mapping
from typing import Any

import errors
from app.discovery import text
from app.discovery.sources.source import JsonClient

__all__ = ["call", "continuation", "endpoint"]

MIN_LAG_WAIT_S = 5.0
"""The wait that API:Etiquette asks for after ``maxlag``."""
MAX_LAG_WAIT_S = 60.0
RATE_LIMIT_WAIT_S = 60.0
"""The body names no time; less than a minute meets the same limit again."""

_LIMITED = frozenset({"ratelimited", "actionthrottledtext", "too-many-requests"})
_AWAY = re.compile(
    r"maxlag|readonly|dblag|internal_api_error_\w*DB\w*|cirrussearch-(?:backend|too-busy|regex-too-busy|pool)\S*|search-(?:backend-)?error"
)
_NAME = re.compile(r"[a-z]{1,32}")
_MAX_VALUE_CHARS = 500


def endpoint(root: str) -> str:
    """Return the API's address on the wiki at ``root`` (scheme and host, perhaps a port)."""
    return f"{root.rstrip('/')}/w/api.php"


async def call(client: JsonClient, url: str, params: Mapping[str, str]) -> Mapping[str, Any]:
    """Send one GET request and return its answer.

    Raises:
        errors.RateLimitError, errors.ServiceUnavailableError: the body asks for patience; ``retry_after_s`` says how much.
        errors.BadRequestError: the body refuses the request.
        errors.ProtocolError: the body is not what the API answers.
    """
    reply = await client.fetch_json(url, params={**params, "format": "json", "formatversion": "2"})
    if not isinstance(reply, dict):
        raise errors.ProtocolError("the MediaWiki API's answer is no JSON object")
    problem = _problem(reply)
    if problem is not None:
        raise _translate(problem)
    return reply


def continuation(reply: Mapping[str, Any], taken: Mapping[str, str]) -> dict[str, str] | None:
    """Return the whole ``continue`` object as parameters, ``None`` if there is none; it can't overrule the parameters ``taken``."""
    found = reply.get("continue")
    if not isinstance(found, dict):
        return None
    return {name: str(value) for name, value in found.items() if name not in taken and _is_parameter(name, value)} or None


def _is_parameter(name: object, value: object) -> bool:
    return isinstance(name, str) and bool(_NAME.fullmatch(name)) and isinstance(value, str | int) and len(str(value)) <= _MAX_VALUE_CHARS


def _problem(reply: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the error of a body, in either of the API's two error formats."""
    single, several = reply.get("error"), reply.get("errors")
    if isinstance(single, dict):
        return single
    if isinstance(several, list) and several:
        return several[0] if isinstance(several[0], dict) else {}
    return None


def _translate(problem: Mapping[str, Any]) -> errors.PictrawlError:
    code = text.clean(problem.get("code"), 100) or "unknown"
    evidence = text.strip_html(problem.get("info") or problem.get("text"), 300)
    if code in _LIMITED:
        return errors.RateLimitError("the MediaWiki API limits our rate", retry_after_s=RATE_LIMIT_WAIT_S, evidence=evidence)
    if _AWAY.fullmatch(code):
        message = f"the MediaWiki API is not available now: {code}"
        return errors.ServiceUnavailableError(message, retry_after_s=_lag_wait(problem), evidence=evidence)
    return errors.BadRequestError(f"the MediaWiki API refuses the request: {code}", evidence=evidence)


def _lag_wait(problem: Mapping[str, Any]) -> float:
    lag = problem.get("lag")
    if not isinstance(lag, int | float):
        return MIN_LAG_WAIT_S
    return max(MIN_LAG_WAIT_S, min(float(lag), MAX_LAG_WAIT_S))
