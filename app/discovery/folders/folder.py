"""The images of a folder as candidates, in one order and in bounded memory: a source with a cursor, which goes on where it stopped."""

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

import errors
from app.discovery import text
from app.discovery.folders import layout, local_file, metadata, parquets, tars
from app.discovery.folders.metadata import Described, MetadataFile
from app.discovery.folders.place import Place
from app.discovery.folders.unpacked import TarFiles
from app.discovery.folders.walk import Folder, Walk
from app.domain import FOLDER_SOURCE, Candidate, ListProblem
from app.spec import FolderSpec
from app.split_names import split_word

__all__ = ["Cursor", "FolderReader"]

MAX_LABEL_CHARS = 100

Item = Candidate | ListProblem
Parts = tuple[str, ...]


@dataclass(slots=True)
class Cursor:
    """How far a folder was read.

    Attributes:
        parts: names that lead to the file that was read last.
        at: what of it comes next, a row or an offset; None where it was read to its end.
        rank: items so far.
        left_out: entries so far that are no images, by what they are.
    """

    parts: Parts = ()
    at: int | None = None
    rank: int = 0
    left_out: Counter[str] = field(default_factory=Counter)

    def encode(self) -> str:
        """Return it as text. Names may be any bytes, so they are escaped."""
        parts = [quote(os.fsencode(name), safe="") for name in self.parts]
        return json.dumps({"parts": parts, "at": self.at, "rank": self.rank, "left_out": dict(self.left_out)})

    @classmethod
    def decode(cls, text: str | None) -> "Cursor":
        """Read what :meth:`encode` wrote; None is the beginning."""
        if text is None:
            return cls()
        found = json.loads(text)
        parts = tuple(os.fsdecode(unquote_to_bytes(name)) for name in found["parts"])
        return cls(parts, found["at"], found["rank"], Counter(found["left_out"]))


