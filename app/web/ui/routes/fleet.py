"""``/fleet``: workers, queues, hosts, sources and the disk, live; and dead units, to be retried or discarded.

Workers, queues, sources and the disk are everybody's. Hosts and dead units are those of the user's own jobs.
"""

import re
import time
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, NamedTuple

import orjson
from fastapi import APIRouter, Query, Request
from pydantic import ValidationError, model_validator
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from app.db import datasets, jobs
from app.formatting import count
from app.job_states import UnitKind
from app.web.api import dead, fleet, problems
from app.web.api.conventions import Call, DeadQuery, NoQuery, call_of
from app.web.api.dead import UNIT_ID, DeadUnit, NewDiscard, WhichUnits
from app.web.api.fleet import Worker
from app.web.ui.confirm import Confirmation, ask
from app.web.ui.forms import read_form
from app.web.ui.routes.home import disk_of
from app.web.ui.templating import is_fragment, link, render

__all__ = ["router"]

router = APIRouter()

MOST_ROWS: Final = 50
"""Workers and hosts that are listed until all are asked for."""

AT_ONCE: Final = 200
"""Units that one call of the API changes."""

LAGS_S: Final = 0.5
"""A loop that is late by so much is named as late."""


class FleetQuery(DeadQuery):
    """Which dead units, whether all workers and hosts are listed, and what was done to dead units last."""

    show: Literal["all"] | None = None
    retried: int | None = None
    discarded: int | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_blanks(cls, given: Any) -> Any:
        """A form sends fields that were left empty."""
        return {name: value for name, value in given.items() if value != ""} if isinstance(given, dict) else given

    @property
    def filter(self) -> dict[str, Any]:
        """The part that selects dead units, as a query."""
        return {"kind": self.kind, "job_id": self.job_id, "error": self.error}


class KindOfWorkers(NamedTuple):
    """The workers of one kind together. ``beat_at`` is the oldest heartbeat of those that are alive."""

    kind: str
    alive: int
    silent: int
    running: int
    slots: int
    loop_lag_s: float
    versions: Sequence[str]


@router.get("/fleet")
async def show(request: Request, query: Annotated[FleetQuery, Query()]) -> Response:
    """The page; a script gets the live part of it."""
    call = call_of(request)
    values = await _live(call, query.show == "all")
    if is_fragment(request):
        return render(request, "fleet_live.html", query=query, **values)
    found = await dead.list_dead(call, query)
    return render(request, "fleet.html", query=query, dead=found, names=await _names(call, found.items), kinds=list(UnitKind), **values)


async def _live(call: Call, is_all: bool) -> dict[str, Any]:
    workers = (await fleet.list_workers(call, NoQuery())).items
    hosts = (await fleet.list_hosts(call, NoQuery())).items
    most = None if is_all else MOST_ROWS
    return {
        "by_kind": by_kind(workers),
        "workers": worst_first(workers)[:most],
        "workers_total": len(workers),
        "queues": (await fleet.list_queues(call, NoQuery())).items,
        "hosts": hosts[:most],
        "hosts_total": len(hosts),
        "sources": (await fleet.list_sources(call, NoQuery())).items,
        "disk": await disk_of(call.resources),
        "lags_s": LAGS_S,
        "now": time.time(),
    }


def by_kind(workers: Sequence[Worker]) -> list[KindOfWorkers]:
    """Add up the workers of each kind; those that are silent run nothing."""
    return [_of_kind(kind, [worker for worker in workers if worker.kind == kind]) for kind in sorted({worker.kind for worker in workers})]


def _of_kind(kind: str, workers: Sequence[Worker]) -> KindOfWorkers:
    alive = [worker for worker in workers if worker.is_alive]
    return KindOfWorkers(
        kind,
        alive=len(alive),
        silent=len(workers) - len(alive),
        running=sum(worker.running for worker in alive),
        slots=sum(worker.slots for worker in alive),
        loop_lag_s=max((worker.loop_lag_s for worker in alive), default=0.0),
        versions=sorted({worker.version for worker in alive}),
    )


def worst_first(workers: Sequence[Worker]) -> list[Worker]:
    """The silent ones, then those that are late, then the busiest; the order of equals is by name, so that rows stay in place."""
    return sorted(
        workers, key=lambda one: (one.is_alive, -(one.loop_lag_s if one.loop_lag_s >= LAGS_S else 0), one.host, one.pid, one.kind)
    )


