"""``pictrawl workspace du|prune``: the disk that a workspace takes, and how to get it back."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.holder import claim_workspace, open_workspace
from app.cli.options import Cli, Yes
from app.cli.output import table
from app.cli.runner import open_job_resources
from app.cli.session import configure_logging, database_file, require_workspace, run
from app.cli.settings import load_settings
from app.db.rows import Dataset
from app.formatting import clipped, count, number, size, when
from app.gallery import folder
from app.jobs import cleaning
from app.resources import Resources
from app.settings import Settings

__all__ = ["du", "prune"]

_WHAT = {
    "database": "rows of jobs and images",
    "blobs": "images as they came, and re-encoded ones; those of a folder are linked to its files where they can be",
    "thumbs": "thumbnails",
    "exports": "datasets; files of a delivered one are linked to it and take no space of their own",
    "lists": "URL lists of builds",
    "columns": "what images are sorted and filtered by; made again when somebody looks",
    "other": "",
}


def du(cli: Cli) -> int:
    """Show the disk space that the workspace takes."""
    return run(_du(cli))


async def _du(cli: Cli) -> int:
    settings = load_settings(cli)
    require_workspace(settings)
    configure_logging(cli, settings, default="WARNING")
    async with open_job_resources(settings) as resources:
        usage = await cleaning.measure(resources.db, resources.store)
    database_bytes = await asyncio.to_thread(_database_bytes, settings)
    columns_bytes = folder.size_of(folder.columns_folder(settings))
    sizes = {kind: usage.size_bytes[kind] for kind in _WHAT} | {"database": database_bytes, "columns": columns_bytes}
    total = sum(sizes.values())
    rows = [(kind, size(value), number(usage.objects[kind]), _WHAT[kind]) for kind, value in sizes.items() if value]
    text = table(("what", "size", "objects", ""), rows, right=(1, 2))
    unused = f"{size(usage.unused_bytes)} of it in {count(usage.unused_objects, 'object')} that nothing refers to: pictrawl workspace prune"
    lines = [text, f"{size(total)} in all" + (f"; {unused}{cli.workspace_options}" if usage.unused_objects else "")]
    document = {
        "size_bytes": sizes,
        "objects": dict(usage.objects),
        "total_bytes": total,
        "unused": {"size_bytes": usage.unused_bytes, "objects": usage.unused_objects},
    }
    cli.result("\n".join(lines), document, brief=str(total))
    return 0


KEEP_VERSIONS = "Remove the datasets that N newer versions replace, with their exports; default: all stay."
THUMBNAILS = "Remove all thumbnails; they are made again when somebody looks. Default: those above storage.thumbnail_bytes."
LOG_DAYS = "Remove the job logs of jobs that ended more than DAYS ago; default: all stay."


def prune(
    cli: Cli,
    yes: Yes = False,
    keep_versions: Annotated[int | None, typer.Option("--keep-versions", metavar="N", min=1, help=KEEP_VERSIONS)] = None,
    log_days: Annotated[float | None, typer.Option("--log-days", metavar="DAYS", min=0, help=LOG_DAYS)] = None,
    thumbnails: Annotated[bool, typer.Option("--thumbnails", help=THUMBNAILS)] = False,
) -> int:
    """Remove what nothing refers to any more.

    Without --yes, what would go is shown. Jobs, datasets and their images stay, but for old versions with --keep-versions;
    `pictrawl datasets rm` removes one. Delivered folders stay in any case. With a fleet, or while another process works
    on the workspace, only what is older than a day is removed.
    """
    return run(_prune(cli, cleaning.Choice(keep_versions, log_days, 0 if thumbnails else None), yes))


async def _prune(cli: Cli, choice: cleaning.Choice, yes: bool) -> int:
    settings = load_settings(cli)
    require_workspace(settings)
    configure_logging(cli, settings, default="WARNING")
    if choice.thumbnail_bytes is None:
        choice = replace(choice, thumbnail_bytes=settings.storage.thumbnail_bytes)
    workspace = open_workspace(settings, "workspace prune")
    is_alone = workspace is not None and workspace.take()
    try:
        async with open_job_resources(settings, workspace=workspace) as resources:
            min_age_s = 0.0 if is_alone else cleaning.GRACE_S
            if yes:
                await _clean(cli, settings, resources, choice, min_age_s)
            else:
                await _show_plan(cli, settings, resources, choice, min_age_s)
    finally:
        if workspace is not None:
            workspace.release()
    if workspace is not None and not is_alone:
        verb = "was removed" if yes else "would go"
        cli.note(f"{workspace.find_holder() or 'another process'} works on this workspace: only what is older than a day {verb}")
    return 0


async def _show_plan(cli: Cli, settings: Settings, resources: Resources, choice: cleaning.Choice, min_age_s: float) -> None:
    plan = await cleaning.plan(resources.db, resources.store, choice, min_age_s=min_age_s)
    columns_bytes = folder.size_of(folder.columns_folder(settings))
    lines = [f"would free {size(plan.size_bytes)} of {count(plan.objects, 'object')} that nothing refers to"]
    lines += [f"would free {size(columns_bytes)} of columns, which are made again when somebody looks"] if columns_bytes else []
    lines += [f"would remove {count(plan.thumbnails, 'thumbnail')}, {size(plan.thumbnail_bytes)}"] if plan.thumbnails else []
    lines += [f"would remove {_named(old)}" for old in plan.versions]
    lines += [f"would remove {count(plan.log_lines, 'line')} of job logs"] if plan.log_lines else []
    more = ["the bytes of removed versions that nothing else needs come on top"] if plan.versions else []
    empty = not (plan.objects or plan.thumbnails or plan.versions or plan.log_lines or columns_bytes)
    hint = [] if empty else [f"pictrawl workspace prune{choice_words(choice)}{cli.workspace_options} --yes does it"]
    counts = {"size_bytes": plan.size_bytes + columns_bytes, "objects": plan.objects, "log_lines": plan.log_lines}
    counts |= {"thumbnails": plan.thumbnails, "thumbnail_bytes": plan.thumbnail_bytes}
    document = {"removed": False, "versions": [old.id for old in plan.versions]} | counts
    cli.result("\n".join([*lines, *more, *hint]), document, brief=str(plan.size_bytes + columns_bytes))


def _named(dataset: Dataset) -> str:
    return f"{dataset.id}, {clipped(dataset.name, 40)} of {when(dataset.created_at)}"


def choice_words(choice: cleaning.Choice) -> str:
    """The options that ask for this choice."""
    versions = f" --keep-versions {choice.keep_versions}" if choice.keep_versions is not None else ""
    logs = f" --log-days {choice.log_days:g}" if choice.log_days is not None else ""
    return versions + logs + ("" if choice.thumbnail_bytes else " --thumbnails")


async def _clean(cli: Cli, settings: Settings, resources: Resources, choice: cleaning.Choice, min_age_s: float) -> None:
    before = await asyncio.to_thread(_database_bytes, settings)
    removed = await cleaning.remove_chosen(resources.db, choice)
    cleaned = await cleaning.clean(resources.db, resources.store, min_age_s=min_age_s, thumbnail_bytes=choice.thumbnail_bytes)
    if not min_age_s:
        await claim_workspace(resources)
        await resources.db.compact()
    columns_bytes = await asyncio.to_thread(folder.clear, folder.columns_folder(settings))
    freed_bytes = columns_bytes + cleaned.size_bytes + max(0, before - await asyncio.to_thread(_database_bytes, settings))
    document: dict[str, Any] = {"removed": True, "size_bytes": freed_bytes, "blobs": cleaned.blobs, "trees": cleaned.trees}
    document |= {"thumbnails": cleaned.thumbnails}
    document |= {"files": cleaned.files, "versions": [old.id for old in removed.versions], "log_lines": removed.log_lines}
    parts = [f"{count(cleaned.blobs, 'image')}, {number(cleaned.trees)} exports and lists"]
    parts += [count(cleaned.thumbnails, "thumbnail")] if cleaned.thumbnails else []
    parts += [count(len(removed.versions), "old version")] if removed.versions else []
    parts += [f"{count(removed.log_lines, 'line')} of job logs"] if removed.log_lines else []
    cli.result(f"{size(freed_bytes)} freed: {', '.join(parts)}", document, brief=str(freed_bytes))


def _database_bytes(settings: Settings) -> int:
    """Size of the embedded database with its journal; 0 for a server's."""
    file = database_file(settings)
    parts = () if file is None else (file, Path(f"{file}-wal"), Path(f"{file}-shm"))
    return sum(part.stat().st_size for part in parts if part.exists())
