"""Files below a URL of an object store that is not the one of this installation, each with its SHA-256 as metadata.

Requests are retried by obstore alone, as those of the store are. Knows paths and bytes, not datasets.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import obstore

from app.storage import backends, paths, storage_errors

if TYPE_CHECKING:
    from obstore.store import ObjectStore

__all__ = ["DIGEST_KEY", "ObjectTree", "open_tree"]

DIGEST_KEY = "pictrawlsha256"
"""Metadata of every object that we send. Azure takes letters, digits and underscores, some proxies no underscores."""

PART_BYTES = 8_000_000  # S3 allows 10,000 parts: 80 GB a file
PARTS_IN_FLIGHT = 4
LIST_PAGE = 1000
DELETE_PAGE = 1000


def open_tree(url: str) -> "ObjectTree":
    """Open the tree at ``s3://bucket/prefix``, ``gs://...`` or ``az://...``. No request is made.

    Raises:
        errors.ConfigurationError: the environment lacks something that this kind of store needs.
    """
    return ObjectTree(backends.build_remote(url, "destination"), url)


class ObjectTree:
    """Objects by their paths below the URL. Every method may raise what `storage_errors.sending` raises."""

    def __init__(self, backend: "ObjectStore", url: str) -> None:
        self._backend = backend
        self.url = url

    async def list(self) -> dict[str, int]:
        """The size in bytes of every object, by its path."""
        found: dict[str, int] = {}
        with storage_errors.sending("list", self.url):
            async for page in obstore.list(self._backend, chunk_size=LIST_PAGE):
                found |= {meta["path"]: meta["size"] for meta in page}
        return found

    async def digest(self, path: str) -> str | None:
        """The SHA-256, hex, that an object was sent with; None if somebody else has written it."""
        with storage_errors.sending("head", f"{self.url}/{path}"):
            found = await obstore.get_async(self._backend, path, options={"head": True})
        attributes: Mapping[str, str] = found.attributes
        return attributes.get(DIGEST_KEY)

    async def get(self, path: str) -> bytes:
        """The whole object."""
        with storage_errors.sending("get", f"{self.url}/{path}"):
            return bytes(await (await obstore.get_async(self._backend, path)).bytes_async())

    async def put_file(self, path: str, file: Path, sha256: str) -> None:
        """Send a file, whole or not at all; a large one in parts, so that memory does not grow with it."""
        paths.check_key(path)
        with storage_errors.sending("put", f"{self.url}/{path}"):
            await obstore.put_async(
                self._backend, path, file, attributes={DIGEST_KEY: sha256}, chunk_size=PART_BYTES, max_concurrency=PARTS_IN_FLIGHT
            )

    async def rename(self, path: str, other: str) -> None:
        """Give an object another path, in place of what was there."""
        with storage_errors.sending("put", f"{self.url}/{other}"):
            await obstore.rename_async(self._backend, path, other)

    async def delete(self, wanted: Iterable[str]) -> None:
        """Delete these objects."""
        left = list(wanted)
        for start in range(0, len(left), DELETE_PAGE):
            with storage_errors.sending("delete", self.url):
                await obstore.delete_async(self._backend, left[start : start + DELETE_PAGE])
