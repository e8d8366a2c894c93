"""Tests of app.report.contact_sheets: where each picture is, and that bytes stay within bounds."""

import io
import itertools

import pytest
from PIL import Image

from app.report.contact_sheets import TILE_HEIGHT, encode, lay_out
from tests.report.rows import noise, thumbnail


def jpeg(width: int, height: int, colour: str = "red") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(out, "JPEG", quality=95)
    return out.getvalue()


def test_each_tile_shows_its_picture() -> None:
    """The pixels at its place are those of the thumbnail, and no tile covers another."""
    found = lay_out([(colour, jpeg(200, 150, colour)) for colour in ("red", "lime", "blue")])
    (sheet,) = found.sheets
    for colour, expected in {"red": (254, 0, 0), "lime": (0, 255, 1), "blue": (0, 0, 254)}.items():
        tile = found.tiles[colour]
        assert (abs(tile.width - 128) <= 1, tile.height) == (True, TILE_HEIGHT)
        middle = sheet.getpixel((tile.x + tile.width // 2, tile.y + tile.height // 2))
        assert isinstance(middle, tuple)
        assert all(abs(one - other) < 4 for one, other in zip(middle, expected, strict=True))
    places = sorted((tile.x, tile.x + tile.width) for tile in found.tiles.values())
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(places))


@pytest.mark.parametrize(("size", "width"), [((256, 20), 192), ((20, 256), 48), ((96, 96), 96), ((1, 1), 96)])
def test_extreme_shapes_are_cut_to_their_middle(size: tuple[int, int], width: int) -> None:
    """A panorama is at most twice as wide as high, a column half as wide."""
    assert lay_out([("a", jpeg(*size))]).tiles["a"].width == width


def test_many_pictures_fill_several_sheets() -> None:
    """A row of a sheet is full before the next; a sheet that is not full is cut to its rows."""
    found = lay_out([(str(number), jpeg(128, 96)) for number in range(16 * 12 + 13)])
    assert [sheet.size for sheet in found.sheets] == [(1536, 1536), (1536, 2 * TILE_HEIGHT)]
    assert (found.tiles["204"].sheet, found.tiles["204"].x, found.tiles["204"].y) == (1, 0, TILE_HEIGHT)
    assert found.missing == 0


def test_missing_and_broken_thumbnails_are_counted() -> None:
    """They have no tile; a file of another size or format is none of ours."""
    png = io.BytesIO()
    Image.new("RGB", (9, 9)).save(png, "PNG")
    broken = {"gone": None, "cut": thumbnail(1)[:300], "empty": b"", "png": png.getvalue(), "huge": jpeg(1100, 10)}
    found = lay_out([*broken.items(), ("good", thumbnail(1))])
    assert (set(found.tiles), found.missing) == ({"good"}, 5)


def test_no_pictures_are_no_sheets() -> None:
    """Nothing to decode, nothing to encode."""
    found = lay_out([])
    assert (found.sheets, found.tiles, found.missing) == ([], {}, 0)
    assert encode(found.sheets, 10) == []


def test_sheets_fit_into_their_room() -> None:
    """By quality first, then by size; pictures of noise are the worst case."""
    sheets = lay_out([(str(number), noise(number % 8)) for number in range(120)]).sheets
    sizes = [sum(map(len, encode(sheets, room))) for room in (1_000_000, 400_000, 300_000, 100_000)]
    assert all(size <= room for size, room in zip(sizes, (1_000_000, 400_000, 300_000, 100_000), strict=True))
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 4


def test_the_same_thumbnails_give_the_same_bytes() -> None:
    """A report can be compared with an earlier one."""
    thumbs = [(str(number), thumbnail(number)) for number in range(5)]
    assert encode(lay_out(thumbs).sheets, 10**6) == encode(lay_out(thumbs).sheets, 10**6)
