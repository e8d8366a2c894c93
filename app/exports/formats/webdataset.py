"""``webdataset``: tar shards that are read from front to back. One sample is a run of members with one key: image, json, txt, cls.

Every sample has the same members: ``cls`` if any has a label (-1 where there is none), ``txt`` if any has a caption (empty where there
is none). Loaders infer
the columns from the first few samples, and Hugging Face datasets infer those of all splits from one split.
"""

import re
import tarfile
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from app.domain import Sample
from app.exports import features, names, spool, tar, verify, writer
from app.exports.cards import CardParts
from app.exports.exporter import ExportOptions, ExportReport, Load, Read, VerifyReport
from app.exports.hashed_file import FileFacts, HashedFile, hash_bytes
from app.exports.papers.records import JSON, Records
from app.exports.spool import DatasetFacts, class_of
from app.exports.verify import Inspection, parse_object

__all__ = ["CLASSES", "WebDatasetExporter", "inspect"]

DECODED_EXTENSIONS = frozenset({"jpg", "png", "webp", "gif", "bmp", "tiff"})
"""Of our formats those in ``IMAGE_EXTENSIONS`` of ``webdataset.autodecode`` 1.0 and of Hugging Face datasets 5.2: neither decodes AVIF."""

NO_CLASS = -1
"""In ``cls`` of a sample without a label, where others have one."""

_LAYOUT = """\
<split>-000000.tar    members KEY.jpg KEY.json, KEY.cls with labels, KEY.txt with captions
classes.json          the names of the classes; cls is a position in it, -1 without a label
"""
_USAGE = """\
import webdataset as wds
dataset = wds.WebDataset("{first}", shardshuffle=False).decode("pil").rename(image="{images}")
image, row = next(iter(dataset.to_tuple("image", "json")))
"""
_HUGGING_FACE = """\
Hugging Face datasets load the folder too, `load_dataset("path/to/this/folder")`, with a column for each member; where there are labels,
`features["cls"].int2str` gives the name of a class, which `json` has as `label`."""
_MIXED = """\
The images have several formats, and the members their true suffixes: in Hugging Face datasets a column for each suffix, `None` in the
others. Export with one `compress.format` for a single column."""


class WebDatasetExporter:
    """Writes and verifies the ``webdataset`` format."""

    format = "webdataset"
    extensions = DECODED_EXTENSIONS
    holds_images = True

    async def write(self, samples: AsyncIterator[Sample], read: Read, folder: Path, options: ExportOptions) -> ExportReport:
        """See :class:`app.exports.exporter.Exporter`."""
        return await writer.write_export(samples, read, folder, options, _ShardsWriter, self.format)

    async def verify(self, folder: Path, report: ExportReport, load: Load | None = None) -> VerifyReport:
        """See :class:`app.exports.exporter.Exporter`."""
        return await verify.verify_folder(folder, report, inspect, self.extensions, load)


class _ShardsWriter:
    def __init__(self, folder: Path, facts: DatasetFacts, options: ExportOptions) -> None:
        self._folder = folder
        self._facts = facts
        self._takes_all = options.captions == "all"
        self._numbers = {name: number for number, name in enumerate(facts.classes)}
        self._writers = {split: _SplitWriter(folder, split, options) for split in facts.splits}
        self.card = CardParts(
            layout=_LAYOUT,
            usage=_USAGE.format(first=f"{facts.shown_split}-000000.tar", images=";".join(facts.extensions) or "jpg"),
            configs={split: f"{split}-*.tar" for split in facts.splits},
            has_image_files=False,
            folders={},
            info_features=features.of_shards(facts) if facts.samples else (),
            records=Records(rows=("*.json",), media_type=JSON, shards="*.tar"),
            notes=(_HUGGING_FACE, *((_MIXED,) if len(facts.extensions) > 1 else ())),
        )

    def add(self, sample: Sample, body: bytes) -> str:
        key = names.stem(sample)
        shard = self._writers[sample.split].add(key, self._members(sample, body))
        return f"{shard}/{key}.{sample.extension}"

    def finish(self) -> dict[str, FileFacts]:
        files: dict[str, FileFacts] = {}
        for split_writer in self._writers.values():
            files |= split_writer.finish()
        if self._facts.labels:
            classes = HashedFile(self._folder / CLASSES)
            classes.write(orjson.dumps(self._facts.classes, option=orjson.OPT_INDENT_2) + b"\n")
            files[CLASSES] = classes.finish()
        return files

    def abandon(self) -> None:
        for split_writer in self._writers.values():
            split_writer.abandon()

    def _members(self, sample: Sample, body: bytes) -> dict[str, bytes]:
        members = {sample.extension: body, "json": spool.encode_row(spool.to_row(sample, self._facts))}
        if self._facts.labels:
            members["cls"] = str(self._numbers.get(class_of(sample, self._facts) or "", NO_CLASS)).encode()
        if self._facts.has_captions:
            members["txt"] = self._caption(sample).encode()
        return dict(sorted(members.items()))

    def _caption(self, sample: Sample) -> str:
        return "\n".join(spool.all_texts(sample, "captions")) if self._takes_all else sample.caption or ""


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
        size_bytes = sum(tar.BLOCK_BYTES + tar.padded_size(len(body)) for body in members.values())
        if self._open is not None and self._is_full(self._open, size_bytes):
            self._roll(self._open)
        if self._open is None:
            self._open = HashedFile(self._folder / self._name)
        for suffix, body in members.items():
            self._open.write(tar.make_header(f"{key}.{suffix}", len(body)))
            self._open.write(body)  # a separate write makes no copy of the image
            self._open.write(bytes(-len(body) % tar.BLOCK_BYTES))
        self._samples += 1
        return self._name

    def finish(self) -> dict[str, FileFacts]:
        """Close the last shard. Returns all of them."""
        if self._open is not None:
            self._roll(self._open)
        return self._finished

    def abandon(self) -> None:
        """Close the open shard after a failure."""
        if self._open is not None:
            self._open.abandon()

    @property
    def _name(self) -> str:
        return f"{self._split}-{len(self._finished):06d}.tar"

    def _is_full(self, shard: HashedFile, more_bytes: int) -> bool:
        closed_bytes = tar.padded_size(shard.size_bytes + more_bytes + 2 * tar.BLOCK_BYTES, tar.RECORD_BYTES)
        return self._samples >= self._options.shard_samples or closed_bytes > self._options.shard_bytes

    def _roll(self, shard: HashedFile) -> None:
        end = tar.padded_size(shard.size_bytes + 2 * tar.BLOCK_BYTES, tar.RECORD_BYTES) - shard.size_bytes
        shard.write(bytes(end))
        self._finished[self._name] = shard.finish()
        self._open, self._samples = None, 0


