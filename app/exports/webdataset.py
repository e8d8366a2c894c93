"""``webdataset``: tar shards that are read front to back. One sample is a run of members with one key: image, json, txt, cls.

Every sample has the same members: ``cls`` if any has a label, ``txt`` if any has a caption (empty where there is none). Loaders settle
the columns on the first few samples, and Hugging Face datasets those of all splits on one of them.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import orjson

from app.domain import ExportReport, Sample, VerifyReport
from app.exports import inspecting, names, packing, rows, shards, ustar
from app.exports.base import ExportOptions, Read
from app.exports.card import CardParts
from app.exports.hashed import FileFacts, HashedFile
from app.exports.spool import Facts, class_of

__all__ = ["WebDatasetExporter"]

_LAYOUT = """\
<split>-000000.tar    members KEY.jpg KEY.json, KEY.cls with labels, KEY.txt with captions
classes.json          the names of the classes; cls is a position in it
"""
_USAGE = """\
import webdataset as wds
dataset = wds.WebDataset("{first}", shardshuffle=False).decode("pil").rename(image="{images}")
image, row = next(iter(dataset.to_tuple("image", "json")))
"""
_MIXED = """\
The images have several formats, and the members their true suffixes. The Hugging Face loader wants one suffix for all: export with one
`compress.format` for it."""


class WebDatasetExporter:
    """Writes and verifies the ``webdataset`` format."""

    format = "webdataset"

    async def write(self, samples: AsyncIterator[Sample], read: Read, folder: Path, options: ExportOptions) -> ExportReport:
        """See :class:`app.exports.base.Exporter`."""
        return await packing.write_export(samples, read, folder, options, _Packer, self.format)

    async def verify(self, folder: Path, report: ExportReport) -> VerifyReport:
        """See :class:`app.exports.base.Exporter`."""
        return await inspecting.verify(folder, report, shards.inspect)


class _Packer:
    def __init__(self, folder: Path, facts: Facts, options: ExportOptions) -> None:
        self._folder = folder
        self._facts = facts
        self._numbers = {name: number for number, name in enumerate(facts.classes)}
        self._writers = {split: _SplitWriter(folder, split, options) for split in facts.splits}
        self.card = CardParts(
            layout=_LAYOUT,
            usage=_USAGE.format(first=f"{next(iter(facts.splits), 'train')}-000000.tar", images=";".join(facts.extensions) or "jpg"),
            configs={split: f"{split}-*.tar" for split in facts.splits},
            features=False,
            loose_images=False,
            folders={},
            notes=(_MIXED,) if len(facts.extensions) > 1 else (),
        )

    def add(self, sample: Sample, body: bytes) -> str:
        key = names.stem(sample)
        shard = self._writers[sample.split].add(key, self._members(sample, body))
        return f"{shard}/{key}.{sample.extension}"

    def finish(self) -> dict[str, FileFacts]:
        files: dict[str, FileFacts] = {}
        for writer in self._writers.values():
            files |= writer.finish()
        if self._facts.labels:
            classes = HashedFile(self._folder / shards.CLASSES)
            classes.write(orjson.dumps(self._facts.classes, option=orjson.OPT_INDENT_2) + b"\n")
            files[shards.CLASSES] = classes.finish()
        return files

    def abandon(self) -> None:
        for writer in self._writers.values():
            writer.abandon()

    def _members(self, sample: Sample, body: bytes) -> dict[str, bytes]:
        members = {sample.extension: body, "json": rows.encode(rows.row(sample, self._facts))}
        if (label := class_of(sample, self._facts)) is not None:
            members["cls"] = str(self._numbers[label]).encode()
        if self._facts.has_captions:
            members["txt"] = (sample.caption or "").encode()
        return dict(sorted(members.items()))


class _SplitWriter:
    """The shards of one split, one open at a time."""

    def __init__(self, folder: Path, split: str, options: ExportOptions) -> None:
        self._folder = folder
        self._split = split
        self._options = options
        self._open: HashedFile | None = None
        self._samples = 0
        self._finished: dict[str, FileFacts] = {}

    def add(self, key: str, members: dict[str, bytes]) -> str:
        """Write one sample. Returns the name of its shard."""
        size_bytes = sum(ustar.BLOCK_BYTES + ustar.padded(len(body)) for body in members.values())
        if self._open is not None and self._is_full(self._open, size_bytes):
            self._roll(self._open)
        if self._open is None:
            self._open = HashedFile(self._folder / self._name)
        for suffix, body in members.items():
            self._open.write(ustar.header(f"{key}.{suffix}", len(body)))
            self._open.write(body)  # by itself: no copy of an image is made
            self._open.write(bytes(-len(body) % ustar.BLOCK_BYTES))
        self._samples += 1
        return self._name

    def finish(self) -> dict[str, FileFacts]:
        """Close the last shard. Returns all of them."""
        if self._open is not None:
            self._roll(self._open)
        return self._finished

    def abandon(self) -> None:
        """Let go of the open shard after a failure."""
        if self._open is not None:
            self._open.abandon()

    @property
    def _name(self) -> str:
        return f"{self._split}-{len(self._finished):06d}.tar"

    def _is_full(self, shard: HashedFile, more_bytes: int) -> bool:
        closed_bytes = ustar.padded(shard.size_bytes + more_bytes + 2 * ustar.BLOCK_BYTES, ustar.RECORD_BYTES)
        return self._samples >= self._options.shard_samples or closed_bytes > self._options.shard_bytes

    def _roll(self, shard: HashedFile) -> None:
        end = ustar.padded(shard.size_bytes + 2 * ustar.BLOCK_BYTES, ustar.RECORD_BYTES) - shard.size_bytes
        shard.write(bytes(end))
        self._finished[self._name] = shard.finish()
        self._open, self._samples = None, 0
