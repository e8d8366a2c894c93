"""Shards whose names say how many there are, ``data/train-00000-of-00003.parquet``: writing them, and finding them again."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from app.domain import Sample
from app.exports import names
from app.exports.exporter import ExportOptions
from app.exports.hashed_file import FileFacts, HashedFile
from app.exports.shard_counter import ShardCounter
from app.exports.verify import Inspection

__all__ = ["OpenShard", "Shard", "ShardSet", "list_shards"]


class Shard(Protocol):
    """What a format writes into one file."""

    def add(self, sample: Sample, body: bytes) -> None:
        """Write one sample."""
        ...

    def finish(self) -> None:
        """Write what stands behind the last sample. The file is closed afterwards."""
        ...


@dataclass(frozen=True, slots=True)
class OpenShard:
    """A shard that is being written."""

    path: str
    file: HashedFile
    shard: Shard


class ShardSet:
    """The shards of an export. Of each split one is open at a time.

    Args:
        prefix: of every path, as in ``data/``; its folder must exist.
        suffix: of every path, without the dot.
        counts: the number of shards of each split, as a :class:`ShardCounter` found it.
    """

    def __init__(
        self,
        folder: Path,
        options: ExportOptions,
        counts: Mapping[str, int],
        make_shard: Callable[[HashedFile], Shard],
        *,
        suffix: str,
        prefix: str = "",
    ) -> None:
        self._folder = folder
        self._counts = counts
        self._make_shard = make_shard
        self._path = f"{prefix}{{}}-{{:05d}}-of-{{:05d}}.{suffix}"
        self._counter = ShardCounter(options.shard_samples, options.shard_bytes)
        self._open: dict[str, OpenShard] = {}
        self._finished: dict[str, FileFacts] = {}

    def add(self, sample: Sample, body: bytes) -> str:
        """Write one sample into its shard. Returns its path in the export: that of the shard, and the name of the image in it."""
        path = self._path.format(sample.split, self._counter.add(sample), self._counts[sample.split])
        current = self._open.get(sample.split)
        if current is None or current.path != path:
            if current is not None:
                self._close(current)
            file = HashedFile(self._folder / path)
            current = self._open[sample.split] = OpenShard(path, file, self._make_shard(file))
        current.shard.add(sample, body)
        return f"{path}/{names.image_name(sample)}"

    def finish(self) -> dict[str, FileFacts]:
        """Close the last shards. Returns all of them by their paths."""
        for current in self._open.values():
            self._close(current)
        return self._finished

    def abandon(self) -> None:
        """Close the open shards after a failure."""
        for current in self._open.values():
            current.file.abandon()

    def _close(self, current: OpenShard) -> None:
        current.shard.finish()
        self._finished[current.path] = current.file.finish()


def list_shards(inspection: Inspection, *, suffix: str, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Path and split of every shard that the manifest lists. A shard that others say there is, and that is not listed, is a problem."""
    pattern = re.compile(rf"{prefix}([a-z][a-z0-9_]*)-(\d{{5,}})-of-(\d{{5,}})\.{suffix}")
    found: dict[tuple[str, int], set[int]] = {}
    for path in sorted(inspection.manifest.mapping("files")):
        if match := pattern.fullmatch(path):
            found.setdefault((match[1], int(match[3])), set()).add(int(match[2]))
            yield path, match[1]
    for (split, count), numbers in found.items():
        if numbers != set(range(count)):
            inspection.add_problem(f"{prefix}{split}: {len(numbers)} of {count} shards .{suffix} are listed")
