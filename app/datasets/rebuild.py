"""Makes a build of a lock: its spec, and the copy of the lock in the store that workers read."""

from pydantic import ValidationError

import errors
from app.datasets.lock_reading import CheckedLock
from app.db import new_id
from app.export_spec import ExportSpec
from app.exports import formats
from app.inputs import FolderSpec, LockSpec
from app.resources import Resources
from app.settings import Settings
from app.spec import JobSpec
from app.storage import paths
from app.validation_errors import requirement

__all__ = ["export_of", "spec_of", "store_lock"]


def export_of(lock: CheckedLock, asked: str | None = None) -> ExportSpec:
    """Return how a rebuild is exported: in the format that is asked for, else as the lock says.

    Raises:
        errors.ValidationError: this version does not have the format, or an option.
        errors.ConfigurationError: the format needs an extra that is not installed.
    """
    export = lock.header.export
    name = asked or export.format
    if name not in formats.EXPORTERS:
        hint = f"name another with --format: {', '.join(formats.EXPORTERS)}"
        raise errors.ValidationError(f"{lock.where} is for the format {name!r}, which this version does not have; {hint}")
    formats.require_format(name)
    try:
        return ExportSpec.of_export(name, "standard", export.options)
    except ValidationError as exc:
        first = exc.errors()[0]
        option = ".".join(map(str, first["loc"]))
        raise errors.ValidationError(
            f"{lock.where} has an export option that cannot be used: {option} {requirement(first)}; upgrade pictrawl"
        ) from exc


async def store_lock(resources: Resources, lock: CheckedLock) -> LockSpec:
    """Copy a lock into the store, so that a resumed job reads what the first run read."""
    key = paths.url_list(new_id("list"), f".lock{lock.packing}")
    await resources.store.put_file(key, lock.path)
    return LockSpec(key=key, packing=lock.packing, digest=lock.digest, header=lock.header.model_dump(mode="json"))


def spec_of(
    settings: Settings,
    lock: CheckedLock,
    stored: LockSpec,
    *,
    export: ExportSpec,
    folder: FolderSpec | None = None,
    allow_missing: bool = False,
) -> JobSpec:
    """Return the spec of a build that takes every decision from a lock.

    Args:
        export: see `export_of`.
        folder: of the images that have no URL.
        allow_missing: whether fewer images than the lock has are a success.
    """
    header = lock.header
    return JobSpec(
        lock=stored,
        folder=folder,
        min_images=0 if allow_missing else header.images,
        near_distance=settings.validate_.near_distance,
        compression=header.recipe,
        export_format=export.export_format,
        captions=export.captions,
        shard_samples=export.shard_samples,
        shard_bytes=export.shard_bytes,
    )
