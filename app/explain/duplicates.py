"""Of two images that show the same, which one is kept and why. Pure; the order is that of :mod:`app.images.dedupe`."""

from dataclasses import dataclass

from app.domain import Reason, StoredImage
from app.formatting import clipped, number, size

__all__ = ["Duplicate", "why_kept"]

BITS = 64


@dataclass(frozen=True, slots=True)
class Duplicate:
    """An image that repeats another.

    Attributes:
        original: the one that is kept in its place.
        is_exact: whether it has the same bytes as some image; the hashes decided otherwise.
        distance: bits in which the hashes differ; ``None`` where one of them is not known.
        limit: bits up to which two images count as one.
    """

    image: StoredImage
    original: StoredImage
    limit: int

    @property
    def is_exact(self) -> bool:
        return self.image.reason is Reason.DUPLICATE_EXACT

    @property
    def distance(self) -> int | None:
        if not self.image.phash or not self.original.phash:
            return None
        return (int(self.image.phash, 16) ^ int(self.original.phash, 16)).bit_count()

    def words(self) -> str:
        """``of image 3, https://…: differs in 4 of 64 bits, limit 6; the other has more pixels (800x600 against 640x480)``."""
        url = clipped(self.original.url, 200)
        state = "" if self.original.state.value == "kept" else f" (now {self.original.state.value})"
        return f"of image {self.original.id}{state}, {url}: {self._likeness()}; {why_kept(self.image, self.original)}"

    def _likeness(self) -> str:
        if self.is_exact and self.image.sha256 == self.original.sha256:
            return "the same bytes"
        bits = "bits not known" if self.distance is None else f"{self.distance} of {BITS} bits"
        if self.is_exact:
            return f"the same bytes as one that differs from it in {bits}, limit {self.limit}"
        return f"differs in {bits}, limit {self.limit}"


def why_kept(image: StoredImage, original: StoredImage) -> str:
    """What makes the original the better one: more pixels, then more bytes, then found first."""
    if _pixels(original) != _pixels(image):
        return _better(
            _pixels(original) > _pixels(image),
            f"pixels ({original.width or 0}x{original.height or 0} against {image.width or 0}x{image.height or 0})",
        )
    mine, theirs = image.size_bytes or 0, original.size_bytes or 0
    if mine != theirs:
        shown = (size(theirs), size(mine)) if size(theirs) != size(mine) else (number(theirs), number(mine))
        return _better(theirs > mine, f"bytes for as many pixels ({shown[0]} against {shown[1]})")
    return "alike in pixels and bytes, the other was found first" if original.id < image.id else "what was kept has changed since"


def _pixels(image: StoredImage) -> int:
    return (image.width or 0) * (image.height or 0)


def _better(is_so: bool, words: str) -> str:
    return f"the other has more {words}" if is_so else f"what was kept has changed since: it has fewer {words}"
