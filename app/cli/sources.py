"""``pictrawl sources ls|show|check``: what can be searched, what each source requires, and whether it answers."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

import errors
from app.cli import exit_codes
from app.cli.options import Cli, parse_name
from app.cli.output import aligned, table, widths_of
from app.cli.session import open_database, run
from app.cli.settings import load_settings
from app.discovery import SourceInfo
from app.domain import Candidate
from app.formatting import clipped, count, number
from app.jobs.sources import SourceCheck, SourceStatus, left_in_words, limits_in_words, ready_names, status_of, statuses, try_sources
from app.settings import Settings

__all__ = ["check", "depth_in_words", "ls", "show"]

Name = Annotated[str, typer.Argument(metavar="NAME", help="A source's name.")]


def ls(cli: Cli) -> int:
    """List the sources and what they require."""
    found = statuses(load_settings(cli))
    rows = [
        (
            status.info.name,
            f"needs {status.needs}" if status.missing else "yes",
            depth_in_words(status.info),
            limits_in_words(status.limits),
            ", ".join(one.partition(" (")[0] for one in status.info.filters) or "-",
        )
        for status in found
    ]
    text = table(("name", "ready", "reachable results", "limits", "filters"), rows)
    hint = "`pictrawl sources show NAME` has terms and licences, `pictrawl sources check` asks them"
    cli.result(text, {"items": [_document(status) for status in found], "next_cursor": None}, brief="\n".join(row[0] for row in rows))
    if not cli.as_json:
        cli.note(hint)
    return exit_codes.OK


def show(cli: Cli, name: Name) -> int:
    """Show one source: terms, licences, limits and what it requires."""
    status = status_of(load_settings(cli), name)
    cli.result(_text(status), _document(status), brief=name)
    return exit_codes.OK


def check(
    cli: Cli,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A source's name; without it all that are ready.")] = None,
    keyword: Annotated[str, typer.Option("--keyword", metavar="WORD", parser=parse_name, help="What is searched for.")] = "cat",
) -> int:
    """Ask a source one small question and show what came.

    The request counts towards the source's limits. Exit code 5 if a source does not answer as it should.
    """
    settings = load_settings(cli)
    names = [name] if name else ready_names(settings)
    if name:
        status = status_of(settings, name)
        if status.missing:
            raise errors.ConfigurationError(status.missing)
    elif skipped := [status.info.name for status in statuses(settings) if status.missing]:
        cli.note(f"not asked, since they are not ready: {', '.join(skipped)}; `pictrawl sources ls` says what they need")
    return run(_check(cli, settings, names, keyword))


async def _check(cli: Cli, settings: Settings, names: list[str], keyword: str) -> int:
    async with open_database(cli, settings, create=True) as db:
        checks = await try_sources(settings, db, names, keyword)
    failed = [one.name for one in checks if one.problem]
    cli.result("\n".join(map(_check_text, checks)), {"items": [one.document() for one in checks]}, brief="\n".join(failed))
    return exit_codes.ENVIRONMENT if failed else exit_codes.OK


def depth_in_words(info: SourceInfo) -> str:
    """How many results of one search can be reached."""
    if info.depth is None:
        return "no limit"
    return f"{number(info.depth)}{', more in parts' if info.is_divisible else ''}"


def _text(status: SourceStatus) -> str:
    info = status.info
    rows = [
        ("name", f"{info.name}, {info.title}"),
        ("ready", "yes" if status.missing is None else f"no: {status.missing}"),
        ("licences", info.licences),
        ("reachable", f"{depth_in_words(info)}; {info.page_size} on a page"),
        ("limits", limits_in_words(status.limits)),
        ("filters", ", ".join(info.filters) or "none"),
        ("API key", info.key + (f", from {info.key_url}" if info.key_url else "")),
        ("terms", info.terms_url),
        ("documentation", info.docs_url),
        ("asked at", status.base_url),
    ]
    return "\n".join(aligned(rows, widths_of(rows)))


def _document(status: SourceStatus) -> dict[str, Any]:
    info = status.info
    return asdict(info) | {
        "id": info.name,
        "needs_key": info.needs_key,
        "ready": status.missing is None,
        "missing": status.missing,
        "base_url": status.base_url,
        "limits": [str(limit) for limit in status.limits],
        "limits_with_key": [str(limit) for limit in info.limits_with_key],
    }


def _check_text(one: SourceCheck) -> str:
    left = f"\n  left   {left_in_words(one.left)}"
    if one.problem:
        return f"{one.name}: {clipped(one.problem, 500)}{left}"
    total = count(one.total, "result") if one.total is not None else "results"
    first = f"\n  first  {_candidate_words(one.first)}" if one.first else ""
    return f"{one.name}: {total} for {one.keyword!r} in {one.elapsed_s:.1f} s{first}{left}"


def _candidate_words(first: Candidate) -> str:
    size = f"{first.width} x {first.height}" if first.width and first.height else "size not stated"
    return ", ".join([clipped(first.title or "no title", 48), first.license or "no licence stated", size])
