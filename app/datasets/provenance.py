"""Gathers where a dataset comes from, for the papers of its exports, from its rows, the spec of its build and the settings."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from app.db import datasets, images, jobs
from app.db.funnel import Funnel
from app.db.rows import Search
from app.exports.provenance import Asked, Crawler, Provenance, SourceFigures
from app.job_states import JobKind
from app.resources import Resources, product_version
from app.settings import Settings
from app.spec import JobSpec
from downloader.client import user_agent
from logging_setup import redact

__all__ = ["gather"]

STAGES = ("candidates", "fetched", "valid", "unique", "kept")


async def gather(
    resources: Resources,
    dataset_id: str,
    *,
    version: str = "1.0.0",
    previous_version: str = "",
    changes: Mapping[str, int] | None = None,
    created_at: float | None = None,
) -> Provenance:
    """Gather the facts of a dataset as it is now.

    Args:
        version, previous_version: as in ``1.2.0``; no previous one for the first.
        changes: records ``added``, ``removed`` and ``changed`` since the previous version.
        created_at: of the version; by default that of the dataset.

    Raises:
        errors.NotFoundError: there is no such dataset.
    """
    db, settings = resources.db, resources.settings
    dataset = await datasets.get_dataset(db, dataset_id)
    build = await jobs.newest_of_dataset(db, dataset_id, JobKind.BUILD)
    spec = JobSpec(**build.spec) if build is not None else JobSpec(papers=settings.papers.texts())
    funnel = Funnel(await images.counts(db, dataset_id=dataset_id))
    collected_from, collected_until = await datasets.collection_period(db, dataset_id)
    return Provenance(
        dataset_id=dataset.id,
        lineage_id=dataset.lineage_id,
        name=dataset.name,
        created_at=dataset.created_at if created_at is None else created_at,
        version=version,
        previous_version=previous_version,
        changes=dict(changes or {}),
        asked=asked_by(spec),
        funnel={stage: getattr(funnel, stage) for stage in STAGES},
        reasons=funnel.reasons,
        sources=sources_of(funnel, await jobs.searches_of_dataset(db, dataset_id)),
        collected_from=collected_from,
        collected_until=collected_until,
        crawler=crawler_of(settings),
        texts=spec.papers,
        pictrawl=product_version(),
    )


def asked_by(spec: JobSpec) -> Asked:
    """Return what a build was asked for, without paths of the machine and secrets in URLs."""
    rules: dict[str, Any] = asdict(spec.validation) | {"formats": list(spec.validation.formats)}
    searches = bool(spec.keywords)
    return Asked(
        keywords=tuple(spec.keywords),
        languages=tuple(spec.lang) if searches else (),
        synonyms=spec.expand if searches else 0,
        url_list=spec.url_list.name if spec.url_list else "",
        pages=tuple(map(redact, spec.pages.urls)) if spec.pages else (),
        folder=spec.folder.name if spec.folder else "",
        label=spec.label or "",
        licenses=tuple(spec.license),
        unknown_licenses=spec.license_unknown,
        where=spec.where or "",
        max_per_label=spec.max_per_label,
        balance=spec.balance,
        checks=rules,
        dedupe=spec.dedupe,
        near_distance=spec.near_distance,
        label_conflicts=spec.label_conflicts,
        compression=asdict(spec.compression),
        splits=dict(spec.splits),
        split_by=",".join(spec.split_by),
        seed=spec.seed,
    )


def sources_of(funnel: Funnel, searches: Iterable[Search]) -> tuple[SourceFigures, ...]:
    """Return the sources of a dataset, by name; a search that found nothing counts its requests."""
    requests: Counter[str] = Counter()
    for search in searches:
        requests[search.source] += search.requests
    states = funnel.by_source()
    return tuple(
        SourceFigures(name, requests[name], sum(found.values()), found.get("kept", 0))
        for name in sorted({*requests, *states})
        for found in (states.get(name, {}),)
    )


def crawler_of(settings: Settings) -> Crawler:
    """Return how the crawler names itself and behaves."""
    fetch, retry = settings.fetch, settings.retry
    return Crawler(
        user_agent=user_agent(fetch.contact),
        robots=fetch.robots,
        opt_out=fetch.opt_out,
        attempts=retry.attempts,
        per_host=fetch.per_host,
        rate_per_host=fetch.rate_per_host,
        crawl_delay_max_s=fetch.crawl_delay_max_s,
        retry_after_max_s=retry.retry_after_max_s,
        configured_hosts=len(settings.hosts),
    )
