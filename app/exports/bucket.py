"""Sends an export to an object store: every file with its digest, ``manifest.json`` last.

Retry: none here; obstore retries requests. A run that is repeated sends only what is not there yet, by the digests that it was sent with.
"""

import io
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence

import errors
from app import concurrency
from app.exports.folder import parse_digests, parse_manifest
from app.exports.outgoing import LAST, REPLACED, OnSent, OutgoingFile, Sent, name_some
from app.exports.sidecars import SUMS
from app.storage import MANIFEST, TRANSFERS, ObjectTree

__all__ = ["send_to_bucket"]


async def send_to_bucket(tree: ObjectTree, files: Mapping[str, OutgoingFile], *, overwrite: bool, on_sent: OnSent) -> None:
    """Make the objects of the tree those of an export. Files that are there with the same digest are not sent again.

    What is there and is not of the export is replaced with ``overwrite`` if it is of a dataset of ours, after everything new is there.

    Raises:
        errors.ValidationError: something else is there; nothing was changed.
        errors.PermanentError: the destination refuses.
        errors.StorageError: it is full, fails or does not answer. It has no manifest then, and looks whole to nobody.
    """
    there = await tree.list()
    same = await _find_same(tree, files, there)
    others = there.keys() - same
    await _check_others(tree, others, there.keys(), overwrite=overwrite)
    if len(same) < len(files) and MANIFEST in there:
        await _hide_manifest(tree, same, others)
    missing = [file for path, file in files.items() if path not in same]
    await on_sent(Sent(len(same), sum(files[path].size_bytes for path in same), is_new=False))

    async def send(file: OutgoingFile) -> None:
        await tree.put_file(file.path, file.file, file.sha256)
        await on_sent(Sent(1, file.size_bytes))

    await concurrency.for_each(_each(file for file in missing if file.path not in LAST), send, TRANSFERS)
    for file in (file for file in missing if file.path in LAST):
        await send(file)
    await tree.delete(sorted(others - files.keys()))


async def _hide_manifest(tree: ObjectTree, same: set[str], others: set[str]) -> None:
    """Before anything changes, take away the manifest by which the destination looks whole."""
    if MANIFEST in same:
        same.remove(MANIFEST)
        await tree.delete([MANIFEST])
    else:
        await tree.rename(MANIFEST, REPLACED)
        others.add(REPLACED)


async def _each(files: Iterable[OutgoingFile]) -> AsyncIterator[OutgoingFile]:
    for file in files:
        yield file


async def _find_same(tree: ObjectTree, files: Mapping[str, OutgoingFile], there: Mapping[str, int]) -> set[str]:
    """Find the files that are there already, by size and then by the digest that they were sent with."""
    alike = [path for path, size in there.items() if path in files and files[path].size_bytes == size]
    digests = await _digests(tree, alike)
    return {path for path in alike if digests[path] == files[path].sha256}


async def _digests(tree: ObjectTree, paths: Sequence[str]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}

    async def ask(path: str) -> None:
        found[path] = await tree.digest(path)

    async def each() -> AsyncIterator[str]:
        for path in paths:
            yield path

    await concurrency.for_each(each(), ask, TRANSFERS)
    return found


async def _check_others(tree: ObjectTree, others: set[str], there: Collection[str], *, overwrite: bool) -> None:
    """Refuse to touch objects that are not of the export: without ``overwrite`` any, with it those of somebody else."""
    if not others:
        return
    if not overwrite:
        raise errors.ValidationError(
            f"{tree.url} holds {len(others)} objects that are not of this export: {name_some(list(others))}; "
            "name another prefix, or replace a dataset with --overwrite"
        )
    unknown = sorted(others - await _objects_of_dataset(tree, there))
    digests = await _digests(tree, unknown)
    if foreign := [path for path in unknown if digests[path] is None]:
        raise errors.ValidationError(
            f"{tree.url} holds {len(foreign)} objects that are not of a pictrawl dataset: {name_some(foreign)}; "
            "name another prefix, or move them away"
        )


async def _objects_of_dataset(tree: ObjectTree, there: Collection[str]) -> set[str]:
    """The objects that the manifests there name: of the dataset that is there, and of one that was being replaced."""
    named: set[str] = set()
    for path in (MANIFEST, REPLACED):
        manifest = parse_manifest(await tree.get(path)) if path in there else {}
        if manifest:
            sums = await tree.get(SUMS) if SUMS in there else b""
            named |= {path, SUMS, *parse_digests(manifest, io.BytesIO(sums))}
    return named
