"""Plans a build without making it: asks the sources for counts, or reads a list through. Stores nothing."""

import asyncio
import functools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

import errors
from app.discovery import SOURCES, Query, check_source, open_source, url_list
from app.discovery import urls as url_reading
from app.discovery.licences import gate as licence_gate
from app.discovery.licences.policy import ANYTHING, LicencePolicy
from app.discovery.planner import BYTES_BASIS, Plan, Survey, expected_bytes, make_plan
from app.discovery.sources.source import JsonClient, SourceOptions
from app.discovery.survey import Surveyor
from app.domain import Candidate
from app.jobs.source_client import limits_of
from app.pages_spec import PagesSpec
from app.resources import source_options
from app.settings import Settings
from app.spec import JobSpec, ListedImage, ListSpec

__all__ = ["ListPlan", "PagesPlan", "plan_list", "plan_pages", "plan_searches", "plan_urls"]

MAX_ROWS = 1_000_000
"""Rows of a list that are read for a plan."""

MAX_HOSTS = 10


@dataclass(frozen=True, slots=True)
class ListPlan:
    """A list that was read through.

    Attributes:
        rows: that were read; ``is_whole`` is False where there are more.
        usable: those with a URL; some may name one URL.
        refused: of these, by what the list states of their licence; they would not be fetched.
        hosts: the largest ones, with their rows; ``all_hosts`` is how many there are.
    """

    rows: int
    usable: int
    all_hosts: int
    hosts: Mapping[str, int]
    size_bytes: int
    is_whole: bool = True
    refused: int = 0
    bytes_basis: str = field(default=BYTES_BASIS)


@dataclass(frozen=True, slots=True)
class PagesPlan:
    """Pages that were not read: how many are named, how far a build would go from them, and on which hosts they are."""

    named: int
    max_pages: int
    depth: int
    hosts: Mapping[str, int]


async def plan_searches(settings: Settings, spec: JobSpec, client_for: Callable[[str], JsonClient]) -> Plan:
    """Ask the sources of a build for counts, side by side; one that does not answer is named, and the plan goes on.

    Args:
        client_for: the client through which a source is asked, by the source's name.
    """
    options, in_the_way = _ready(settings, spec)
    policy = licence_gate.policy_of(spec)
    queries = [Query(keyword, licences=policy) for keyword in spec.keywords]
    surveyors = {name: Surveyor(open_source(name, client_for(name), given), _in_words) for name, given in options.items()}
    found = await asyncio.gather(*(one.survey(queries) for one in surveyors.values()))
    surveys: dict[tuple[str, str], Survey] = {
        (keyword, name): survey
        for name, of_source in zip(surveyors, found, strict=True)
        for keyword, survey in zip(spec.keywords, of_source, strict=True)
    }
    quota = spec.quota
    if quota is None:
        raise errors.ValidationError("there is nothing to ask: a plan is for keywords, a list or pages")
    infos = {name: SOURCES[name].as_asked(given) for name, given in options.items()}
    limits = {name: limits_of(settings, name) for name in options}
    plan = make_plan(quota, spec.keywords, surveys, infos, limits, side_px=spec.side_px)
    if spec.expand:
        in_the_way.append(f"up to {spec.expand} synonyms of each keyword are searched as well (expand): they are not in this plan")
    return replace(plan, in_the_way=[*in_the_way, *plan.in_the_way], requests=sum(one.asked for one in surveyors.values()))


def _ready(settings: Settings, spec: JobSpec) -> tuple[dict[str, SourceOptions], list[str]]:
    """Return the sources that can be asked, with their options, and what the others lack."""
    options: dict[str, SourceOptions] = {}
    in_the_way: list[str] = []
    for name in dict.fromkeys(spec.sources):
        try:
            given = source_options(settings, name, side_px=spec.side_px)
            check_source(name, given)
            options[name] = given
        except errors.PermanentError as error:
            in_the_way.append(f"{name}: {error}")
    return options, in_the_way


def _in_words(error: errors.PictrawlError) -> str:
    """What a source answered instead of a count."""
    return f"it was asked for a count and gave none: {error}"


def plan_list(path: Path, spec: ListSpec, *, policy: LicencePolicy = ANYTHING, most: int | None = None) -> ListPlan:
    """Read a list through: rows, URLs, hosts.

    Args:
        policy: the licences that the build takes.
        most: images that are wanted; None for all.
    """
    rows = islice(url_list.read(path, spec, skip=0), MAX_ROWS + 1)
    return _list_plan((item if isinstance(item, Candidate) else None for item in rows), policy, most)


def plan_pages(pages: PagesSpec) -> PagesPlan:
    """What is known of pages before they are read."""
    hosts = Counter(urlsplit(url).netloc.rpartition("@")[2].lower() for url in pages.urls)
    return PagesPlan(len(pages.urls), pages.max_pages, pages.depth, dict(hosts.most_common(MAX_HOSTS)))


def plan_urls(urls: Sequence[str | ListedImage], *, policy: LicencePolicy = ANYTHING, most: int | None = None) -> ListPlan:
    """As `plan_list`, of the URLs of a request."""
    listed = (ListedImage.model_construct(url=item) if isinstance(item, str) else item for item in urls)
    return _list_plan((item if url_reading.usable(item.url) else None for item in listed), policy, most)


def _list_plan(rows: Iterable[Candidate | ListedImage | None], policy: LicencePolicy, most: int | None) -> ListPlan:
    hosts: Counter[str] = Counter()
    number = refused = 0
    decide = functools.lru_cache(policy.decide)  # most rows of a list are under a few licences
    for number, row in enumerate(rows, 1):
        if number > MAX_ROWS:
            break
        if row is not None:
            hosts[urlsplit(url_reading.usable(row.url) or row.url).netloc.rpartition("@")[2].lower()] += 1
            refused += not decide(*licence_gate.statements_of(row.license, row.license_url, row.license_raw)).is_taken
    images = hosts.total() - refused if most is None else min(hosts.total() - refused, most)
    largest, is_whole = dict(hosts.most_common(MAX_HOSTS)), number <= MAX_ROWS
    return ListPlan(min(number, MAX_ROWS), hosts.total(), len(hosts), largest, expected_bytes(images, None), is_whole, refused)
