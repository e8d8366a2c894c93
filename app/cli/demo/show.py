"""The demo as a whole: hosts up, list written, the ordinary build run on it."""

import asyncio
import csv
from collections.abc import Sequence
from pathlib import Path

from app.cli.build import perform
from app.cli.demo.origin import Origin
from app.cli.demo.script import Row, write_script
from app.cli.state import Cli
from app.cli.wanting import Wishes

__all__ = ["run_demo"]

BAD_LINES = (Row("not a URL at all", ""), Row("ftp://example.org/old.jpg", ""))


async def run_demo(cli: Cli, folder: Path) -> int:
    """Run the demo in a folder, again if it has run there before; return the build's exit code."""
    cli.note("making pictures, and four hosts on 127.0.0.1 that throttle, break and lie on purpose")
    if cli.log_level is None and not cli.verbose:
        cli.log_level = "error"  # what goes wrong here is the show, and the display tells it
    cli.workspace = cli.workspace or folder / "workspace"
    async with Origin() as calm, Origin() as busy, Origin() as broken, Origin() as closed:
        rows = await asyncio.to_thread(write_script, calm, busy, broken, closed)
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        path = folder / "urls.csv"
        await asyncio.to_thread(_write, path, [*rows[:100], *BAD_LINES, *rows[100:]])
        cli.note(f"the list: {path}, {len(rows)} URLs and {len(BAD_LINES)} lines that are none")
        return await perform(cli, _wishes(path, folder / "dataset"), _FLAGS)


def _wishes(path: Path, output: Path) -> Wishes:
    return Wishes(urls=[str(path)], label_col="label", name="demo", output=output, overwrite=True, split="train=0.8,val=0.1,test=0.1")


_FLAGS = {
    "fetch.allow_networks": ["127.0.0.0/8"],
    "fetch.ports": [],
    "fetch.per_host": 16,
    "queue.backend": "embedded",
    "db.url": None,
    "db.password_file": None,
    "storage.url": None,
}
"""Loopback may be dialled, on any port, and quickly: the hosts are ours. No setting of the user's leads elsewhere."""


def _write(path: Path, rows: Sequence[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("url", "label"))
        writer.writerows((row.url, row.label) for row in rows)