class FolderReader:
    """Reads one folder, or one file; every call is made in a thread.

    Attributes:
        cursor: how far the items were read that :meth:`read` returned so far.
    """

    def __init__(self, spec: FolderSpec, files: TarFiles, cursor: Cursor) -> None:
        self._root = spec.path
        self._only = spec.file
        self._files = files
        self._described = Described()
        self._steps: Iterator[list[Item]] | None = None
        self._has_splits = False
        self.cursor = cursor

    def read(self, size: int) -> tuple[list[Item], bool]:
        """Return the next items, ``size`` of them or a few more, and whether they are the last.

        Raises:
            errors.StorageError: there is no such folder any more.
        """
        if self._steps is None:
            self._steps = self._begin()
        found: list[Item] = []
        while len(found) < size:
            step = next(self._steps, None)
            if step is None:
                return found, True
            found += step
        return found, False

    @property
    def left_out(self) -> str:
        """What was passed over, in words; empty for nothing."""
        counts = sorted(self.cursor.left_out.items(), key=lambda item: (-item[1], item[0]))
        found = [f"{number} {what}" for what, number in counts if number > 0]
        return f"left out: {', '.join(found)}" if found else ""

    def _begin(self) -> Iterator[list[Item]]:
        if self._only is not None:
            is_done = bool(self.cursor.parts) and self.cursor.at is None
            return iter(()) if is_done else self._file((self._only,), self.cursor.at or 0, None)
        if not Path(self._root).is_dir():
            raise errors.StorageError(f"the folder {self._root} is gone; is its disk mounted?")
        self._has_splits = layout.has_split_folders(self._root)
        return self._walk()

    def _walk(self) -> Iterator[list[Item]]:
        """Yield the items of each file. Where a folder has a metadata file, its rows are the images below it."""
        begun, at = self.cursor.parts, self.cursor.at
        walk = Walk(self._root, left_out=self.cursor.left_out)
        governed: list[tuple[Parts, MetadataFile]] = []
        for found in walk.visit(begun, is_done=at is None):
            while governed and governed[-1][0] != found.parts[: len(governed[-1][0])]:
                governed.pop()
            if isinstance(found, Folder):
                if (file := metadata.find_metadata(self._path(found.parts), self._root)) is not None:
                    governed.append((found.parts, file))
            else:
                yield from self._file(found.parts, (at or 0) if found.parts == begun else 0, governed[-1][1] if governed else None)
            if walk.unreadable:
                yield [self._problem(parts, f"cannot be read: {words}") for parts, words in walk.unreadable]
                walk.unreadable.clear()

    def _file(self, parts: Parts, at: int, governed: MetadataFile | None) -> Iterator[list[Item]]:
        path = self._path(parts)
        match layout.kind_of(parts[-1]):
            case "metadata":
                if governed is not None and path == governed.path:
                    yield from self._rows(parts, governed, at)
                else:
                    self._leave_out(parts[-1])
            case "tar":
                yield from self._tar(parts, at)
            case "parquet":
                yield from self._parquet(parts, at)
            case "image":
                yield from self._image(parts, governed)
            case "unnamed" if local_file.begins_like_image(path):
                yield from self._image(parts, governed)
            case _:
                self._leave_out(layout.suffix_of(parts[-1]) or "without a suffix")

    def _image(self, parts: Parts, governed: MetadataFile | None) -> Iterator[list[Item]]:
        path = self._path(parts)
        if governed is not None:
            if not governed.lists(path):
                self._leave_out(f"not named in {governed.name}")
            return
        row, used, damaged = metadata.read_sidecars(path, self._root)
        self.cursor.left_out.subtract([*used, *damaged])
        for suffix in damaged:
            self._leave_out(f"damaged {suffix}")
        split, label = layout.read_folders(parts[:-1], has_splits=self._has_splits)
        yield [self._candidate(row, Place(path), split=split, label=label, done=(parts, None))]

    def _rows(self, parts: Parts, file: MetadataFile, at: int) -> Iterator[list[Item]]:
        for number, item in enumerate(file.read(at), at + 1):
            self._move(parts, number)
            if isinstance(item, Candidate):
                folders = Place.parse(item.url).path.removeprefix(f"{self._root}/").split("/")[:-1]
                split, _ = layout.read_folders(folders, has_splits=self._has_splits)
                item = replace(item, rank=self.cursor.rank - 1, split=item.split or split)
            yield [item]
        self.cursor.at = None

    def _tar(self, parts: Parts, at: int) -> Iterator[list[Item]]:
        path = self._path(parts)
        classes = tars.read_classes(path, self._root)
        of_file = self._split_of(parts)
        try:
            self._require_inside(path)
            with self._files.open(path) as file:
                for sample in tars.samples(file, at):
                    yield self._sample(parts, sample, classes, of_file)
        except (OSError, errors.UnreadableError) as exc:
            yield [self._problem(parts, _words(exc))]
        self.cursor.parts, self.cursor.at = parts, None

    def _sample(self, parts: Parts, sample: tars.Sample, classes: list[str], of_file: str | None) -> list[Item]:
        found: list[Item] = []
        row, named = sample.row(), tars.class_name(sample, classes)
        for name, offset in sample.images:
            folders = name.split("/")[:-1]
            split, label = layout.read_folders([part for part in folders if part != "."], has_splits=True)
            place = Place(self._path(parts), member=name, offset=offset)
            found.append(self._candidate(row, place, split=split or of_file, label=named or label, done=(parts, sample.end)))
        if sample.record is None:
            self._leave_out("damaged .json in tars")
        for suffix in sample.left_out:
            self._leave_out(f".{suffix} in tars")
        if sample.problem:
            found.append(self._problem(parts, sample.problem))
        self.cursor.parts, self.cursor.at = parts, sample.end
        return found

    def _parquet(self, parts: Parts, at: int) -> Iterator[list[Item]]:
        path = self._path(parts)
        split = self._split_of(parts)
        try:
            self._require_inside(path)
            with parquets.open_table(path) as table:
                if table is None:
                    self._leave_out(".parquet without images")
                    return
                for number, row in parquets.rows(table, at):
                    yield [self._candidate(row, Place(path, row=number), split=split, done=(parts, number + 1), line=number + 1)]
        except (OSError, errors.UnreadableError, parquets.DamagedTable) as exc:
            yield [self._problem(parts, _words(exc))]
        self.cursor.parts, self.cursor.at = parts, None

    def _candidate(
        self,
        row: dict[str, object],
        place: Place,
        *,
        split: str | None,
        done: tuple[Parts, int | None],
        label: str | None = None,
        line: int | None = None,
    ) -> Item:
        """Return the image at a place with what its row says; what its folders say counts where the row says nothing."""
        self._move(*done)
        found = self._described.candidate(row, place.url, self.cursor.rank - 1, line)
        if isinstance(found, ListProblem):  # what describes it is broken: the image is there
            found = Candidate(url=place.url, source=FOLDER_SOURCE, rank=self.cursor.rank - 1, line=line)
        return replace(found, label=found.label or text.clean(label, MAX_LABEL_CHARS), split=found.split or split)

    def _problem(self, parts: Parts, words: str) -> ListProblem:
        self.cursor.rank += 1
        return ListProblem(self.cursor.rank, f"{'/'.join(parts) or self._root} {words}")

    def _move(self, parts: Parts, at: int | None) -> None:
        self.cursor.parts, self.cursor.at = parts, at
        self.cursor.rank += 1

    def _leave_out(self, what: str) -> None:
        self.cursor.left_out[what] += 1

    def _split_of(self, parts: Sequence[str]) -> str | None:
        """Return the split that the name of a shard says, or its folders."""
        return split_word(parts[-1]) or layout.read_folders(parts[:-1], has_splits=self._has_splits)[0]

    def _path(self, parts: Sequence[str]) -> str:
        return "/".join((self._root, *parts))

    def _require_inside(self, path: str) -> None:
        if local_file.leads_out(path, self._root):
            raise errors.UnreadableError("leads out of the folder; name the folder that it leads to, or copy it in with cp -L")


def _words(exc: Exception) -> str:
    return f"cannot be read: {exc.strerror or type(exc).__name__}" if isinstance(exc, OSError) else str(exc)
