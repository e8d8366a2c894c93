"""Sources as the command line and the API show them: what each declares, whether it is ready, and one small request to try it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import errors
from app.db import Database, source_limits
from app.discovery import SOURCES, Query, Source, SourceInfo, check_source, missing
from app.discovery.sources.rate_limits import RateLimit
from app.discovery.sources.source import Place, Reply
from app.domain import Candidate, ListProblem
from app.formatting import count, duration
from app.jobs.source_client import limits_of, make_source_client
from app.resources import make_downloader, make_source, source_options
from app.settings import Settings
from downloader.client import Downloader

__all__ = [
    "SourceCheck",
    "SourceStatus",
    "SourceUse",
    "left_in_words",
    "limits_in_words",
    "ready_names",
    "status_of",
    "statuses",
    "try_source",
    "try_sources",
    "uses",
]


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """A source with the settings that are in force.

    Attributes:
        base_url: where it is asked.
        limits: those that are kept.
        missing: what it needs and does not have, with the way out; None where it is ready.
    """

    info: SourceInfo
    base_url: str
    limits: tuple[RateLimit, ...]
    missing: str | None

    @property
    def needs(self) -> str:
        """What is missing, in a word or two; empty where the source is ready."""
        if self.missing is None:
            return ""
        return "--contact" if self.info.needs_contact and "contact" in self.missing else "a key"


@dataclass(frozen=True, slots=True)
class SourceCheck:
    """What came of one small request to a source.

    Attributes:
        total: results of the keyword; None where the source does not say.
        first: the first result; None where each takes a request of its own, and where there is none.
        left: requests that are left of each limit.
        problem: why nothing came; None where the source works.
    """

    name: str
    keyword: str
    elapsed_s: float
    total: int | None = None
    first: Candidate | None = None
    left: Mapping[RateLimit, int] = field(default_factory=dict)
    problem: str | None = None

    def document(self) -> dict[str, Any]:
        """Return it as the command line and the API show it."""
        return {
            "name": self.name,
            "ok": self.problem is None,
            "problem": self.problem,
            "keyword": self.keyword,
            "total": self.total,
            "first": None if self.first is None else asdict(self.first),
            "elapsed_s": round(self.elapsed_s, 3),
            "left": {str(limit): number for limit, number in self.left.items()},
        }


@dataclass(frozen=True, slots=True)
class SourceUse:
    """What may still be asked of a source.

    Attributes:
        left: requests that are left of each limit now; of several APIs of a source, the one with the least.
        closed_until: Unix time before which it gets no request, 0 where it may be asked.
    """

    left: Mapping[RateLimit, int]
    closed_until: float = 0.0


async def uses(settings: Settings, db: Database) -> dict[str, SourceUse]:
    """Return what may still be asked of every source."""
    apis = await source_limits.apis(db)
    return {
        name: await _use(db, limits_of(settings, name), {api: at for api, at in apis.items() if api.split()[0] == name}) for name in SOURCES
    }


async def _use(db: Database, limits: Sequence[RateLimit], apis: Mapping[str, float]) -> SourceUse:
    used = [await source_limits.count_recent(db, api, limits) for api in apis]
    left = {limit: max(0, limit.requests - max((one[limit] for one in used), default=0)) for limit in limits}
    return SourceUse(left, max(apis.values(), default=0.0))


def statuses(settings: Settings) -> list[SourceStatus]:
    """Return every source."""
    return [status_of(settings, name) for name in SOURCES]


def status_of(settings: Settings, name: str) -> SourceStatus:
    """Return one source.

    Raises:
        errors.ValidationError: there is no such source; the message names the nearest.
    """
    options = source_options(settings, name)
    if name not in SOURCES:
        check_source(name, options)
    return SourceStatus(SOURCES[name], options.base_url, limits_of(settings, name), missing(SOURCES[name], options))


def ready_names(settings: Settings) -> list[str]:
    """Return the sources that can be searched."""
    return [status.info.name for status in statuses(settings) if status.missing is None]


async def try_sources(settings: Settings, db: Database, names: Sequence[str], keyword: str) -> list[SourceCheck]:
    """Ask sources one after the other, each request once. Raises as `try_source`."""
    once = settings.model_copy(update={"retry": settings.retry.model_copy(update={"attempts": 1})})
    async with make_downloader(once) as downloader:
        return [await try_source(once, db, downloader, name, keyword) for name in names]


async def try_source(settings: Settings, db: Database, downloader: Downloader, name: str, keyword: str) -> SourceCheck:
    """Ask a source for a keyword, within its limits: its first page, or the number of results where each takes a request of its own.

    Raises:
        errors.ValidationError: there is no such source.
        errors.ConfigurationError: it needs a contact or a key and there is none.
    """
    check_source(name, source_options(settings, name))
    client = make_source_client(settings, name, downloader, db)
    source, began = make_source(settings, name, client), time.monotonic()
    total, first, problem = None, None, None
    try:
        total, first, problem = await _ask(source, Query(keyword))
    except (errors.PermanentError, errors.TransientError) as error:
        problem = _problem(error)
    elapsed_s = time.monotonic() - began
    limits = limits_of(settings, name)
    used = await source_limits.count_recent(db, client.api, limits)
    left = {limit: max(0, limit.requests - used[limit]) for limit in limits}
    return SourceCheck(name, keyword, elapsed_s, total, first, left, problem)


async def _ask(source: Source, query: Query) -> tuple[int | None, Candidate | None, str | None]:
    """Return the number of results, the first that can be used, and what is wrong with them if none can."""
    if source.info.calls_per_result:
        return await source.count(query, {}), None, None
    parts = source.parts(query)
    reply = await source.read(query, Place(parts[0]))
    total = reply.total if reply.total is not None and len(parts) == 1 else await source.count(query, {})
    return total, *_first_of(reply)


def _first_of(reply: Reply) -> tuple[Candidate | None, str | None]:
    candidates = [item for item in reply.items if isinstance(item, Candidate)]
    problems = [item for item in reply.items if isinstance(item, ListProblem)]
    if candidates or not problems:
        return next(iter(candidates), None), None
    return None, f"none of {count(len(reply.items), 'result')} can be used: {problems[0].message}"


def _problem(error: errors.PictrawlError) -> str:
    """Say why nothing came, and when to ask again."""
    wait = f"; the next request may be sent in {duration(error.retry_after_s)}" if error.retry_after_s else ""
    evidence = f" ({error.evidence})" if error.evidence else ""
    return f"{error}{evidence}{wait}"


def left_in_words(left: Mapping[RateLimit, int], *, none: str = "no limit is declared") -> str:
    """``19 of 20/min, 199 of 200/day``."""
    return ", ".join(f"{number} of {limit}" for limit, number in left.items()) or none


def limits_in_words(limits: Sequence[RateLimit]) -> str:
    """``20/min, 200/day``."""
    return ", ".join(map(str, limits)) or "none declared"
