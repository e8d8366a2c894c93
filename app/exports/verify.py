"""Verification of an export: every file is read, hashed and counted again, then compared with the manifest and the report.

Images are also loaded as the loaders of the format do, by a function that is passed in.
"""

import asyncio
import contextlib
import hashlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from app import concurrency
from app.exports import names
from app.exports.exporter import ExportReport, Load, VerifyReport
from app.exports.hashed_file import FileFacts, hash_open_file
from app.exports.provenance import Asked
from app.exports.sidecars import MANIFEST, REPORT, SCHEMA_VERSION, SPLIT_REPORT, SUMS, parse_sum
from app.images.split_groups import LeakReport, SplitKeys, SplitTable
from app.rules import DEFAULT_SPLIT_BY
from app.storage import local_files, storage_errors

__all__ = ["ChecksumSet", "Inspection", "Manifest", "Row", "is_inside", "parse_object", "verify_folder"]

Row = Mapping[str, Any]
"""A JSON object of the export."""

Counted = tuple[str, Row, bytes | Path]
"""An image that was read back: its path in the export, its row, and the bytes, or the file that holds them."""

_SPLIT_COLUMNS = ("phash", "group_id", "creator", "page_url", "url")
"""The columns of a row that `SplitKeys` takes, in its order."""

MAX_PROBLEMS = 100
_IMAGES_PER_CALL = 64  # images hashed in one thread call
_LOADED_BYTES = 16_000_000  # images in memory that wait to be loaded; there may be one more


class Manifest:
    """``manifest.json`` as it was read; any part may be missing or of the wrong type."""

    def __init__(self, values: Row) -> None:
        self._values = values

    def get(self, name: str) -> Any:
        """A value of any type, or None."""
        return self._values.get(name)

    def mapping(self, name: str) -> Row:
        """A value that should be an object, else an empty one."""
        value = self._values.get(name)
        return value if isinstance(value, dict) else {}

    def texts(self, name: str) -> list[str]:
        """A value that should be a list of texts, else an empty one."""
        value = self._values.get(name)
        return value if isinstance(value, list) and all(isinstance(text, str) for text in value) else []

    def lists(self, path: str) -> bool:
        """Whether the manifest lists the file ``path``; it counts itself, and the report, which is beside every dataset and in none."""
        return path in (MANIFEST, REPORT) or path in self.mapping("files")


class ChecksumSet:
    """Compares the lines of ``SHA256SUMS`` with the images on disk as sets, in constant memory: by the sum of their hashes."""

    def __init__(self) -> None:
        self.images = 0
        self._total = 0

    def add_image(self, sha256: str, path: str) -> None:
        """Add an image that was read back."""
        self.images += 1
        self._total += _line_hash(sha256, path)

    def matches(self, lines: Iterable[tuple[str, str]]) -> bool:
        """Whether these are the lines of exactly the images that were added."""
        count = total = 0
        for sha256, path in lines:
            count += 1
            total += _line_hash(sha256, path)
        return (count, total) == (self.images, self._total)


