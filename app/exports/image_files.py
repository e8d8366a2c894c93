"""Shared by the formats with separate image files: writing images and ``metadata.jsonl``, and verifying both."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from app.domain import Sample
from app.exports import names, spool
from app.exports.exporter import ExportOptions
from app.exports.hashed_file import FileFacts, HashedFile
from app.exports.papers.records import JSON_LINES, Records, columns_of
from app.exports.spool import DatasetFacts
from app.exports.verify import Inspection, Row, is_inside, parse_object
from app.storage import local_files

__all__ = [
    "METADATA",
    "ImageWriter",
    "MetadataFiles",
    "beside",
    "inspect_image",
    "inspect_tree",
    "is_in",
    "read_beside",
    "read_metadata",
    "write_beside",
]

METADATA = "metadata.jsonl"


class MetadataFiles:
    """One open ``metadata.jsonl`` for each folder that has one. Folders are relative to the export, ``""`` is the export itself."""

    def __init__(self, folder: Path, facts: DatasetFacts, places: Iterable[str]) -> None:
        self._facts = facts
        self._files: dict[str, HashedFile] = {}
        for where in places:
            (folder / where).mkdir(exist_ok=True)
            self._files[where] = HashedFile(folder / where / METADATA)

    def add(self, sample: Sample, where: str, file_name: str) -> None:
        """Write the row of the image ``file_name``, which is relative to the folder ``where``."""
        self._files[where].write(spool.encode_row(spool.to_row(sample, self._facts, file_name)) + b"\n")

    def describe(self, image_folders: Iterable[str]) -> Records:
        """Say where the rows are, and the images that they name."""
        rows = tuple(f"{where}/{METADATA}".lstrip("/") for where in sorted(self._files))
        return Records(rows, JSON_LINES, columns_of(self._facts, file_name=True), tuple(image_folders))

    def finish(self) -> dict[str, FileFacts]:
        """Close them all."""
        return {f"{where}/{METADATA}".lstrip("/"): self._files[where].finish() for where in sorted(self._files)}

    def abandon(self) -> None:
        """Close them after a failure."""
        for file in self._files.values():
            file.abandon()


class ImageWriter:
    """Writes images under their generated names: into a folder, or below it where the folder would get too many entries."""

    def __init__(self, folder: Path, options: ExportOptions) -> None:
        self._folder = folder
        self._most = options.folder_entries

    def write(self, where: str, sample: Sample, body: bytes, entries: int, files_each: int = 1) -> str:
        """Write one image. Returns its path in the export.

        Args:
            where: the folder, relative to the export.
            entries: how many files and folders it would get.
            files_each: how many of them each image has.
        """
        inside = "" if entries <= self._most else f"{sample.index // (self._most // files_each):03d}/"
        path = f"{where}/{inside}{names.image_name(sample)}"
        _write_new(self._folder / path, body)
        return path


def beside(path: str, suffix: str) -> str:
    """The path of the file of an image that has its name with another suffix."""
    return f"{path.rpartition('.')[0]}.{suffix}"


def write_beside(folder: Path, path: str, body: bytes) -> FileFacts:
    """Write the file that an image has beside it, or in the same place of another tree; ``path`` is relative to ``folder``."""
    _write_new(folder / path, body)
    return FileFacts(len(body), hashlib.sha256(body).hexdigest())


def _write_new(path: Path, body: bytes) -> None:
    try:
        file = path.open("xb")
    except FileNotFoundError:  # the first file of its folder
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("xb")
    with file:
        file.write(body)


def read_metadata(inspection: Inspection, where: str) -> Iterator[tuple[str, Row]]:
    """The rows of one ``metadata.jsonl``, each with the path of its image in the export. A row without a path is a problem."""
    source = f"{where}/{METADATA}".lstrip("/")
    with inspection.open_file(source) as file:
        for number, line in enumerate(file or (), start=1):
            row = parse_object(line)
            file_name = None if row is None else row.get("file_name")
            if row is None or not isinstance(file_name, str) or not is_inside(file_name):
                inspection.add_problem(f"{source} line {number}: no row with a file_name inside this folder")
                continue
            yield f"{where}/{file_name}".lstrip("/"), row


def inspect_image(inspection: Inspection, path: str, row: Row) -> None:
    """Read one image back and compare it with its row."""
    if (found := inspection.hash_file(path)) is not None:
        inspection.count_image(path, found, row, inspection.folder / path)
        inspection.sums.add_image(found.sha256, path)


def is_in(path: str, folder: str) -> bool:
    """Whether an image is in a folder, or in one of those below it among which many images are divided."""
    above, _, name = path.rpartition("/")
    inside = above.removeprefix(f"{folder}/")
    return above == folder or (
        inside != above and names.SUBFOLDER.fullmatch(inside) is not None and names.IMAGE_NAME.fullmatch(name) is not None
    )


def read_beside(inspection: Inspection, path: str) -> bytes | None:
    """Read back the file that an image has beside it; a missing one is a problem, and gives ``None``."""
    with inspection.open_file(path) as file:
        body = None if file is None else file.read()
    if body is not None:
        inspection.count_beside(path, hashlib.sha256(body).hexdigest())
    return body


def inspect_tree(inspection: Inspection) -> None:
    """Find files that no row names, and empty folders: torchvision rejects an empty class."""
    found = 0
    for entry in local_files.entries_below(inspection.folder):
        path = Path(entry).relative_to(inspection.folder).as_posix()
        if not entry.is_dir(follow_symlinks=False):
            found += not inspection.manifest.lists(path)
        elif next(local_files.entries_below(Path(entry)), None) is None:
            inspection.add_problem(f"{path}: empty folder")
    if found != inspection.samples + inspection.files_beside:
        beside = f" and {inspection.files_beside} files beside them" if inspection.files_beside else ""
        inspection.add_problem(f"{found} image files{beside}, but {inspection.samples} rows name one")
