"""``/builds/new``: a build from a form. Its plan comes first; the start sends the same request once more, to be built."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.datastructures import UploadFile
from starlette.responses import RedirectResponse, Response

import errors
from app.db import datasets, jobs
from app.domain import ListProblem
from app.job_states import JobKind
from app.jobs import settle, submit
from app.spec import JobSpec, ListSpec
from app.web import cookies
from app.web.api import fleet, plans, problems
from app.web.api.conventions import Call, NoQuery, call_of
from app.web.api.jobs import NewJob, build
from app.web.api.plans import Plan
from app.web.ui.builds import lists
from app.web.ui.builds.commands import body_text, command_of
from app.web.ui.builds.fields import FIELDS, INPUTS, LICENCES, licence_words
from app.web.ui.builds.form import DEFAULTS, Filled, Values, in_form_words, like, read
from app.web.ui.builds.lists import FieldError, TakenList
from app.web.ui.forms import read_form
from app.web.ui.templating import render

__all__ = ["router"]

router = APIRouter()

PATH: Final = "/builds/new"
PLAN_S: Final = 60.0
"""Seconds that the sources have for a plan; a build waits longer for them."""

KEY_CHARS: Final = 64


@dataclass(frozen=True, slots=True)
class Asked:
    """What a form asked for.

    Attributes:
        values: the fields as they are shown again.
        taken: the list, where there is one and it can be read.
    """

    values: Values
    filled: Filled
    taken: TakenList | None = None


@router.get(PATH)
async def show(request: Request) -> Response:
    """The form: empty, with the fields that the query names, or as the build of the job ``like``."""
    call = call_of(request)
    query = request.query_params
    given = {name: query.getlist(name) for name in FIELDS if name in query}
    values, note = Values({**DEFAULTS, **given}), ""
    if "like" in query:
        values, note = await _like(call, query["like"])
    return await _page(request, values, note=note)


@router.post(PATH)
async def send(request: Request) -> Response:
    """The form with its plan, or with what is wrong in it. With the field ``start`` the build is started, and its job is shown."""
    call = call_of(request)
    starts = bool((await read_form(request)).get("start"))
    async with _asked(request, call, starts=starts) as asked:
        body = asked.filled.body
        if body is None:
            return await _page(request, asked.values, problems=asked.filled.problems, status=422)
        if starts:
            return await _start(request, call, asked, body)
        plan, problem = await _plan(call, body, asked.taken)
        return await _page(request, asked.values, asked=asked, plan=plan, plan_problem=problem)


async def _start(request: Request, call: Call, asked: Asked, body: NewJob) -> Response:
    """Start the build and go to its job. The same form sent twice makes one job."""
    caller = _caller(call, asked.values.text("once")[:KEY_CHARS], body)
    try:
        made = await call.made_before(caller) or await _build(call, asked, body, caller)
    except errors.PermanentError as error:
        where = "into" if body.into is not None and isinstance(error, errors.NotFoundError) else ""
        return await _page(request, asked.values, problems={where: str(error)}, status=422)
    return RedirectResponse(f"/jobs/{made.job_id}", 303)


def _caller(call: Call, once: str, body: NewJob) -> submit.Caller:
    """The key of the form together with what is asked for, so that a form that was changed makes another job."""
    return call.caller(submit.body_digest(f"{once}\n{body.model_dump_json()}".encode()) if once else None, body)


async def _build(call: Call, asked: Asked, body: NewJob, caller: submit.Caller) -> submit.Submitted:
    if asked.taken is None:
        return await build(call, body, caller)
    if body.name is None and body.into is None:
        body = body.model_copy(update={"name": _name_of(asked.taken.spec)})
    settle.resolve_spec(call.resources, body)  # refuse before the list is stored
    return await build(call, body, caller, listed=await lists.keep(call.resources, asked.taken))


def _name_of(listed: ListSpec) -> str:
    return (listed.name.split(".")[0].strip() or "list")[:100]


@asynccontextmanager
async def _asked(request: Request, call: Call, *, starts: bool = False) -> AsyncIterator[Asked]:
    """What the form asks for, with its list open for the body's time."""
    form = await read_form(request)
    files = [item for item in form.getlist("file") if isinstance(item, UploadFile) and item.filename]
    values = Values({name: [str(item) for item in form.getlist(name) if isinstance(item, str)] for name in form})
    settings = call.resources.settings
    if values.text("input") not in INPUTS:
        values = Values({**values.given, "input": ["keywords"]})
    if values.text("drop_list"):
        values = Values({**values.given, "list_key": [], "list_name": []})
    if values.text("input") != "list":
        yield Asked(values, read(values, settings, starts=starts))
        return
    try:
        async with lists.open_list(call.resources, values, files[0] if files else None) as taken:
            filled = read(values, settings, listed=[taken.digest], starts=starts)
            taken, values = await _kept(call, taken, values, is_done=starts and filled.body is not None)
            yield Asked(values, filled, taken)
    except FieldError as error:
        filled = read(values, settings, starts=starts)
        yield Asked(values, Filled(filled.document, None, {**filled.problems, error.field: str(error)}))