CLASSES = "classes.json"

_MEMBER = re.compile(r"((?:.*/|)[^.]+)[.]([^/]*)")  # as in webdataset's tariterators.base_plus_ext
_SHARD = re.compile(r"([a-z][a-z0-9_]*)-(\d{6,})\.tar")
_TEXT_SUFFIXES = ("cls", "json", "txt")

Members = dict[str, bytes]


def inspect(inspection: Inspection) -> Iterator[None]:
    """Read every shard that the manifest lists."""
    classes = _read_classes(inspection)
    expected: dict[str, int] = {}
    schema: list[str] | None = None
    for path in sorted(inspection.manifest.mapping("files"), key=_order):
        if (match := _SHARD.fullmatch(path)) is None:
            continue
        split, number = match[1], int(match[2])
        if number != expected.get(split, 0):
            inspection.add_problem(f"{path}: shard {expected.get(split, 0)} of {split} is missing")
        expected[split] = number + 1
        for key, members in _read_shard(inspection, path):
            kinds = sorted(suffix if suffix in _TEXT_SUFFIXES else "image" for suffix in members)
            schema = schema or kinds
            if kinds != schema:
                inspection.add_problem(f"{path}: {key} has different members than the first sample")
            _inspect_sample(inspection, f"{path}/{key}", split, members, classes)
            yield
    inspection.find_unlisted()


def _order(path: str) -> tuple[str, int]:
    match = _SHARD.fullmatch(path)
    return (match[1], int(match[2])) if match else (path, 0)


def _read_classes(inspection: Inspection) -> list[Any]:
    if CLASSES not in inspection.manifest.mapping("files"):
        return []
    with inspection.open_file(CLASSES) as file:
        wrapped = parse_object(b'{"classes":' + (file.read() if file else b"") + b"}")
    names = None if wrapped is None else wrapped["classes"]
    if not isinstance(names, list) or names != sorted(inspection.manifest.mapping("labels")):
        inspection.add_problem(f"{CLASSES}: not the sorted names of the labels")
        return []
    return names


def _read_shard(inspection: Inspection, path: str) -> Iterator[tuple[str, Members]]:
    """The samples of one shard. Separated members of one key make two samples, as in every loader."""
    with inspection.open_file(path) as file:
        if file is None:
            return
        try:
            yield from _read_samples(inspection, path, tar.read_members(file))
        except tarfile.TarError as error:
            inspection.add_problem(f"{path}: not a valid tar file: {error}")


def _read_samples(inspection: Inspection, path: str, found: Iterable[tar.Member]) -> Iterator[tuple[str, Members]]:
    current, members = "", Members()
    for member in found:
        match = _MEMBER.fullmatch(member.name)
        if match is None or not member.is_plain:
            inspection.add_problem(f"{path}: {member.name}: not a plain file with a key and a suffix")
            continue
        key, suffix = match[1], match[2].lower()
        if key != current and members:
            yield current, members
            members = Members()
        current = key
        if suffix in members:
            inspection.add_problem(f"{path}: {key} has two members .{suffix}")
        members[suffix] = member.body
    if members:
        yield current, members


def _inspect_sample(inspection: Inspection, where: str, split: str, members: Members, classes: list[Any]) -> None:
    images = [suffix for suffix in members if suffix not in _TEXT_SUFFIXES]
    row = parse_object(members.get("json", b""))
    if row is None or len(images) != 1:
        inspection.add_problem(f"{where}: not one image and one json")
        return
    body = members[images[0]]
    inspection.count_image(f"{where}.{images[0]}", hash_bytes(body), row, body)
    if row.get("split") != split:
        inspection.add_problem(f"{where}: is in a shard of another split than its row states")
    if members.get("txt", b"").decode("utf-8", "replace") not in (row.get("caption", ""), _joined(row.get("captions"))):
        inspection.add_problem(f"{where}: txt differs from the caption of its row")
    if _class_name(members, classes) != row.get("label"):
        inspection.add_problem(f"{where}: cls differs from the label of its row")


def _joined(captions: Any) -> str | None:
    return "\n".join(map(str, captions)) if isinstance(captions, list) else None


def _class_name(members: Members, classes: list[Any]) -> Any:
    text = members.get("cls", b"")
    number = int(text) if re.fullmatch(rb"\d{1,9}", text) else -1
    return classes[number] if 0 <= number < len(classes) else None
