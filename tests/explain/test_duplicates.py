"""Why one of two images is kept, in the order in which dedupe decides."""

from dataclasses import replace

import pytest

from app.db.image_search import Fingerprint
from app.domain import ImageState, Reason, StoredImage
from app.explain.duplicates import Duplicate, why_kept
from app.images.dedupe import find_near

KEPT = StoredImage(
    3,
    "ds_1",
    "job_1",
    "c",
    "http://h/k.jpg",
    "list",
    ImageState.KEPT,
    sha256="a" * 64,
    size_bytes=9000,
    width=800,
    height=600,
    phash="f" * 16,
)
OTHER = replace(KEPT, id=7, url="http://h/o.jpg", state=ImageState.DUPLICATE, reason=Reason.DUPLICATE_NEAR, sha256="b" * 64, duplicate_of=3)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"width": 640, "height": 480}, "the other has more pixels (800x600 against 640x480)"),
        ({"size_bytes": 4000}, "the other has more bytes for as many pixels (9.0 kB against 4.0 kB)"),
        ({"size_bytes": 8999}, "the other has more bytes for as many pixels (9.0 kB against 9.0 kB)"),
        ({}, "alike in pixels and bytes, the other was found first"),
        ({"id": 1}, "what was kept has changed since"),
        ({"width": 1600}, "what was kept has changed since: it has fewer pixels (800x600 against 1600x600)"),
    ],
)
def test_why_kept(values: dict[str, int], words: str) -> None:
    """Pixels, then bytes, then who came first; where none of them says so, it is not made up."""
    if values == {"size_bytes": 8999}:
        words = words.replace("9.0 kB against 9.0 kB", "9 000 against 8 999").replace("9.0 kB", "9 000")
    assert why_kept(replace(OTHER, **values), KEPT) == words


@pytest.mark.parametrize("values", [{"width": 640}, {"size_bytes": 4000}, {}])
def test_dedupe_keeps_the_one_that_the_words_say(values: dict[str, int]) -> None:
    """The words give the reason of the code that decided."""
    images = [KEPT, replace(OTHER, **values)]
    items = [Fingerprint(i.id, i.state, str(i.sha256), i.phash, (i.width or 0) * (i.height or 0), i.size_bytes or 0) for i in images]
    assert find_near(items, 6)[7].kept_id == 3
    assert "changed since" not in why_kept(images[1], KEPT)


def test_near_tells_distance_and_limit() -> None:
    """Bits that differ, and how many may."""
    near = Duplicate(replace(OTHER, phash="f" * 15 + "0"), KEPT, 6)
    assert near.words().startswith("of image 3, http://h/k.jpg: differs in 4 of 64 bits, limit 6; ")
    assert Duplicate(replace(OTHER, phash=None), KEPT, 6).distance is None
    assert "bits not known" in Duplicate(replace(OTHER, phash=None), KEPT, 6).words()


def test_exact_tells_whose_bytes_it_has() -> None:
    """The same bytes as what is kept, or as one that was itself a near duplicate of it."""
    exact = replace(OTHER, reason=Reason.DUPLICATE_EXACT, phash="f" * 15 + "e")
    assert "the same bytes; " in Duplicate(replace(exact, sha256=KEPT.sha256), KEPT, 6).words()
    assert "the same bytes as one that differs from it in 1 of 64 bits, limit 6" in Duplicate(exact, KEPT, 6).words()


def test_an_original_that_fell_out_later_is_said_to_have() -> None:
    """What stands in the row now counts."""
    assert "of image 3 (now rejected), " in Duplicate(OTHER, replace(KEPT, state=ImageState.REJECTED), 6).words()