async def _kept(call: Call, taken: TakenList, values: Values, *, is_done: bool) -> tuple[TakenList, Values]:
    """Keep a list that the page cannot carry, unless the build starts now."""
    if is_done or taken.pasted or taken.is_kept:
        return taken, values
    spec = await lists.keep(call.resources, taken)
    given = {**values.given, "urls": [], "list_key": [spec.key], "list_name": [spec.name]}
    return replace(taken, spec=spec), Values(given)


async def _plan(call: Call, body: NewJob, taken: TakenList | None) -> tuple[Plan | None, str]:
    """The plan, or why there is none."""
    try:
        if taken is not None:
            return await plans.plan_list(call, body, taken.path, taken.spec), ""
        async with asyncio.timeout(PLAN_S):
            return await plans.create_plan(call, body, NoQuery()), ""
    except TimeoutError:
        return None, f"The sources gave no answer in {PLAN_S:g} seconds. A build asks them again, and waits longer."
    except (errors.PermanentError, errors.TransientError) as error:
        return None, str(error)


async def _like(call: Call, job_id: str) -> tuple[Values, str]:
    """The form of the build that a job made, and what the form cannot repeat of it."""
    job = await jobs.get(call.resources.db, job_id, user_id=call.user_id)
    if job.kind is not JobKind.BUILD:
        raise problems.Refusal("validation-failed", f"Job {job_id} is of kind {job.kind}; only a build can be repeated.")
    spec = JobSpec(**job.spec)
    if spec.folder or spec.lock or spec.merge_of:
        return Values(DEFAULTS), "That build read a folder, a lock or other datasets, which is asked for on the command line only."
    name = (await datasets.get_dataset(call.resources.db, job.dataset_id, user_id=call.user_id)).name
    return like(spec, call.resources.settings, name="" if spec.into else name, priority=job.priority), ""


async def _page(
    request: Request,
    values: Values,
    *,
    asked: Asked | None = None,
    problems: Mapping[str, str] | None = None,
    status: int = 200,
    **more: Any,
) -> Response:
    wrong = problems or {}
    call = call_of(request)
    shown: dict[str, Any] = {"plan": None, "plan_problem": "", "note": "", "body": "", "command": None, "bad_lines": ()} | more
    if asked is not None and asked.filled.body is not None:
        shown |= _same_elsewhere(call, asked, asked.filled.body)
    return render(
        request,
        "new_build.html",
        status=status,
        fields=FIELDS,
        defaults=_defaults(call),
        inputs=INPUTS,
        licences=LICENCES,
        in_form_words=in_form_words,
        values=values,
        problems=wrong,
        first=next((name for name in FIELDS if name in wrong), ""),
        once=values.text("once")[:KEY_CHARS] or cookies.new_secret(),
        sources=(await fleet.list_sources(call, NoQuery())).items,
        most_bytes=call.resources.settings.serve.max_body_bytes,
        **shown,
    )


def _defaults(call: Call) -> dict[str, str]:
    """What the settings decide where a choice is left open."""
    settings = call.resources.settings
    compress, validate = settings.compress, settings.validate_
    return {
        "validation_level": validate.level,
        "label_conflicts": validate.label_conflicts,
        "export_format": settings.export.format,
        "encode": compress.format,
        "resize": compress.resize,
    }


def _same_elsewhere(call: Call, asked: Asked, body: NewJob) -> dict[str, Any]:
    """The same build as a request and as a command, and the lines of its list that cannot be used."""
    taken = asked.taken
    rules = call.resources.settings.validate_.rules()
    licence = licence_words(asked.values.text("license"), is_search=bool(body.keywords))
    if taken is None:
        return {"licence": licence, "body": body_text(asked.filled.document), "command": command_of(body, rules)}
    bad: tuple[ListProblem, ...] = taken.inspection.problems
    command = command_of(body, rules, listed=taken.spec, pasted=taken.pasted)
    return {"licence": licence, "body": _listed_text(asked), "command": command, "bad_lines": bad, "rows": taken.inspection.rows}


def _listed_text(asked: Asked) -> str:
    """The request with the URLs of a pasted list; empty where a list has columns, which a request has as objects."""
    assert asked.taken is not None
    lines = [line.strip() for line in asked.taken.pasted.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if asked.taken.spec.suffix != ".txt" or not lines or len(lines) > MOST_SHOWN:
        return ""
    return body_text(asked.filled.document | {"urls": lines})


MOST_SHOWN: Final = 100
"""URLs of a request that is shown."""
