"""``pictrawl build --dry-run``: what a build would find and cost, as a table or a document. Nothing is stored."""

import asyncio
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from app.cli import exit_codes
from app.cli.folder_input import look_at
from app.cli.options import Cli
from app.cli.output import table, width
from app.cli.session import open_database
from app.discovery.licences.policy import policy_for
from app.discovery.planner import Plan, SearchPlan
from app.formatting import clipped, count, duration, number, size
from app.jobs.plan import ListPlan, plan_list, plan_pages, plan_searches
from app.jobs.settle import settle_spec
from app.jobs.source_client import make_source_client
from app.pages_spec import PagesSpec
from app.resources import make_downloader
from app.settings import Settings
from app.spec import FolderSpec, JobRequest, ListSpec

__all__ = ["list_text", "plan_text", "show_folder_plan", "show_list_plan", "show_pages_plan", "show_plan"]

SHOWN_SEARCHES = 40
SHOWN_PROBLEMS = 20
KEYWORD_CHARS, HEAD_COLUMNS = 22, 13


async def show_plan(cli: Cli, settings: Settings, request: JobRequest) -> int:
    """Ask the sources and show the plan. The exit code is the best one that the build could have."""
    spec = settle_spec(settings, request)
    cli.note(f"asking {', '.join(dict.fromkeys(spec.sources))} for counts, as often as their limits allow")
    async with open_database(cli, settings, create=True) as db, make_downloader(settings) as downloader:
        plan = await plan_searches(settings, spec, lambda name: make_source_client(settings, name, downloader, db))
    cli.result(plan_text(plan), asdict(plan))
    if not plan.candidates:
        return exit_codes.NOTHING_KEPT
    is_known = all(item.reachable is not None for item in plan.searches)
    return exit_codes.TOO_FEW if is_known and plan.reachable < request.min_images else exit_codes.OK


async def show_list_plan(cli: Cli, path: Path, spec: ListSpec, request: JobRequest) -> int:
    """Read the list through and show what it holds."""
    policy = policy_for(request.license, request.license_unknown, is_search=False)
    plan = await asyncio.to_thread(plan_list, path, spec, policy=policy, most=request.max_images)
    cli.result(list_text(plan), asdict(plan))
    taken = plan.usable - plan.refused
    if plan.is_whole and not taken:
        return exit_codes.NOTHING_KEPT
    return exit_codes.TOO_FEW if plan.is_whole and taken < request.min_images else exit_codes.OK


async def show_folder_plan(cli: Cli, folder: FolderSpec, request: JobRequest) -> int:
    """Read the first images of a folder and show what they are."""
    policy = policy_for(request.license, request.license_unknown, is_search=False)
    found = await asyncio.to_thread(look_at, folder, policy)
    refused = f"; {number(found.refused)} of them refused by licence" if found.refused else ""
    lines = [
        *_lines("folder", [found.words() + refused, *filter(None, [found.left_out]), *found.problems]),
        *_lines("asked", ["nobody; nothing was stored"]),
    ]
    cli.result("\n".join(lines), asdict(found))
    taken = found.images - found.refused
    if found.is_whole and not taken:
        return exit_codes.NOTHING_KEPT
    return exit_codes.TOO_FEW if found.is_whole and taken < request.min_images else exit_codes.OK


def show_pages_plan(cli: Cli, pages: PagesSpec) -> int:
    """Show which pages a build would begin with; what they hold is known only when they are read."""
    plan = plan_pages(pages)
    hosts = [f"{count(pages_of, 'page')} on {clipped(host, 60)}" for host, pages_of in plan.hosts.items()]
    lines = [
        *_lines("pages", [f"{number(plan.named)} named; at most {number(plan.max_pages)} are read, links {plan.depth} deep"]),
        *_lines("hosts", hosts),
        *_lines("images", ["known only when the pages are read; a small --max-pages is a cheap trial"]),
        *_lines("asked", ["nobody; nothing was stored"]),
    ]
    cli.result("\n".join(lines), asdict(plan))
    return exit_codes.OK


def plan_text(plan: Plan) -> str:
    """The plan for people, in at most 100 columns."""
    heads = ("keyword", "source", "results", "allowed", "reachable", "to fetch", "calls")
    rows = [_row(item) for item in plan.searches[:SHOWN_SEARCHES]]
    parts = [table(heads, rows, right=(2, 3, 4, 5, 6))] if rows else []
    if len(plan.searches) > SHOWN_SEARCHES:
        parts.append(f"and {number(len(plan.searches) - SHOWN_SEARCHES)} more, see --json")
    totals = f"{number(plan.candidates)} candidates for {count(plan.target, 'image')}, {_calls(plan.calls)}"
    parts += ["", *_lines("first round", [f"{totals}, {duration(plan.seconds)}, about {size(plan.size_bytes)}"])]
    for item in plan.sources:
        limits = f" at {', '.join(item.limits)}" if item.limits else ""
        parts += _lines("", [f"{item.source}: {_calls(item.calls)} in {duration(item.seconds)}{limits}", *item.notes])
    parts += _lines("bytes", [f"by {plan.bytes_basis}"])
    parts += _lines("in the way", plan.in_the_way)
    parts += _lines("asked", [f"{count(plan.requests, 'count')}; nothing was stored"])
    return "\n".join(parts)


def _row(item: SearchPlan) -> Sequence[str]:
    if item.problem:
        return (clipped(item.keyword, KEYWORD_CHARS), item.source, "no answer", "", "", number(item.candidates), number(item.calls))
    figures = (item.results, item.allowed, item.reachable)
    shown = ("unknown" if value is None else number(value) for value in figures)
    return (clipped(item.keyword, KEYWORD_CHARS), item.source, *shown, number(item.candidates), number(item.calls))


def _calls(calls: int) -> str:
    return count(calls, "API call")


def _lines(head: str, items: Sequence[str]) -> list[str]:
    """Items below each other beside one head, each wrapped; of many the first."""
    shown = [clipped(item, 300) for item in items[:SHOWN_PROBLEMS]]
    shown += [f"and {number(len(items) - SHOWN_PROBLEMS)} more"] if len(items) > SHOWN_PROBLEMS else []
    heads = [head, *([""] * len(shown))]
    indent = " " * HEAD_COLUMNS
    return [
        textwrap.fill(item, width(), initial_indent=f"{name:<{HEAD_COLUMNS}}", subsequent_indent=indent, break_on_hyphens=False)
        for name, item in zip(heads, shown, strict=False)
    ]


def list_text(plan: ListPlan) -> str:
    """What a list holds, for people."""
    rows = f"{number(plan.rows)} rows" if plan.is_whole else f"the first {number(plan.rows)} rows"
    hosts = [f"{number(rows)} {clipped(host, 60)}" for host, rows in plan.hosts.items()]
    more = [f"and {number(plan.all_hosts - len(plan.hosts))} more"] if plan.all_hosts > len(plan.hosts) else []
    refused = f", {number(plan.refused)} of them refused by licence" if plan.refused else ""
    lines = [
        *_lines("list", [f"{rows}, {number(plan.usable)} with a usable URL{refused}"]),
        *_lines("hosts", [*hosts, *more]),
        *_lines("bytes", [f"about {size(plan.size_bytes)}, by {plan.bytes_basis}"]),
        *_lines("asked", ["nobody; nothing was stored"]),
    ]
    return "\n".join(lines)
