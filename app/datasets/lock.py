"""Writes the lock of a dataset: everything that another machine needs to make the same bytes of it. No path and no secret of this one.

Rows are read page by page, in the order of an export. The format is in :mod:`app.datasets.lock_format`.
"""

import asyncio
import gzip
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Final, cast

import errors
from app import encoders, extras
from app.datasets import versions
from app.datasets.lock_format import (
    PLAIN_VERSION,
    SCHEMA_VERSION,
    Form,
    LockedDataset,
    LockedExport,
    LockedImage,
    LockedRejection,
    LockedReview,
    LockHeader,
    Sealer,
)
from app.db import Database, images, jobs, locked_images
from app.db.exceptions import StateConflict
from app.db.locked_images import Rejected
from app.discovery.folders.place import published_url
from app.domain import FOLDER_SOURCE, StoredImage
from app.export_spec import ExportSpec
from app.exports.provenance import Provenance
from app.job_states import JobKind
from app.resources import Resources, product_version
from app.rules import CompressionRules
from app.spec import JobSpec

__all__ = ["Lock", "as_line", "open_lock", "write_lock"]

PAGE: Final = 1_000
"""Rows read at once; no more are in memory, however many images there are."""

ZSTD_LEVEL: Final = 10
"""A lock is written once and copied often; 10 takes 4 times as long as the default and saves a tenth."""

FIELDS: Final = (
    *("sha256", "size_bytes", "media_type", "width", "height", "source", "label", "labels", "caption", "captions", "boxes", "group_id"),
    *("title", "page_url", "license", "license_url", "license_raw", "license_confidence", "license_note", "creator", "creator_url"),
    *("attribution", "phash", "extra", "stated"),
)
"""Fields of a row that a line has under the same name: all that an export or a later version is made of."""


@dataclass(frozen=True, slots=True)
class Lock:
    """The lock of a dataset, ready to be written once. ``folder`` is the one that it was made of, if it was."""

    db: Database
    dataset_id: str
    header: LockHeader
    folder: str | None
    sealer: Sealer = field(default_factory=Sealer)

    @property
    def digest(self) -> str:
        """By which it is known, after all lines were read."""
        return self.sealer.digest

    async def measure(self) -> int:
        """Return how many bytes its lines have."""
        again = replace(self, sealer=Sealer())
        return sum([len(block) async for block in again.lines()])

    async def lines(self) -> AsyncGenerator[bytes, None]:
        """Yield the lines, some hundred at a time.

        Raises:
            StateConflict: the dataset changed meanwhile.
        """
        yield self.sealer.header(self.header)
        last_id = 0
        while page := await self._page(last_id):
            yield await asyncio.to_thread(self._encode, page)
            last_id = page[-1].id
        async for rejected in locked_images.rejected(self.db, self.dataset_id):
            yield await asyncio.to_thread(self._encode_rejected, rejected)
        if self.sealer.images != self.header.images:
            raise StateConflict(f"dataset {self.dataset_id} changed while its lock was written; repeat it")
        yield self.sealer.end()

    async def _page(self, last_id: int) -> list[StoredImage]:
        async with self.db.read() as connection:
            return await images.kept_after(connection, self.dataset_id, last_id=last_id, limit=PAGE)

    def _encode(self, page: Sequence[StoredImage]) -> bytes:
        return b"".join(self.sealer.image(as_line(self.sealer.images, image, self.folder, self.header.recipe)) for image in page)

    def _encode_rejected(self, page: Sequence[Rejected]) -> bytes:
        return b"".join(self.sealer.rejection(as_rejection(row, self.folder)) for row in page)


