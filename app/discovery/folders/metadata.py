"""What lies beside images and describes them: a metadata file with a row for each, or a text and a JSON file with an image's own name."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import orjson

import errors
from app.discovery import url_list
from app.discovery.folders import local_file
from app.discovery.folders.layout import METADATA_NAMES, suffix_of
from app.discovery.folders.place import file_url
from app.discovery.lists.json_lines import Objects
from app.domain import Candidate, ListProblem
from app.spec import ListSpec

__all__ = ["Described", "MetadataFile", "find_metadata", "read_sidecars"]

FIRST_ROWS = 20
"""Rows of which one must name a file, or it is no metadata file."""

MAX_SIDECAR_BYTES = 1_000_000
_TEXT_SUFFIXES = (".txt", ".caption")
_BOXES = re.compile(r"\d++(?:\s++[\d.e+-]++){4,}")
"""Lines of numbers: the boxes of a detector (YOLO), no caption. One way to match only: a megabyte of numbers takes no time."""


@dataclass(frozen=True)
class MetadataFile:
    """A metadata file; its rows name files relative to its folder."""

    folder: str
    name: str

    @property
    def path(self) -> str:
        """Where it lies."""
        return f"{self.folder}/{self.name}"

    def read(self, skip: int = 0) -> Iterator[Candidate | ListProblem]:
        """Yield one item for each row, in order, from row ``skip`` on.

        Raises:
            errors.ConfigurationError: the file is gone, or no such file any more.
        """
        spec = ListSpec(key="", suffix=suffix_of(self.name), name=self.name, url_column="file_name", base=self.folder)
        for item in url_list.read(Path(self.path), spec, skip=skip):
            yield item if isinstance(item, Candidate) else replace(item, message=f"{self.name}: {item.message}")

    def lists(self, path: str) -> bool:
        """Whether one of its rows names a file."""
        wanted = hash(file_url(path))
        at = int(np.searchsorted(self._hashes, wanted))
        return at < len(self._hashes) and int(self._hashes[at]) == wanted

    @cached_property
    def _hashes(self) -> "np.ndarray[Any, np.dtype[np.int64]]":
        """The files that its rows name, 8 bytes each."""
        return np.sort(np.fromiter((hash(item.url) for item in self.read() if isinstance(item, Candidate)), np.int64))


def find_metadata(folder: str, root: str) -> MetadataFile | None:
    """Return the metadata file of a folder, None where it has none inside of ``root`` whose rows name files."""
    for name in METADATA_NAMES:
        if Path(folder, name).is_file() and not local_file.leads_out(f"{folder}/{name}", root):
            found = MetadataFile(folder, name)
            with suppress(errors.ConfigurationError):
                if any(isinstance(item, Candidate) for item, _ in zip(found.read(), range(FIRST_ROWS), strict=False)):
                    return found
    return None


@dataclass(slots=True)
class Described:
    """Reads rows that describe one image each, whatever their keys."""

    _objects: Objects = field(default_factory=lambda: Objects(ListSpec(key="", suffix=".jsonl", url_column="file_name", base="")))

    def candidate(self, row: Mapping[str, Any], url: str, rank: int, line: int | None = None) -> Candidate | ListProblem:
        """Return the candidate at ``url`` that a row describes, or what is wrong with the row."""
        found = self._objects.build({**row, "file_name": url}, line or rank + 1, rank)
        return replace(found, line=line) if isinstance(found, Candidate) else found


def read_sidecars(path: str, root: str) -> tuple[dict[str, Any], list[str], list[str]]:
    """Return what the files with the name of an image say, as a row, the suffixes of those files, and those of damaged ones.

    What they say becomes part of the dataset, so links that lead out of ``root`` are not followed.
    """
    stem = path.removesuffix(path[len(path) - len(suffix_of(path)) :])
    row: dict[str, Any] = {}
    used, damaged = [], []
    if body := local_file.read_beside(f"{stem}.json", root, MAX_SIDECAR_BYTES):
        try:
            found = orjson.loads(body)
            row = found if isinstance(found, dict) else {}
            used.append(".json")
        except ValueError:
            damaged.append(".json")
    for suffix in _TEXT_SUFFIXES:
        words = (local_file.read_beside(stem + suffix, root, MAX_SIDECAR_BYTES) or b"").decode("utf-8", "replace").strip()
        if words and not _BOXES.fullmatch(words):
            row.setdefault("caption", words)
            used.append(suffix)
    return row, used, damaged
