"""Reading back: a dataset in the store through the workers' own checks, a delivered folder through the digests that lie in it."""

import asyncio
import hashlib
from pathlib import Path, PurePosixPath
from typing import Any

from app.cli import codes
from app.cli.delivery import stands_at
from app.cli.failures import Refused
from app.cli.session import require_workspace
from app.cli.state import Cli
from app.cli.words import clipped, count
from app.cli.working import Desk, workplace
from app.db import exports
from app.db.rows import Export
from app.domain import CheckKind
from app.jobs import submit

__all__ = ["verify_dataset", "verify_folder"]

SUMS = "SHA256SUMS"
SHOWN = 20


async def verify_dataset(cli: Cli, dataset_id: str) -> int:
    """Re-read every stored object, and the latest export with its format's own reader."""
    settings = cli.settings()
    require_workspace(settings)
    async with workplace(cli, settings, "datasets verify") as desk:
        problems: list[str] = []
        integrity = await _check(desk, dataset_id, None)
        problems += [f"image {found['image']}: {found['problem']}" for found in integrity.get("problems", [])]
        latest = await _latest(desk, dataset_id)
        exported = await _check(desk, dataset_id, latest) if latest is not None else {}
        problems += exported.get("problems", [])
        if desk.interrupts.code is not None:
            return desk.interrupts.code
    document = {"dataset_id": dataset_id, "objects": integrity.get("checked", 0), "samples": exported.get("samples"), "problems": problems}
    read = f"{count(document['objects'], 'object')} and {count(exported.get('samples') or 0, 'sample')} of the export read back"
    return _say(cli, read, document, problems)


async def _latest(desk: Desk, dataset_id: str) -> Export | None:
    made = (await exports.page_exports(desk.resources.db, dataset_id=dataset_id)).items
    return next((export for export in made if export.state == "ready"), None)


async def _check(desk: Desk, dataset_id: str, export: Export | None) -> dict[str, Any]:
    made: list[submit.Submitted] = []

    async def begin() -> str:
        made.append(await submit.submit_check(desk.resources, CheckKind.INTEGRITY, dataset_id=dataset_id, export=export))
        return made[0].job_id

    await desk.carry_out(begin, f"verifying {export.id if export else dataset_id}")
    return dict((await exports.get_check(desk.resources.db, made[0].resource)).report or {})


async def verify_folder(cli: Cli, folder: Path) -> int:
    """Compare every file of a delivered dataset with the digests that lie in it."""
    if not stands_at(folder):
        raise Refused(f"{folder} holds no dataset of ours: there is no manifest.json", "name a dataset's id or its folder")
    wanted = await asyncio.to_thread(_wanted, folder)
    problems = await asyncio.to_thread(_compare, folder, wanted)
    document = {"folder": str(folder), "files": len(wanted), "problems": problems}
    return _say(cli, f"{folder}: {count(len(wanted), 'file')} read back", document, problems)


def _say(cli: Cli, read: str, document: dict[str, Any], problems: list[str]) -> int:
    shown = [f"  {clipped(problem, 200)}" for problem in problems[:SHOWN]]
    rest = [f"  and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
    found = "nothing differs" if not problems else count(len(problems), "problem")
    cli.result("\n".join([f"{read}: {found}", *shown, *rest]), document, brief="ok" if not problems else "problems")
    return codes.UNVERIFIED if problems else codes.OK


def _wanted(folder: Path) -> dict[str, str]:
    """Relative path -> digest, from the manifest and the sums."""
    files = stands_at(folder).get("files")
    wanted = {path: str(facts.get("sha256", "")) for path, facts in (files if isinstance(files, dict) else {}).items()}
    sums = folder / SUMS
    for line in sums.read_text(encoding="utf-8").splitlines() if sums.is_file() else ():
        digest, _, path = line.partition("  ")
        wanted.setdefault(path, digest)
    return wanted


def _compare(folder: Path, wanted: dict[str, str]) -> list[str]:
    problems = []
    for path, digest in wanted.items():
        parts = PurePosixPath(path)
        if parts.is_absolute() or ".." in parts.parts:
            problems.append(f"{path}: leads out of the folder")
        elif not (folder / parts).is_file():
            problems.append(f"{path}: missing")
        elif _digest(folder / parts) != digest:
            problems.append(f"{path}: its bytes differ")
    known = {folder / path for path in wanted} | {folder / "manifest.json"}
    extra = sorted(path for path in folder.rglob("*") if path.is_file() and path not in known)
    return problems + [f"{path.relative_to(folder)}: not of this dataset" for path in extra]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
