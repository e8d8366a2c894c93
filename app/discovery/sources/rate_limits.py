"""How often a source may be asked: limits and their notation, what a reply's headers say of them, and when a request may be sent. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

__all__ = ["MAX_WAIT_S", "RateLimit", "Slot", "Told", "in_words", "merge", "next_slot", "parse", "read_headers"]

MAX_WAIT_S: Final = 86_400.0
"""No header closes a source for longer than a day at once."""
PROBE_S: Final = 60.0
"""Seconds until the next request where a header says that nothing is left, but not until when."""

_EPOCH_S: Final = 1e9
"""A reset greater than this is a time, a smaller one a number of seconds."""

_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_NOUNS: Final = {1: "second", 60: "minute", 3_600: "hour", 86_400: "day"}
_SHORT: Final = {**_NOUNS, 1: "s", 60: "min"}

_RATE: Final = re.compile(r"\s*([0-9]{1,9})\s*/\s*([smhd])[a-z]*\s*", re.ASCII)
_NUMBER: Final = re.compile(r"\s*([0-9]{1,13})(?:\.[0-9]+)?\s*", re.ASCII)
_WINDOW: Final = re.compile(r";\s*w=([0-9]{1,9})", re.ASCII)
_ITEM: Final = re.compile(r'"?([A-Za-z0-9_.-]+)"?((?:\s*;\s*[a-z]+=[^;,]+)+)', re.ASCII)
_FIELD: Final = re.compile(r";\s*([a-z]+)=([0-9]{1,13})", re.ASCII)
_FAMILIES: Final = ("x-ratelimit", "x-rate-limit", "ratelimit")
_SCOPED: Final = "x-ratelimit-available-"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most so many requests in so many seconds, over all workers."""

    requests: int
    seconds: int

    def __str__(self) -> str:
        return f"{self.requests}/{_SHORT.get(self.seconds, f'{self.seconds} s')}"


@dataclass(frozen=True, slots=True)
class Told:
    """What a reply says of one limit.

    Attributes:
        limit: None where the reply does not name both of its numbers.
        remaining: requests that are left.
        reset_s: seconds until there are more; None where the reply does not say.
    """

    remaining: int
    limit: RateLimit | None = None
    reset_s: float | None = None


@dataclass(frozen=True, slots=True)
class Slot:
    """When a request may be sent.

    Attributes:
        at: Unix time, seconds.
        limit: the limit that it waits for, None where it waits for none, or for a time that the source named.
    """

    at: float
    limit: RateLimit | None = None


def parse(rate: str) -> RateLimit | None:
    """Read ``20/min``, ``200/day``: a number and the first letter of second, minute, hour or day; None for anything else."""
    match = _RATE.fullmatch(rate.lower())
    return RateLimit(int(match[1]), _SECONDS[match[2]]) if match and int(match[1]) else None


def in_words(limit: RateLimit) -> str:
    """``200 requests a day``."""
    noun = _NOUNS.get(limit.seconds)
    span = f"{'an' if noun == 'hour' else 'a'} {noun}" if noun else f"in {limit.seconds} s"
    return f"{limit.requests} request{'' if limit.requests == 1 else 's'} {span}"


def merge(declared: Sequence[RateLimit], told: Iterable[RateLimit]) -> tuple[RateLimit, ...]:
    """Return the limits to keep: those that the source tells, and what it declares for other spans of time."""
    by_span = {limit.seconds: limit for limit in (*declared, *told)}
    return tuple(by_span.values())


def next_slot(now: float, number: int, limits: Iterable[RateLimit], sent: Mapping[int, float], not_before: Iterable[Slot] = ()) -> Slot:
    """Return when request ``number`` may be sent, so that no span of a limit's seconds has more requests than it allows.

    Args:
        sent: when earlier requests were sent, by their numbers; the last one, and for each limit the one as many requests ago, if known.
        not_before: times that the source has named; nothing is sent before.
    """
    counted = [Slot(earlier + one.seconds, one) for one in limits if (earlier := sent.get(number - one.requests)) is not None]
    return max([Slot(max(now, sent.get(number - 1, 0.0))), *counted, *not_before], key=lambda slot: slot.at)


def read_headers(headers: Mapping[str, str], *, now: float) -> tuple[Told, ...]:
    """Return what a reply says of the limits: ``X-RateLimit-*``, ``RateLimit-*`` and ``RateLimit`` of the IETF drafts, and their scopes.

    Args:
        headers: names in any case.
        now: Unix time, for a reset that is a time.
    """
    named = {name.lower(): value for name, value in headers.items()}
    families = [told for family in _FAMILIES for told in _family(named, family, now)]
    return (*families, *_scopes(named), *_structured(named))


def _family(named: Mapping[str, str], family: str, now: float) -> Iterator[Told]:
    """``X-RateLimit-Limit``, ``-Remaining`` and ``-Reset``; several limits are in the same order in each."""
    remaining, limits, resets = (named.get(f"{family}-{name}", "").split(",") for name in ("remaining", "limit", "reset"))
    for left, limit, reset in zip_longest(remaining, limits[: len(remaining)], resets[: len(remaining)], fillvalue=""):
        number, window, until = _number(left), _WINDOW.search(limit), _number(reset)
        if number is None:
            continue
        requests = _number(limit.partition(";")[0])
        whole = RateLimit(requests, int(window[1])) if requests and window and int(window[1]) else parse(limit)
        yield Told(number, whole, None if until is None else _seconds_until(until, now))


def _scopes(named: Mapping[str, str]) -> Iterator[Told]:
    """``X-RateLimit-Limit-anon_burst: 20/min`` and ``X-RateLimit-Available-anon_burst: 19``."""
    for name, value in named.items():
        number = _number(value) if name.startswith(_SCOPED) else None
        if number is not None:
            yield Told(number, parse(named.get(f"x-ratelimit-limit-{name.removeprefix(_SCOPED)}", "")))


def _structured(named: Mapping[str, str]) -> Iterator[Told]:
    """``RateLimit: "default";r=50;t=30`` and ``RateLimit-Policy: "default";q=100;w=10``."""
    policies = {name: dict(_FIELD.findall(rest)) for name, rest in _ITEM.findall(named.get("ratelimit-policy", ""))}
    for name, rest in _ITEM.findall(named.get("ratelimit", "")):
        fields, policy = dict(_FIELD.findall(rest)), policies.get(name, {})
        if "r" in fields:
            quota, window = int(policy.get("q", 0)), int(policy.get("w", 0))
            reset_s = float(fields["t"]) if "t" in fields else None
            yield Told(int(fields["r"]), RateLimit(quota, window) if quota and window else None, reset_s)


def _number(value: str) -> int | None:
    match = _NUMBER.fullmatch(value)
    return int(match[1]) if match else None


def _seconds_until(reset: int, now: float) -> float:
    """A reset is a number of seconds, a Unix time, or that in milliseconds."""
    if reset < _EPOCH_S:
        return float(reset)
    return max(0.0, (reset / 1_000 if reset > _EPOCH_S * 1_000 else reset) - now)
