"""``pictrawl demo``: an ordinary build against local hosts: four that misbehave, or three services with pictures of many licences."""

import asyncio
import csv
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

import typer

from app.cli.build import run_build
from app.cli.build_options import BuildOptions
from app.cli.demo.origin import Origin
from app.cli.demo.script import Row, write_script
from app.cli.demo.services import KEYWORDS, SERVICES
from app.cli.licences import show_licences
from app.cli.options import Cli, parse_path
from app.cli.session import run

__all__ = ["demo"]

BAD_LINES = (Row("not a URL at all", ""), Row("ftp://example.org/old.jpg", ""))

LICENSE = "commercial"
MAX_IMAGES = 80
CONTACT = "demo@example.org"

SETTINGS = {
    "fetch.allow_networks": ["127.0.0.0/8"],
    "fetch.ports": [],
    "fetch.per_host": 16,
    "queue.backend": "embedded",
    "db.url": None,
    "db.password_file": None,
    "storage.url": None,
}
"""Loopback may be dialled, on any port, with many requests at once: the hosts are the demo's. User settings cannot redirect the demo."""


def demo(
    cli: Cli,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", parser=parse_path, help="Folder of workspace and dataset.")
    ] = Path("pictrawl-demo"),
    keywords: Annotated[bool, typer.Option("--keywords", help="Search local image services instead, by keyword and licence.")] = False,
) -> int:
    """Build a dataset from local hosts that misbehave.

    Takes half a minute. Nothing leaves this machine. Shows the retries, the reasons and the summary of a real build; with --keywords a
    search of several sources, what a choice of licences refuses, and the licences of the dataset.
    """
    return run(_demo_of_keywords(cli, output) if keywords else _demo(cli, output))


async def _demo(cli: Cli, folder: Path) -> int:
    """Run the demo, again if it has run in this folder before; return the build's exit code."""
    cli.note("making pictures, and four hosts on 127.0.0.1 that throttle, break and lie on purpose")
    if cli.log_level is None and not cli.verbose:
        cli.log_level = "error"  # warnings are expected here, and the display shows them
    cli.workspace = cli.workspace or folder / "workspace"
    async with Origin() as calm, Origin() as busy, Origin() as broken, Origin() as closed:
        rows = await asyncio.to_thread(write_script, calm, busy, broken, closed)
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        path = folder / "urls.csv"
        await asyncio.to_thread(_write_list, path, [*rows[:100], *BAD_LINES, *rows[100:]])
        cli.note(f"the list: {path}, {len(rows)} URLs and {len(BAD_LINES)} bad lines")
        return await run_build(cli, _options(path, folder / "dataset"), SETTINGS)


async def _demo_of_keywords(cli: Cli, folder: Path) -> int:
    """Search the demo's services for two keywords, then show the licences of what was kept; return the build's exit code."""
    cli.note(f"making pictures, and {len(SERVICES)} image services on 127.0.0.1: {', '.join(SERVICES)}")
    cli.workspace = cli.workspace or folder / "workspace"
    output = folder / "keywords"
    async with AsyncExitStack() as stack:
        hosts = {name: await stack.enter_async_context(Origin()) for name in SERVICES}
        urls = {name: await asyncio.to_thread(serve, hosts[name]) for name, serve in SERVICES.items()}
        cli.note(f"only what may be used commercially is downloaded: --license {LICENSE}; each service also has other licences, and none")
        settings = SETTINGS | {f"sources.{name}.base_url": url for name, url in urls.items()} | {"fetch.contact": CONTACT}
        code = await run_build(cli, _keyword_options(output), settings)
    if code == 0 and not cli.as_json:
        await show_licences(cli, "demo of keywords", None)
    return code


def _keyword_options(output: Path) -> BuildOptions:
    return BuildOptions(
        keywords=list(KEYWORDS),
        source=list(SERVICES),
        license=[LICENSE],
        max_images=MAX_IMAGES,
        name="demo of keywords",
        output=str(output),
        overwrite=True,
        export_format="imagefolder",
    )


def _options(path: Path, output: Path) -> BuildOptions:
    splits = "train=0.8,val=0.1,test=0.1"
    return BuildOptions(urls=[str(path)], label_col="label", name="demo", output=str(output), overwrite=True, split=splits)


def _write_list(path: Path, rows: Sequence[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("url", "label"))
        writer.writerows((row.url, row.label) for row in rows)
