"""Walks a folder in one order, whatever its size: a bounded part of each directory is in memory, and a walk goes on behind any file.

Follows no link to a folder, so that a loop of links is none.
"""

import heapq
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from app.discovery.folders.layout import METADATA_NAMES, is_hidden

__all__ = ["File", "Folder", "Walk"]

BATCH = 20_000
"""Entries of a directory that are held, sorted. A directory with more of them is read once for each batch."""


class _Entry(NamedTuple):
    """An entry of a directory, ordered as it is visited: what is said of the images comes before them."""

    order: int
    name: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that the walk enters; ``parts`` are the names that lead to it from the root."""

    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class File:
    """A file that the walk has come to."""

    parts: tuple[str, ...]


@dataclass(slots=True)
class Walk:
    """One walk.

    Attributes:
        root: absolute path.
        batch: entries of a directory that are held.
        left_out: how many entries were passed over, by what they are.
        unreadable: folders that could not be read, with the reason, since the list was last emptied.
    """

    root: str
    batch: int = BATCH
    left_out: Counter[str] = field(default_factory=Counter)
    unreadable: list[tuple[tuple[str, ...], str]] = field(default_factory=list)

    def visit(self, start: Sequence[str] = (), *, is_done: bool = False) -> Iterator[Folder | File]:
        """Yield folders and files, each folder before what it holds.

        Args:
            start: the names that lead to a file: the walk begins with the folders that hold it, then with it.
            is_done: begin behind that file.
        """
        yield Folder(())
        stack: list[tuple[tuple[str, ...], Iterator[_Entry]]] = [((), self._entries((), start, is_done=is_done))]
        while stack:
            parts, entries = stack[-1]
            entry = next(entries, None)
            if entry is None:
                stack.pop()
                continue
            below = (*parts, entry.name)
            if entry.kind != "folder":
                yield File(below)
                continue
            yield Folder(below)
            rest = start[len(below) :] if tuple(start[: len(below)]) == below else ()
            stack.append((below, self._entries(below, rest, is_done=is_done)))

    def _entries(self, parts: tuple[str, ...], rest: Sequence[str], *, is_done: bool) -> Iterator[_Entry]:
        """Yield the entries of a folder from the first name of ``rest`` on, or behind it if that is the file that is done."""
        start = _entry(rest[0]) if rest else None
        is_included = not (is_done and len(rest) == 1)
        while True:
            try:
                batch = self._batch(parts, start, is_included=is_included)
            except OSError as exc:
                self.unreadable.append((parts, exc.strerror or type(exc).__name__))
                return
            is_included = False
            yield from (entry for entry in batch if self._is_taken(entry))
            if len(batch) < self.batch:
                return
            start = batch[-1]

    def _batch(self, parts: tuple[str, ...], start: _Entry | None, *, is_included: bool) -> list[_Entry]:
        begin = None if start is None else start[:2]
        with os.scandir("/".join((self.root, *parts))) as found:
            entries = ((_entry(item.name), item) for item in found)
            wanted = (
                _Entry(*entry[:2], _kind(item))
                for entry, item in entries
                if begin is None or entry[:2] > begin or (is_included and entry[:2] == begin)
            )
            return heapq.nsmallest(self.batch, wanted)

    def _is_taken(self, entry: _Entry) -> bool:
        if entry.kind not in ("folder", "file"):
            self.left_out[entry.kind] += 1
        return entry.kind in ("folder", "file")


def _entry(name: str) -> _Entry:
    return _Entry(0 if name in METADATA_NAMES else 1, name)


def _kind(item: "os.DirEntry[str]") -> str:
    """``folder``, ``file``, or why it is left out. A link to a file is one, wherever it leads: reading decides."""
    if is_hidden(item.name):
        return "hidden"
    is_link = item.is_symlink()
    try:
        if item.is_dir():
            return "linked folder" if is_link else "folder"
        return "file" if item.is_file() or not Path(item).exists() else "no regular file"
    except OSError:  # a loop of links
        return "file"
