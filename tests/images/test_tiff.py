"""Pages of a TIFF, by directories made here: classic and BigTIFF, in both byte orders."""

import struct

import pytest

from app.images import tiff

Page = dict[int, int]

PHOTO: Page = {256: 4000, 257: 3000}


def _file(*pages: Page, order: str = "<", big: bool = False, end: int = 0) -> bytes:
    """Directories of numbers, one after the other; ``end`` is where the last one points to."""
    mark = b"II" if order == "<" else b"MM"
    body = mark + (struct.pack(order + "HHHQ", 43, 8, 0, 16) if big else struct.pack(order + "HI", 42, 8))
    for number, tags in enumerate(pages):
        entries = b"".join(struct.pack(order + ("HHQQ" if big else "HHII"), tag, 16 if big else 4, 1, value) for tag, value in tags.items())
        block = struct.pack(order + ("Q" if big else "H"), len(tags)) + entries
        following = end if number == len(pages) - 1 else len(body) + len(block) + (8 if big else 4)
        body += block + struct.pack(order + ("Q" if big else "I"), following)
    return body


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(
    ("pages", "count"),
    [
        ([PHOTO], 1),
        ([PHOTO, PHOTO, PHOTO], 3),
        ([PHOTO, PHOTO | {254: 1}], 1),  # reduced by its tag, whatever its size
        ([PHOTO, {254: 1, 256: 160, 257: 160}, {254: 4, 256: 4000, 257: 3000}], 1),  # a thumbnail of other proportions, and a mask
        ([PHOTO, PHOTO | {262: 4}], 1),  # a transparency mask by its photometric interpretation
        ([PHOTO, PHOTO | {255: 2}], 1),  # reduced by the old tag
        ([PHOTO, PHOTO | {254: 2}, PHOTO | {254: 2}], 3),  # pages of a document
        ([PHOTO, {256: 2000, 257: 1500}, {256: 1000, 257: 750}, {256: 31, 257: 23}], 1),  # a pyramid without tags
        ([{256: 31, 257: 23}, {256: 16, 257: 12}], 1),  # rounded
        ([PHOTO, {256: 2500, 257: 1875}], 2),  # more than half as large
        ([PHOTO, {256: 1500, 257: 2000}], 2),  # of other proportions
        ([PHOTO | {254: 1}, PHOTO], 2),  # the first one is what is decoded
        ([PHOTO, {}], 1),
    ],
)
def test_pages_are_counted_without_copies_and_masks(pages: list[Page], count: int, order: str, big: bool) -> None:
    """By tags, and by size where there are none."""
    assert tiff.count_pages(_file(*pages, order=order, big=big)) == count


@pytest.mark.parametrize("end", [8, 50, 100, 0x7FFFFFFF])
def test_a_chain_that_leads_nowhere_ends(end: int) -> None:
    """To itself, into a directory, into the data, or beyond the file: what was counted counts."""
    assert tiff.count_pages(_file(PHOTO, end=end) + b"\xff" * 200) == 1


@pytest.mark.parametrize("body", [b"", b"II*\0", b"II*\0\x08\0\0\0", b"II*\0\x08\0\0\0\xff\xff", b"MM\0+" + bytes(30)])
def test_any_bytes_are_one_page_at_least(body: bytes) -> None:
    """The decoder says what is wrong with them."""
    assert tiff.count_pages(body) == 1
    assert tiff.describe_samples(body) is None


def test_samples_are_described_by_their_tags() -> None:
    """None where they make no sense."""
    assert tiff.describe_samples(_file(PHOTO | {258: 16, 259: 1, 262: 2, 277: 3, 339: 3})) == (
        "3 x 16-bit float samples, photometric 2, compression 1"
    )
    assert tiff.describe_samples(_file(PHOTO | {258: 16, 339: 77})) is None
    assert tiff.describe_samples(_file(PHOTO | {258: 4000})) is None