class Inspection:
    """Counts and problems found while an export is read back."""

    def __init__(self, folder: Path, report: ExportReport, manifest: Manifest, extensions: frozenset[str] | None = None) -> None:
        self.folder = folder
        self.manifest = manifest
        self.samples = 0
        self.files_beside = 0
        self.sums = ChecksumSet()
        self.problems: list[str] = []
        self._report = report
        self._extensions = extensions
        self._counted: list[Counted] = []
        self._seen = bytearray(report.samples // 8 + 1)  # one bit for each index
        self._image_bytes = 0
        self._splits: Counter[str] = Counter()
        self._labels: Counter[str] = Counter()
        self._split_table = SplitTable()
        self.split_report: LeakReport | None = None

    def add_problem(self, problem: str) -> None:
        """Add a problem, unless there are 100 already."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)

    def hash_file(self, path: str) -> FileFacts | None:
        """Size and digest of a file of the export; a missing file is a problem, and gives ``None``."""
        with self.open_file(path) as file:
            return None if file is None else hash_open_file(file)

    @contextlib.contextmanager
    def open_file(self, path: str) -> Iterator[BinaryIO | None]:
        """Open a file of the export; a missing file is a problem, and gives ``None``."""
        file = self._open(path)
        if file is None:
            self.add_problem(f"{path}: missing")
        with file or contextlib.nullcontext():
            yield file

    @property
    def is_full(self) -> bool:
        """Whether the images that wait to be loaded take much memory."""
        return sum(len(source) for _, _, source in self._counted if isinstance(source, bytes)) > _LOADED_BYTES

    def take_counted(self) -> Sequence[Counted]:
        """The images that were counted since the last call, to be loaded."""
        counted, self._counted = self._counted, []
        return counted

    async def load_images(self, counted: Sequence[Counted], load: Load) -> None:
        """Load images; one that does not load, or not at the size of its row, is a problem."""
        found = await load([source for _, _, source in counted]) if counted else ()
        for (path, row, _), verdict in zip(counted, found, strict=True):
            if verdict.reason is not None:
                self.add_problem(f"{path}: {verdict.detail}")
            elif (verdict.width, verdict.height) != (row.get("width"), row.get("height")):
                stated = f"{row.get('width')}x{row.get('height')}"
                self.add_problem(f"{path}: loads as {verdict.width}x{verdict.height} pixels, its row says {stated}")

    def count_image(self, path: str, found: FileFacts, row: Row, source: bytes | Path) -> None:
        """Count an image and compare its bytes and its name with its row; ``source`` is loaded later."""
        self._count(row, found.size_bytes)
        if found.sha256 != row.get("sha256") or found.size_bytes != row.get("size_bytes"):
            self.add_problem(f"{path}: the bytes differ from those of its row")
        if self._extensions is not None and path.rpartition(".")[2] not in self._extensions:
            self.add_problem(f"{path}: the loaders of this format do not see files with this suffix")
        self._counted.append((path, row, source))
        name = names.IMAGE_NAME.fullmatch(path.rpartition("/")[2])
        if name is None or name[2] != found.sha256[:12]:
            self.add_problem(f"{path}: the name does not match the bytes")
        elif not self._is_new(int(name[1])):
            self.add_problem(f"{path}: index {int(name[1])} is out of range or repeated")

    def count_beside(self, path: str, sha256: str) -> None:
        """Count a file that an image has beside it."""
        self.files_beside += 1
        self.sums.add_image(sha256, path)

    def count_row(self, row: Row) -> None:
        """Count an image of which the export has nothing but the row."""
        size_bytes = row.get("size_bytes")
        self._count(row, size_bytes if isinstance(size_bytes, int) else 0)

    def _count(self, row: Row, size_bytes: int) -> None:
        self.samples += 1
        self._image_bytes += size_bytes
        self._splits[str(row.get("split"))] += 1
        if row.get("label") is not None:
            self._labels[str(row["label"])] += 1
        texts = (value if isinstance(value := row.get(name), str) else None for name in _SPLIT_COLUMNS)
        self._split_table.add(SplitKeys(*texts), str(row.get("split")))

    def find_unlisted(self) -> None:
        """Find files that the manifest does not list, in a format where it lists every file."""
        for path in sorted(local_files.files_below(self.folder)):
            name = path.relative_to(self.folder).as_posix()
            if not self.manifest.lists(name):
                self.add_problem(f"{name}: not in the manifest")

    def _count_split_pairs(self) -> LeakReport:
        """Count the pairs across splits anew, by the distance and the kinds that the manifest states; by the defaults where it has none."""
        stated = self.manifest.mapping(SPLIT_REPORT)
        distance, kinds = stated.get("near_distance"), stated.get("split_by")
        is_stated = isinstance(distance, int) and isinstance(kinds, list)
        return self._split_table.report(*((distance, kinds) if is_stated else (Asked().near_distance, DEFAULT_SPLIT_BY)))

    def finish(self) -> None:
        """Compare the counts with those of the manifest and the report."""
        self.split_report = self._count_split_pairs()
        if (stated := self.manifest.mapping(SPLIT_REPORT)) and stated != (found := self.split_report.to_json()):
            self.add_problem(f"{SPLIT_REPORT}: found {_shorten(found)}, stated {_shorten(stated)}")
        sizes = {path: facts.get("size_bytes") for path, facts in self.manifest.mapping("files").items() if isinstance(facts, dict)}
        written = {path: size for path, size in self._report.files.items() if path != MANIFEST}
        for what, counted, claimed in (
            ("samples", self.samples, (self.manifest.get("samples"), self._report.samples)),
            ("splits", dict(self._splits), (self.manifest.get("splits"), dict(self._report.splits))),
            ("labels", dict(self._labels), (self.manifest.get("labels"), dict(self._report.labels))),
            ("image_bytes", self._image_bytes, (self.manifest.get("image_bytes"),)),
            ("files", written, (sizes,)),
        ):
            if any(counted != claim for claim in claimed):
                self.add_problem(f"{what}: found {_shorten(counted)}, stated {' and '.join(map(_shorten, claimed))}")

    def _open(self, path: str) -> BinaryIO | None:
        if is_inside(path):
            with contextlib.suppress(FileNotFoundError, IsADirectoryError, NotADirectoryError):
                return (self.folder / path).open("rb")
        return None

    def _is_new(self, index: int) -> bool:
        if index >= self._report.samples:
            return False
        byte, bit = index // 8, 1 << index % 8
        was_there = self._seen[byte] & bit
        self._seen[byte] |= bit
        return not was_there


async def verify_folder(
    folder: Path,
    report: ExportReport,
    inspect: Callable[[Inspection], Iterator[None]],
    extensions: frozenset[str] | None,
    load: Load | None,
) -> VerifyReport:
    """Verify an export: its manifest, every file that the manifest lists, and in parallel, by ``inspect``, every image.

    Args:
        extensions: those of images that the loaders of the format see; None for all.
        load: loads images as they do, if they are to be loaded.
    """
    with storage_errors.writing("verify", report.format):
        manifest = Manifest(await asyncio.to_thread(_read_manifest, folder))
        if (manifest.get("schema_version"), manifest.get("format")) != (SCHEMA_VERSION, report.format):
            return VerifyReport(
                samples=0, problems=(f"{MANIFEST}: missing, or not of version {SCHEMA_VERSION} and format {report.format}",)
            )
        files, images = (Inspection(folder, report, manifest, extensions) for _ in range(2))
        await concurrency.gather_all([_run_steps(_inspect_files(files)), _inspect_and_load(images, inspect, load)])
    problems = tuple([*files.problems, *images.problems][:MAX_PROBLEMS])
    return VerifyReport(images.samples, problems, images.split_report)


def parse_object(text: bytes) -> Row | None:
    """Parse a JSON object; ``None`` for anything else."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def is_inside(path: str) -> bool:
    """Whether a relative path stays below its folder, on every system."""
    return "\\" not in path and "\0" not in path and all(part not in ("", ".", "..") for part in path.split("/"))


async def _run_steps(steps: Iterator[None]) -> None:
    """Run each step in a thread; a cancelled caller waits for the current one."""
    while await concurrency.to_thread_uncancelled(lambda: next(steps, False)) is None:
        pass


async def _inspect_and_load(inspection: Inspection, inspect: Callable[[Inspection], Iterator[None]], load: Load | None) -> None:
    """Inspect images in threads, many in each call, and load those of one call while the next ones are inspected."""

    async def load_group(group: Sequence[Counted]) -> None:
        if load is not None:
            await inspection.load_images(group, load)

    await concurrency.for_each(_inspected_groups(inspection, inspect), load_group, max_running=1)


async def _inspected_groups(inspection: Inspection, inspect: Callable[[Inspection], Iterator[None]]) -> AsyncIterator[Sequence[Counted]]:
    steps = _inspect_images(inspection, inspect)
    while await concurrency.to_thread_uncancelled(_inspect_some, steps, inspection):
        yield inspection.take_counted()
    yield inspection.take_counted()


def _inspect_files(inspection: Inspection) -> Iterator[None]:
    for path, stated in sorted(inspection.manifest.mapping("files").items()):
        _inspect_file(inspection, path, stated)
        yield


def _inspect_images(inspection: Inspection, inspect: Callable[[Inspection], Iterator[None]]) -> Iterator[None]:
    yield from inspect(inspection)
    _inspect_sums(inspection)
    inspection.finish()


def _inspect_file(inspection: Inspection, path: str, stated: Any) -> None:
    found = inspection.hash_file(path)
    if found and (not isinstance(stated, dict) or (found.size_bytes, found.sha256) != (stated.get("size_bytes"), stated.get("sha256"))):
        inspection.add_problem(f"{path}: the bytes differ from those stated in {MANIFEST}")


def _inspect_sums(inspection: Inspection) -> None:
    with inspection.open_file(SUMS) as file:
        images = (pair for pair in map(parse_sum, file or ()) if not inspection.manifest.lists(pair[1]))
        if not inspection.sums.matches(images):
            inspection.add_problem(f"{SUMS}: its images differ from those found")


def _line_hash(sha256: str, path: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{sha256}  {path}".encode()).digest())


def _read_manifest(folder: Path) -> Row:
    try:
        return parse_object((folder / MANIFEST).read_bytes()) or {}
    except FileNotFoundError:
        return {}


def _inspect_some(steps: Iterator[None], inspection: Inspection) -> bool:
    """Inspect some images; return whether there may be more."""
    for _ in itertools.islice(steps, _IMAGES_PER_CALL - 1):
        if inspection.is_full:
            return True
    return next(steps, False) is None


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
