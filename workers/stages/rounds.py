"""Rounds of a build with a target: how many candidates each of its searches releases or finds next, and when.

A round follows the last open unit, once duplicates are known. It starts earlier, while units are still open, where these cannot be
expected to reach the target, so that no worker waits for the slowest of them.
Retry: none here; nothing is requested from the network.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from app.db import Connection, candidates, jobs, lifecycle, units
from app.db.candidates import SearchCount
from app.db.rows import NewUnit, Search
from app.domain import ImageState, Reason
from app.job_states import DesiredState, JobKind, JobState, UnitKind
from app.quotas import Supply, plan_searches
from app.spec import JobSpec
from logging_setup import get_logger
from workers.unit import ClaimedUnit

__all__ = ["next_wants", "search_units", "start_round", "supplies", "top_up"]

log = get_logger(__name__)

PROGRESS = {
    ImageState.SPARE: "spare",
    ImageState.PENDING: "in_flight",
    ImageState.DEFERRED: "in_flight",
    ImageState.FETCHED: "fetched",
    ImageState.VALID: "valid",
    ImageState.KEPT: "valid",
}
"""How far an image came that is not out."""


async def next_wants(connection: Connection, unit: ClaimedUnit) -> dict[str, int]:
    """Return how many candidates each search of a build shall release or find next, by search id; none without a target."""
    job, target = unit.job, unit.spec.max_images
    if target is None:
        return {}
    wanted = await candidates.still_wanted(connection, job.id)
    counts = await candidates.counts_by_search(connection, job.dataset_id)
    return plan_searches(target, supplies(unit.spec, await jobs.searches_in(connection, job.id), counts, wanted))


def supplies(spec: JobSpec, searches: Sequence[Search], counts: Sequence[SearchCount], wanted: Mapping[str, int]) -> list[Supply]:
    """Return what each keyword has given and can still give, in the order of the job's keywords; a list counts as one keyword.

    Args:
        wanted: by search id, what open search units are still to release or find. Such a search gets no second unit.
    """
    groups: dict[str | None, list[Search]] = {keyword: [] for keyword in spec.keywords} or {None: []}
    for search in searches:
        groups[search.keyword_among(spec.keywords)].append(search)
    tallies: dict[str | None, Counter[str]] = {}
    for count in counts:
        tallies.setdefault(count.search_id, Counter())[_progress(count.state, count.reason)] += count.count
    return [_supply(group, tallies, wanted) for group in groups.values()]


def _progress(state: ImageState, reason: Reason | None) -> str:
    return PROGRESS.get(state, "valid" if reason is Reason.OVER_TARGET else "dropped")


def _supply(group: Sequence[Search], tallies: Mapping[str | None, Counter[str]], wanted: Mapping[str, int]) -> Supply:
    total: Counter[str] = Counter()
    for search in group:
        total.update(tallies.get(search.id, Counter()))
    return Supply(
        valid=total["valid"],
        tried=total["valid"] + total["dropped"],
        fetched=total["fetched"],
        in_flight=total["in_flight"] + sum(wanted.get(search.id, 0) for search in group),
        searches={
            search.id: tallies.get(search.id, Counter())["spare"] if search.is_exhausted else None
            for search in group
            if search.id not in wanted
        },
    )


def search_units(wants: Mapping[str, int | None]) -> list[NewUnit]:
    """Return a unit for each search; ``None`` for all that it has."""
    return [NewUnit(UnitKind.SEARCH, {"search_id": search_id, "want": want}) for search_id, want in wants.items()]


async def start_round(unit: ClaimedUnit, wants: Mapping[str, int]) -> None:
    """Finish the unit that finalizes a job with another round."""
    log.info("job.wants_more", candidates=sum(wants.values()), searches=len(wants))
    async with unit.transaction() as connection:
        await jobs.set_stage(connection, unit.job.id, state=JobState.RUNNING, stage=None, another_round=True)
        await unit.finish_in(connection, search_units(wants))


async def top_up(unit: ClaimedUnit) -> None:
    """Start another round beside a job's open units if these cannot be expected to reach the target.

    Looked at while few units are left, so that a large build is counted a few times only, and its yield is known by then. The last
    unit of a job starts none: the round that follows it knows the duplicates.
    """
    settings = unit.ctx.settings.jobs
    if unit.job.kind is not JobKind.BUILD or unit.spec.max_images is None or unit.stop.is_set():
        return
    if await units.count_due(unit.ctx.db, unit.job.id) > settings.builder_slots:
        return
    async with unit.transaction() as connection:
        job = await jobs.find(connection, unit.job.id, lock=True)  # one decision at a time
        if job.open_units <= 1 or job.rounds >= settings.max_rounds or job.desired_state is not DesiredState.RUNNING:
            return
        if wants := await next_wants(connection, unit):
            await jobs.set_stage(connection, job.id, state=JobState.RUNNING, stage=None, another_round=True)
            await lifecycle.add_units(connection, job.id, search_units(wants))
    if wants:
        log.info("job.wants_more", candidates=sum(wants.values()), searches=len(wants))
        await unit.ctx.dispatch_next()