async def _names(call: Call, units: Sequence[DeadUnit]) -> dict[str, str]:
    """The names of the datasets by job."""
    db = call.resources.db
    dataset_of = {job_id: (await jobs.get(db, job_id)).dataset_id for job_id in {unit.job_id for unit in units}}
    names = await datasets.names_of(db, set(dataset_of.values()))
    return {job_id: names[dataset_id] for job_id, dataset_id in dataset_of.items()}


@router.post("/fleet/dead/retry")
async def retry(request: Request) -> Response:
    """Retry the units of the form; all that match the filter are asked for once more."""
    call, form = call_of(request), await read_form(request)
    query, chosen = _filter_of(form), await _chosen(call, form)
    if "every" in form and "sure" not in form:
        what = [f"{count(len(chosen), 'dead unit')} become pending again, due at once.", "Jobs that failed because of them go on."]
        return ask(request, _confirmation("Retry all dead units that match?", what, "retry", form, chosen))
    for ids in _portions(chosen):
        await dead.retry_dead(call, WhichUnits(unit_ids=ids), NoQuery())
    return RedirectResponse(link("/fleet", **query.filter, retried=len(chosen)) + "#dead", 303)


@router.post("/fleet/dead/discard")
async def discard(request: Request) -> Response:
    """Discard the units of the form, once it is sure."""
    call, form = call_of(request), await read_form(request)
    query, chosen = _filter_of(form), await _chosen(call, form)
    if "sure" not in form:
        what = [
            f"{count(len(chosen), 'dead unit')} will never run again.",
            "Their images that are not done fail with the reason cancelled; a retry of the job fetches them again.",
        ]
        return ask(request, _confirmation("Discard dead units?", what, "discard", form, chosen))
    for ids in _portions(chosen):
        await dead.discard_dead(call, NewDiscard(unit_ids=ids, resume="resume" in form), NoQuery())
    return RedirectResponse(link("/fleet", **query.filter, discarded=len(chosen)) + "#dead", 303)


def _confirmation(title: str, what: Sequence[str], verb: str, form: FormData, chosen: Sequence[str]) -> Confirmation:
    fields = [(name, str(value)) for name, value in form.multi_items() if name in ("only", "unit", "every", "kind", "job_id", "error")]
    button = f"{verb.capitalize()} {len(chosen)}"
    option = ("resume", "Let jobs that failed go on once none of their units is dead") if verb == "discard" else None
    back = link("/fleet", **_filter_of(form).filter) + "#dead"
    return Confirmation(
        title,
        what,
        f"/fleet/dead/{verb}",
        button,
        back,
        fields=fields,
        option=option,
        is_dangerous=verb == "discard",
        twin=("POST", f"/v1/dead/{verb}", orjson.dumps({"unit_ids": chosen[:AT_ONCE]}).decode()),
    )


def _filter_of(form: FormData) -> FleetQuery:
    try:
        return FleetQuery(**{name: form.get(name, "") for name in ("kind", "job_id", "error")})
    except ValidationError as error:
        raise problems.Refusal("validation-failed", "The filter of the dead units cannot be read; load the page again.") from error


async def _chosen(call: Call, form: FormData) -> list[str]:
    """The ids that the form selects: one, those that are checked, or all that match its filter."""
    if "every" not in form:
        given = [form["only"]] if "only" in form else form.getlist("unit")
        ids = list(dict.fromkeys(str(value) for value in given))
        if not all(re.fullmatch(UNIT_ID, unit_id) for unit_id in ids):
            raise problems.Refusal("validation-failed", "What is selected is no unit; load the page again.")
        return ids or _nothing("Select the units first: each has a box at its beginning.")
    wanted, ids = _filter_of(form), []
    while True:
        page = await dead.list_dead(call, wanted)
        ids += [unit.id for unit in page.items]
        if page.next_cursor is None:
            return ids or _nothing("No dead unit matches any more.")
        wanted = wanted.model_copy(update={"cursor": page.next_cursor})


def _nothing(why: str) -> list[str]:
    raise problems.Refusal("validation-failed", why)


def _portions(ids: Sequence[str]) -> list[list[str]]:
    return [list(ids[at : at + AT_ONCE]) for at in range(0, len(ids), AT_ONCE)]
