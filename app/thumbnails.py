"""Thumbnails of stored images, made by a decoder process when somebody looks and there is none, and kept in the store.

Knows digests and bytes, not rows: whoever asks has decided who may see the picture.
"""

import asyncio
from typing import Final, Self

import errors
from app.domain import Reason, Verdict
from app.images.pool.pool import DecoderPool
from app.rules import ValidationRules
from app.settings import Settings
from app.storage import MissingObject, Store, paths
from downloader.lru import LRUDict
from logging_setup import get_logger

__all__ = ["MEDIA_TYPE", "Thumbnails"]

log = get_logger(__name__)

MEDIA_TYPE: Final = "image/jpeg"

_MAX_DECODERS: Final = 2
"""Processes that decode for lookers: they share the machine with those of running builds."""

_MAX_FAILURES: Final = 10_000
"""Digests of which it is remembered that they do not decode: a hostile file may take all its seconds of CPU each time."""


class Thumbnails:
    """The thumbnails of a store. What validation or an earlier look left there is read; what is missing is made once and stored.

    A picture is decoded within the limits of validation, on pixels, CPU and memory, but whatever its size or quality is.
    """

    def __init__(self, store: Store, decoders: DecoderPool, rules: ValidationRules) -> None:
        self._store, self._decoders, self._rules = store, decoders, rules
        self._making: dict[str, asyncio.Task[bytes]] = {}
        self._failures = LRUDict[str, tuple[Reason, str]](_MAX_FAILURES)
        self._slots = asyncio.Semaphore(decoders.size + 1)  # bodies of a bucket in memory: one is read while the others decode

    @classmethod
    def from_settings(cls, settings: Settings, store: Store) -> Self:
        """With decoder processes of its own, which start at the first thumbnail that is missing."""
        return cls(store, DecoderPool.from_settings(settings, at_most=_MAX_DECODERS), settings.validate_.rules())

    async def get(self, sha256: str) -> bytes:
        """Return the thumbnail of the image with this digest, JPEG, upright, sRGB, at most 256 pixels on its longer side.

        Raises:
            errors.ValidationError: the image does not decode, or has too many pixels to be decoded.
            MissingObject: the store has lost the image.
            errors.StorageError: the store cannot be used, or no decoder process can be started.
        """
        try:
            return await self._store.get(paths.thumb(sha256))
        except MissingObject:
            return await self._make_once(sha256)

    async def aclose(self) -> None:
        """End the decoder processes. Thumbnails that are being made fail with `errors.StorageError`."""
        await self._decoders.close()
        await asyncio.gather(*self._making.values(), return_exceptions=True)

    async def _make_once(self, sha256: str) -> bytes:
        """Join the task that makes this thumbnail, or start it. A caller who leaves does not end it for the others."""
        making = self._making.get(sha256)
        if making is None:
            making = self._making[sha256] = asyncio.create_task(self._make(sha256))
            making.add_done_callback(lambda task: self._on_made(sha256, task))
        return await asyncio.shield(making)

    def _on_made(self, sha256: str, task: asyncio.Task[bytes]) -> None:
        del self._making[sha256]
        if not task.cancelled():
            task.exception()  # retrieved, so that asyncio does not warn where all callers have left

    async def _make(self, sha256: str) -> bytes:
        known = self._failures.get(sha256)
        if known is None:
            verdict = await self._decode(sha256)
            if verdict.thumbnail is not None:
                await self._keep(sha256, verdict.thumbnail)
                return verdict.thumbnail
            known = (verdict.reason or Reason.CORRUPT, verdict.detail)
            self._failures.put(sha256, known)
        raise errors.ValidationError(known[1], reason=known[0])

    async def _decode(self, sha256: str) -> Verdict:
        key = paths.blob(sha256)
        async with self._slots:
            await self._store.head(key)  # a decoder cannot tell a lost file from an unreadable disk
            return await self._decoders.validate(self._store.local_path(key) or await self._store.get(key), self._rules)

    async def _keep(self, sha256: str, thumbnail: bytes) -> None:
        """Store a thumbnail; a full store is no reason not to show it. Of an image that was removed meanwhile nothing may stay."""
        key = paths.thumb(sha256)
        try:
            await self._store.put(key, thumbnail)
        except errors.StorageError as error:
            log.warning("thumbnail.not_stored", error=error.message)
            return
        try:
            await self._store.head(paths.blob(sha256))
        except MissingObject:
            await self._store.delete([key])
            raise
