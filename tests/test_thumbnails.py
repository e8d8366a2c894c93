"""A missing thumbnail is made once, in a decoder process, within the limits of validation, and kept; nothing of a removed image stays."""

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import errors
from app.images.pool.pool import DecoderPool
from app.rules import ValidationRules
from app.storage import MissingObject, Store, open_store, paths
from app.thumbnails import Thumbnails
from tests.images import samples
from tests.images.test_heif import heic

RULES = ValidationRules(max_pixels=1_000_000)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A local store, whose files decoders read themselves."""
    return open_store(str(tmp_path))


@pytest.fixture
async def decoders() -> AsyncIterator[DecoderPool]:
    async with DecoderPool(1) as pool:
        yield pool


@pytest.fixture
def thumbnails(store: Store, decoders: DecoderPool) -> Thumbnails:
    return Thumbnails(store, decoders, RULES)


async def stored(store: Store, body: bytes) -> str:
    """The digest of bytes that are in the store."""
    sha256 = hashlib.sha256(body).hexdigest()
    await store.put(paths.blob(sha256), body)
    return sha256


def is_upright(thumbnail: bytes) -> bool:
    """Whether the red quarter of `samples.marked` is at the top left, and nowhere else."""
    pixels = np.asarray(samples.opened(thumbnail).convert("RGB")).astype(int)
    redness = pixels[..., 0] - pixels[..., 1]
    height, width = redness.shape
    return bool(redness[: height // 3, : width // 3].mean() > 200 and abs(redness[height * 2 // 3 :, width * 2 // 3 :].mean()) < 20)


def deep() -> bytes:
    """A PNG of 16 bits: black above, white below."""
    rows = np.zeros((80, 120), np.uint16)
    rows[40:] = 65_535
    return samples.encode(Image.fromarray(rows), "PNG")


MARKED: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: samples.encode(samples.marked()),
    "rotated": lambda: samples.with_orientation(samples.marked().transpose(Image.Transpose.ROTATE_90), 6),
    "mirrored": lambda: samples.with_orientation(samples.marked().transpose(Image.Transpose.FLIP_LEFT_RIGHT), 2),
    "cmyk": lambda: samples.encode(samples.marked().convert("CMYK")),
    "animated": lambda: samples.encode(samples.marked(), "GIF", save_all=True, append_images=[samples.photo(120, 80)]),
    "avif": lambda: samples.encode(samples.marked(), "AVIF"),
    "heif": lambda: heic(samples.marked()),
    "tiny": lambda: samples.encode(samples.marked(48, 32), "PNG"),
}


@pytest.mark.parametrize("url", ["folder", "memory://"])
async def test_any_format_gives_an_upright_jpeg_in_srgb(decoders: DecoderPool, tmp_path: Path, url: str) -> None:
    """Also what validation would refuse, an animation, a picture that is too small; read by a decoder or sent to it."""
    store = open_store(url if "://" in url else str(tmp_path))
    thumbnails = Thumbnails(store, decoders, RULES)
    made = {name: await thumbnails.get(await stored(store, body())) for name, body in MARKED.items()}
    assert [name for name, thumbnail in made.items() if not is_upright(thumbnail)] == []
    forms = {(opened.format, opened.mode, opened.info.get("icc_profile")) for opened in map(samples.opened, made.values())}
    assert forms == {("JPEG", "RGB", None)}
    assert await store.get(paths.thumb(hashlib.sha256(MARKED["avif"]()).hexdigest())) == made["avif"]


async def test_size_and_range(thumbnails: Thumbnails, store: Store) -> None:
    """The longer side has 256 pixels; of 16 bits black stays black and white stays white."""
    tall = await thumbnails.get(await stored(store, samples.encode(samples.photo(300, 900), "PNG")))
    assert samples.opened(tall).size == (85, 256)
    grey = np.asarray(samples.opened(await thumbnails.get(await stored(store, deep()))).convert("L"))
    assert (grey[:30].mean() < 5, grey[50:].mean() > 250) == (True, True)


async def test_one_that_is_there_is_read(thumbnails: Thumbnails, store: Store) -> None:
    """As validation left it; the image itself is not touched."""
    await store.put(paths.thumb("ab" * 32), b"as it is")
    assert await thumbnails.get("ab" * 32) == b"as it is"


async def test_lookers_at_once_share_one_decode(store: Store, decoders: DecoderPool) -> None:
    """A looker who leaves takes nothing from the others."""
    thumbnails = Thumbnails(store, decoders, RULES)
    sha256 = await stored(store, samples.encode(samples.photo()))
    lookers = [asyncio.create_task(thumbnails.get(sha256)) for _ in range(10)]
    await asyncio.sleep(0)
    lookers[0].cancel()
    answers = await asyncio.gather(*lookers, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert len({id(answer) for answer in answers[1:]}) == 1, "each was given the bytes of one decode"


HOSTILE = {
    b"<svg onload=alert(1)>": "an SVG drawing is not decoded",
    b"\xff\xd8\xff\xe0<script>alert(1)</script>": "jpeg",
    b"II*\0" + bytes(40): "tiff",
}


async def test_what_does_not_decode_is_refused_and_leaves_nothing(thumbnails: Thumbnails, store: Store) -> None:
    """With the reason of validation."""
    for body, words in HOSTILE.items():
        sha256 = await stored(store, body)
        with pytest.raises(errors.ValidationError, match=words):
            await thumbnails.get(sha256)
        assert not await store.exists(paths.thumb(sha256))


async def test_a_failure_is_remembered(store: Store, decoders: DecoderPool) -> None:
    """Each look at a hostile file would cost its seconds of CPU again."""
    thumbnails = Thumbnails(store, decoders, RULES)
    sha256 = await stored(store, samples.png_header_bomb())
    for _ in range(2):
        with pytest.raises(errors.ValidationError, match="limit 1000000"):
            await thumbnails.get(sha256)
        await store.delete([paths.blob(sha256)])  # the second look does not even open it


async def test_a_lost_image_is_missing(thumbnails: Thumbnails) -> None:
    """And may come back, so that is not remembered."""
    with pytest.raises(MissingObject):
        await thumbnails.get("cd" * 32)


class Removing(Store):
    """A store from which the image is removed just before its thumbnail is written."""

    async def put(self, key: str, body: bytes) -> None:
        await self.delete([paths.blob(key[-68:-4])])
        await super().put(key, body)


async def test_of_an_image_that_was_removed_meanwhile_nothing_stays(tmp_path: Path, decoders: DecoderPool) -> None:
    """A takedown does not wait for lookers."""
    store, backend = open_store(str(tmp_path)), open_store(str(tmp_path))
    sha256 = await stored(store, samples.encode(samples.photo()))
    removing = Removing(backend._backend, tmp_path)
    with pytest.raises(MissingObject):
        await Thumbnails(removing, decoders, RULES).get(sha256)
    assert [item.key async for item in store.list()] == []


class Full(Store):
    """A store that takes nothing more."""

    async def put(self, key: str, body: bytes) -> None:
        raise errors.StorageError(f"put {key}: No space left on device")


async def test_a_full_store_shows_the_picture_all_the_same(tmp_path: Path, decoders: DecoderPool) -> None:
    """It is made again at the next look."""
    store = open_store(str(tmp_path))
    sha256 = await stored(store, samples.encode(samples.photo()))
    thumbnail = await Thumbnails(Full(store._backend, tmp_path), decoders, RULES).get(sha256)
    assert Image.open(io.BytesIO(thumbnail)).format == "JPEG"
    assert not await store.exists(paths.thumb(sha256))


async def test_no_process_starts_before_one_is_needed(store: Store) -> None:
    """A server whose thumbnails are all there decodes nothing; a closed one says so."""
    pool = DecoderPool(1)
    thumbnails = Thumbnails(store, pool, RULES)
    await store.put(paths.thumb("ab" * 32), b"as it is")
    await thumbnails.get("ab" * 32)
    assert pool.stats().started == 0
    await thumbnails.aclose()
    with pytest.raises(errors.StorageError, match="closed"):
        await thumbnails.get(await stored(store, samples.encode(samples.photo())))