async def open_lock(resources: Resources, dataset_id: str, *, export: ExportSpec | None = None, export_format: str | None = None) -> Lock:
    """Read what the header of a lock holds.

    Args:
        export: how a rebuild exports; by default as the dataset was built.
        export_format: another format, with the options of the build.

    Raises:
        errors.NotFoundError: there is no such dataset.
        StateConflict: a job changes the dataset at this time, or no image is kept.
    """
    db = resources.db
    version = await versions.ensure(resources, dataset_id)
    facts = Provenance.from_json(version.provenance or {})
    build = await jobs.newest_of_dataset(db, dataset_id, JobKind.BUILD)
    spec = JobSpec(**build.spec) if build is not None else JobSpec()
    chosen = export or ExportSpec.of_build(spec)
    async with db.read() as connection:
        count, size_bytes = await locked_images.count_kept(connection, dataset_id)
        is_reviewed = await locked_images.is_reviewed(connection, dataset_id)
    header = LockHeader(
        pictrawl_lock=SCHEMA_VERSION if is_reviewed else PLAIN_VERSION,
        generator=f"pictrawl {product_version()}",
        dataset=LockedDataset(
            name=facts.name,
            id=facts.dataset_id,
            lineage_id=facts.lineage_id,
            version=facts.version,
            created_at=facts.created_at,
            digest=None if spec.folder else version.digest,
        ),
        images=count,
        size_bytes=size_bytes,
        export=LockedExport(format=export_format or chosen.export_format, options=chosen.options),
        recipe=spec.compression,
        libraries=dict(encoders.versions()),
        provenance=facts.to_json(),
    )
    return Lock(db, dataset_id, header, spec.folder.path if spec.folder else None)


async def write_lock(lines: AsyncIterator[bytes], path: Path) -> None:
    """Write a lock to a file, packed as its suffix says, in place of what was there: whole, or not at all.

    Raises:
        errors.ConfigurationError: the suffix is .zst, and the package for it is not installed.
        OSError: the file cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with ExitStack() as stack:
            file = _packer(part, path.suffix, stack)
            async for block in lines:
                await asyncio.to_thread(file.write, block)
        await asyncio.to_thread(part.replace, path)
    finally:
        part.unlink(missing_ok=True)


def _packer(path: Path, suffix: str, stack: ExitStack) -> IO[bytes]:
    """Open a file for writing; nothing in its packed form depends on when and where that is done."""
    zstandard = extras.require("zstandard", "zstd", "writing a .zst lock") if suffix == ".zst" else None
    file = stack.enter_context(path.open("wb"))
    if zstandard is not None:
        packed: IO[bytes] = stack.enter_context(zstandard.ZstdCompressor(level=ZSTD_LEVEL).stream_writer(file, closefd=False))
        return packed
    if suffix == ".gz":
        return cast(IO[bytes], stack.enter_context(gzip.GzipFile("", "wb", fileobj=file, mtime=0)))
    return file


def as_line(index: int, image: StoredImage, folder: str | None, recipe: CompressionRules) -> LockedImage:
    """Return the line of a kept image.

    Args:
        folder: the one that the dataset was made of; an image in it is named by its path relative to it.
        recipe: that of the dataset's forms.

    Raises:
        errors.ValidationError: the image lies in another folder, or was encoded by another recipe.
    """
    if image.out_sha256 and image.changes is None and recipe.is_identity:
        what = f"image {image.id} was encoded for another dataset, which was merged into this one, and this one has no recipe for it"
        raise errors.ValidationError(f"{what}; lock the datasets that were merged, and merge their rebuilds")
    values: dict[str, Any] = {name: value for name in FIELDS if (value := getattr(image, name)) is not None}
    return LockedImage(
        index=index, split=image.split or "train", form=_form(image), review=_review(image), **_place(image, folder), **values
    )


def as_rejection(row: Rejected, folder: str | None) -> LockedRejection:
    """Return the line of an image that a person took out; see `as_line`."""
    values = {name: value for name in ("sha256", "source", "width", "height", "phash", "colour_grid") if (value := getattr(row, name))}
    path = published_url(row.url, folder) if row.source == FOLDER_SOURCE and folder else row.url
    return LockedRejection(at=row.reviewed_at, **({"url": row.url} if path == row.url else {"path": path}), **values)


def _review(image: StoredImage) -> LockedReview | None:
    if image.reviewed is None:
        return None
    return LockedReview(decision=cast(Any, image.reviewed), at=image.reviewed_at or 0.0, label=image.reviewed_label)


def _place(image: StoredImage, folder: str | None) -> dict[str, str]:
    if image.source != FOLDER_SOURCE:
        return {"url": image.url}
    path = published_url(image.url, folder) if folder else image.url
    if path == image.url:
        hint = "build a dataset of one folder, and lock that"
        raise errors.ValidationError(f"image {image.id} lies outside the folder that its dataset was made of, and has no URL; {hint}")
    return {"path": path}


def _form(image: StoredImage) -> Form | None:
    if image.out_sha256 is None:
        return None
    return Form(
        sha256=image.out_sha256,
        media_type=str(image.out_media_type),
        size_bytes=image.out_size_bytes or 0,
        width=image.out_width or 1,
        height=image.out_height or 1,
        changes=image.changes,
    )
