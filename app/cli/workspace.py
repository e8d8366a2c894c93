"""``pictrawl workspace du|prune``: the disk that a workspace takes, and how to get it back."""

import asyncio
from pathlib import Path

from app.cli.holder import claim_workspace, open_workspace
from app.cli.options import Cli
from app.cli.output import table
from app.cli.runner import open_job_resources
from app.cli.session import configure_logging, database_file, require_workspace, run
from app.cli.settings import load_settings
from app.formatting import count, number, size
from app.jobs import cleaning
from app.settings import Settings

__all__ = ["du", "prune"]

_WHAT = {
    "database": "rows of jobs and images",
    "blobs": "images as they came, and re-encoded ones; those of a folder are linked to its files where they can be",
    "thumbs": "thumbnails",
    "exports": "datasets; files of a delivered one are linked to it and take no space of their own",
    "lists": "URL lists of builds",
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
    sizes = {"database": database_bytes} | {kind: usage.size_bytes[kind] for kind in _WHAT if kind != "database"}
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


def prune(cli: Cli) -> int:
    """Remove what nothing refers to any more.

    Jobs, datasets and their images stay; remove those with `pictrawl jobs rm` and `pictrawl datasets rm` first.
    Delivered folders stay in any case. With a fleet, or while another process works on the workspace,
    only what is older than a day is removed.
    """
    return run(_prune(cli))


async def _prune(cli: Cli) -> int:
    settings = load_settings(cli)
    require_workspace(settings)
    configure_logging(cli, settings, default="WARNING")
    before = await asyncio.to_thread(_database_bytes, settings)
    workspace = open_workspace(settings, "workspace prune")
    is_alone = workspace is not None and workspace.take()
    try:
        async with open_job_resources(settings, workspace=workspace) as resources:
            cleaned = await cleaning.clean(resources.db, resources.store, min_age_s=0.0 if is_alone else cleaning.GRACE_S)
            if is_alone:
                await claim_workspace(resources)
                await resources.db.compact()
    finally:
        if workspace is not None:
            workspace.release()
    if workspace is not None and not is_alone:
        cli.note(f"{workspace.find_holder() or 'another process'} works on this workspace: only what is older than a day was removed")
    freed_bytes = cleaned.size_bytes + max(0, before - await asyncio.to_thread(_database_bytes, settings))
    document = {"size_bytes": freed_bytes, "blobs": cleaned.blobs, "trees": cleaned.trees, "files": cleaned.files}
    parts = f"{count(cleaned.blobs, 'image')}, {number(cleaned.trees)} exports and lists"
    cli.result(f"{size(freed_bytes)} freed: {parts}", document, brief=str(freed_bytes))
    return 0


def _database_bytes(settings: Settings) -> int:
    """Size of the embedded database with its journal; 0 for a server's."""
    file = database_file(settings)
    parts = () if file is None else (file, Path(f"{file}-wal"), Path(f"{file}-shm"))
    return sum(part.stat().st_size for part in parts if part.exists())
