"""What both kinds of remote destination share: the files of an export as they are sent, and how a sender says how far it is."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import errors
from app.exports.folder import digests_of
from app.exports.sidecars import SUMS
from app.storage import MANIFEST

__all__ = ["LAST", "REPLACED", "OnSent", "OutgoingFile", "Sent", "list_files", "name_some"]

LAST = (SUMS, MANIFEST)
"""Sent at the end, in this order: a dataset is whole with its manifest, and the old sums name the old files until then."""

REPLACED = f"{MANIFEST}.replaced"
"""The name of an earlier dataset's manifest while another takes its place: nothing there looks whole, and the old files are still known as
ours."""

SHOWN_FILES = 3


@dataclass(frozen=True, slots=True)
class OutgoingFile:
    """A file of an export: its path in it, the file itself, and what its bytes are."""

    path: str
    file: Path
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Sent:
    """Some files that are at the destination now; ``is_new`` says whether they were sent, or had been there."""

    files: int
    size_bytes: int
    is_new: bool = True


OnSent = Callable[[Sent], Awaitable[None]]
"""Called after each file or batch. What it raises ends the sending; what was sent stays, and the next run goes on after it."""


async def list_files(folder: Path) -> dict[str, OutgoingFile]:
    """List the files of the export in a folder by path, `LAST` at the end, with the digests that the export states.

    Raises:
        errors.StorageError: it is no export that is whole.
    """
    return await asyncio.to_thread(_list_files, folder)


def _list_files(folder: Path) -> dict[str, OutgoingFile]:
    digests = digests_of(folder)
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise errors.StorageError("the export in the store has no manifest.json; it is not whole")
    digests |= {path: _sha256(folder / path) for path in _undigested(folder) if path not in digests}
    ordered = [*(path for path in sorted(digests) if path not in LAST), *(path for path in LAST if path in digests)]
    try:
        return {path: OutgoingFile(path, folder / path, (folder / path).stat().st_size, digests[path]) for path in ordered}
    except FileNotFoundError as error:
        raise errors.StorageError(f"the export in the store lacks {Path(str(error.filename)).name}") from error


def _undigested(folder: Path) -> list[str]:
    """The files that no list of digests names: those of the folder itself that list the others."""
    return [path.name for path in folder.iterdir() if path.is_file()]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def name_some(paths: list[str]) -> str:
    """The first few of some paths, for a message."""
    return ", ".join(sorted(paths)[:SHOWN_FILES]) + (" and more" if len(paths) > SHOWN_FILES else "")
