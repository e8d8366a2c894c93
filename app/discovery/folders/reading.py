"""Reads the bytes of images where they lie. What is wrong with one of them is its error, what is wrong with this machine is raised."""

import errno
import hashlib
import os
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from pathlib import Path

import errors
from app.discovery.folders import local_file, parquets, tars
from app.discovery.folders.place import Place
from app.discovery.folders.unpacked import TarFiles
from downloader import foreign
from downloader.content import sniff

__all__ = ["LocalBytes", "Reading", "Wanted"]

_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
"""Errors that the next file would meet as well."""

Wanted = tuple[int, Place]
"""The caller's number of an image, and where it lies."""

Outcome = tuple[int, "LocalBytes | errors.PermanentError"]


@dataclass(frozen=True, slots=True)
class LocalBytes:
    """The bytes of an image.

    Attributes:
        file: the path and state of the file that they are all of, which may be linked; None for a part of a file.
    """

    body: bytes = field(repr=False)
    sha256: str
    media_type: str
    file: tuple[str, os.stat_result] | None = None


class Reading:
    """Reads from one folder; every call is made in a thread.

    Args:
        root: absolute path; a link that leads out of it is not followed.
        max_bytes: of one image.
        files: opens tars.
    """

    def __init__(self, root: str, max_bytes: int, files: TarFiles) -> None:
        self._root = root
        self._max_bytes = max_bytes
        self._files = files
        self._real_folder = cache(os.path.realpath)

    def read(self, wanted: Sequence[Wanted]) -> Generator[Outcome, None, None]:
        """Yield the bytes of each image, or why there are none, file by file.

        Raises:
            errors.StorageError: the folder is gone, or this machine has no memory or file descriptors left.
        """
        for path, group in groupby(sorted(wanted, key=lambda item: _order(item[1])), key=lambda item: item[1].path):
            found = list(group)
            place = found[0][1]
            read = self._members if place.member is not None else self._files_alone if place.row is None else self._rows
            done = set()
            try:
                if local_file.leads_out(path, self._root, real_folder=self._real_folder):
                    raise errors.UnreadableError("a link leads out of the folder")
                for number, outcome in read(path, found):
                    done.add(number)
                    yield number, outcome
            except (OSError, errors.UnreadableError, parquets.DamagedTable) as exc:
                error = self._as_error(exc)
                yield from ((number, error) for number, _ in found if number not in done)

    def _files_alone(self, path: str, wanted: Sequence[Wanted]) -> Iterator[Outcome]:
        with local_file.opened(path) as (file, found):
            outcome = self._of_size(found.st_size) or self._checked(file.read(found.st_size + 1), (path, found))
        yield from ((number, outcome) for number, _ in wanted)

    def _members(self, path: str, wanted: Sequence[Wanted]) -> Iterator[Outcome]:
        with self._files.open(path) as file:
            for number, place in wanted:
                try:
                    yield number, self._checked(tars.read_member(file, place, self._max_bytes))
                except (errors.UnreadableError, errors.TooLargeError) as exc:
                    yield number, exc

    def _rows(self, path: str, wanted: Sequence[Wanted]) -> Iterator[Outcome]:
        numbers = {place.row: number for number, place in wanted}
        with parquets.open_table(path) as table:
            if table is None:
                raise errors.UnreadableError("the Parquet file holds no images any more")
            for row, body in parquets.read_images(table, frozenset(row for row in numbers if row is not None)):
                no_bytes = errors.UnreadableError("the row has no bytes of an image")
                yield numbers[row], no_bytes if body is None else self._of_size(len(body)) or self._checked(body)
        yield from self._gone(wanted, table.source.metadata.num_rows)

    @staticmethod
    def _gone(wanted: Sequence[Wanted], rows: int) -> Iterator[Outcome]:
        for number, place in wanted:
            if place.row is not None and place.row >= rows:
                yield number, errors.UnreadableError(f"the Parquet file has {rows} rows, no row {place.row + 1} any more")

    def _of_size(self, size_bytes: int) -> errors.TooLargeError | None:
        return errors.TooLargeError(f"{size_bytes} bytes, more than {self._max_bytes}") if size_bytes > self._max_bytes else None

    @staticmethod
    def _checked(body: bytes, file: tuple[str, os.stat_result] | None = None) -> "LocalBytes | errors.PermanentError":
        if not body:
            return errors.EmptyBodyError("the file is empty" if file else "its bytes are empty")
        media_type = sniff(body[:64])
        if media_type is None:
            found = foreign.describe(body[: foreign.HEAD_BYTES])
            return errors.NotAnImageError(f"the file is {found}" if found else "the file begins like no image format")
        if file is not None and len(body) != file[1].st_size:  # it was written to meanwhile
            file = None
        return LocalBytes(body, hashlib.sha256(body).hexdigest(), media_type, file)

    def _as_error(self, exc: Exception) -> errors.UnreadableError:
        """Return the error of an image.

        Raises:
            errors.StorageError: every further image would meet it.
        """
        if not isinstance(exc, OSError):
            return exc if isinstance(exc, errors.UnreadableError) else errors.UnreadableError(f"the file {exc}")
        words = exc.strerror or type(exc).__name__
        if exc.errno in _OURS:
            raise errors.StorageError(f"reading a file of the folder failed: {words}") from exc
        if not Path(self._root).is_dir():
            raise errors.StorageError(f"the folder {self._root} is gone; is its disk mounted?") from exc
        return errors.UnreadableError(f"the file cannot be read: {words}")


def _order(place: Place) -> tuple[str, int, int]:
    return place.path, place.offset, place.row or 0
