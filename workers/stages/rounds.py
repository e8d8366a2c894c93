"""Rounds of a build with a target: how many candidates each of its searches releases or finds next, and when.

A round follows the last open unit, once duplicates are known. It starts earlier, while units are still open, where these cannot be
expected to reach the target, so that no worker waits for the slowest of them. Once the target is met, units that ask for more are ended.
Retry: none here; nothing is requested from the network.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from app.db import Connection, candidates, jobs, lifecycle, units
from app.db.candidates import SearchCount, Wanted
from app.db.rows import Job, NewUnit, Search
from app.domain import ImageState, Reason
from app.job_states import GATHERING, DesiredState, JobKind, JobState, UnitKind
from app.quotas import Supply, is_met, plan_searches
from app.spec import JobSpec
from logging_setup import get_logger
from workers.unit import ClaimedUnit

__all__ = ["next_wants", "search_units", "start_round", "steer", "supplies"]

log = get_logger(__name__)

PROGRESS = {
    ImageState.SPARE: "spare",
    ImageState.PENDING: "in_flight",
    ImageState.DEFERRED: "deferred",
    ImageState.FETCHED: "fetched",
    ImageState.VALID: "valid",
    ImageState.KEPT: "valid",
}
"""How far an image came that is not out."""

_OUT: dict[Reason | None, str] = {Reason.OVER_TARGET: "valid", Reason.LICENCE: "refused"}
"""What an image counts as that is out. A refused one was not tried: it says nothing about how many of those that are fetched will do.
Where labels are limited, an image over the target is one whose label has enough: another one is wanted in its place."""


async def next_wants(connection: Connection, unit: ClaimedUnit) -> dict[str, int]:
    """Return how many candidates each search of a build shall release or find next, by search id; none without a target."""
    quota = unit.spec.quota
    return {} if quota is None else plan_searches(quota, await _load_supplies(connection, unit))


async def _load_supplies(connection: Connection, unit: ClaimedUnit) -> list[Supply]:
    """Load what each keyword has given and can still give; a retry goes on with the searches of the dataset's first build."""
    job = unit.job
    wanted = await candidates.still_wanted(connection, job.id)
    counts = await candidates.counts_by_search(connection, job.dataset_id, seen_by=job)
    return supplies(unit.spec, await jobs.searches_in(connection, job.dataset_id), counts, wanted)


def supplies(spec: JobSpec, searches: Sequence[Search], counts: Sequence[SearchCount], wanted: Mapping[str, Wanted]) -> list[Supply]:
    """Return what each keyword has given and can still give, in the order of the job's keywords; a list counts as one keyword.

    Args:
        wanted: by search id, what open search units are still to release or find. Such a search gets no second unit.
    """
    out = _OUT if spec.max_per_label is None else _OUT | {Reason.OVER_TARGET: "dropped"}
    tallies: dict[str | None, Counter[str]] = {}
    for count in counts:
        tallies.setdefault(count.search_id, Counter())[PROGRESS.get(count.state) or out.get(count.reason, "dropped")] += count.count
    return [_supply(group, tallies, wanted) for group in candidates.by_keyword(searches, spec.keywords).values()]


def _supply(group: Sequence[Search], tallies: Mapping[str | None, Counter[str]], wanted: Mapping[str, Wanted]) -> Supply:
    total: Counter[str] = Counter()
    for search in group:
        total.update(tallies.get(search.id, Counter()))
    open_ones = [wanted[search.id] for search in group if search.id in wanted]
    return Supply(
        valid=total["valid"],
        tried=total["valid"] + total["dropped"],
        fetched=total["fetched"],
        in_flight=total["in_flight"] + sum(item.now for item in open_ones),
        deferred=total["deferred"] + sum(item.later for item in open_ones),
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


async def steer(unit: ClaimedUnit) -> None:
    """Look at a job whose unit is about to end: end what its target does not need any more, or start another round beside its open units.

    Looked at while few units are left, so that a large build is counted a few times only, and its yield is known by then.
    """
    job, quota = unit.job, unit.spec.quota
    if job.kind is not JobKind.BUILD or quota is None or unit.stop.is_set() or unit.is_unneeded:
        return
    if unit.spec.is_update and not job.rounds:  # what the target lacks is known once all images were asked for again
        return
    if await units.count_due(unit.ctx.db, job.id) > unit.ctx.settings.jobs.builder_slots:
        return
    async with unit.transaction() as connection:
        job = await jobs.find(connection, job.id, lock=True)  # one decision at a time
        if job.desired_state is not DesiredState.RUNNING:
            return
        found = await _load_supplies(connection, unit)
        if is_met(quota, found):
            await _end_gathering(connection, unit)
            return
        wants = plan_searches(quota, found) if _may_top_up(job, found, unit.ctx.settings.jobs.max_rounds) else {}
        if wants:
            await jobs.set_stage(connection, job.id, state=JobState.RUNNING, stage=None, another_round=True)
            await lifecycle.add_units(connection, job.id, search_units(wants))
    if wants:
        log.info("job.wants_more", candidates=sum(wants.values()), searches=len(wants))
        await unit.ctx.dispatch_next()


def _may_top_up(job: Job, found: Sequence[Supply], max_rounds: int) -> bool:
    """Whether a round may start beside open units. The last unit starts none: the round that follows it knows the duplicates.

    A unit that is to wait for its deferred images is not the last, unless fetched ones are validated before.
    """
    waits = any(supply.deferred for supply in found) and not any(supply.fetched for supply in found)
    return job.rounds < max_rounds and (job.open_units > 1 or waits)


async def _end_gathering(connection: Connection, unit: ClaimedUnit) -> None:
    """End the searches and fetches of a job that wait, and let those that run end in order; what is not fetched yet is spare again.

    The state tells workers that what runs is not needed. Where duplicates leave the job short, the next round starts with the spare ones.
    """
    ended = await lifecycle.cancel_waiting(connection, unit.job.id, GATHERING)
    own = [unit.row.payload] if unit.row.kind in GATHERING else []
    spare = await candidates.put_back(connection, [str(payload["chunk_id"]) for payload in (*ended, *own) if "chunk_id" in payload])
    await jobs.set_stage(connection, unit.job.id, state=JobState.FINALIZING, stage=None)
    if ended or spare:
        log.info("job.target_met", units=len(ended), spare=spare)
