"""The hostile images, page outcomes and small disk of the drills."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tests.drills import faults, invariants
from tests.drills.invariants import InvariantBroken
from tests.drills.matter import SmallDisk
from tests.drills.test_decoders import _deep_gif, _numbered, _with_chunk, _zeros
from tests.drills.test_invariants import PAGES, ROWS, with_image
from tests.images.samples import encode, opened, photo


def test_a_page_may_name_its_own_ends() -> None:
    """Then those outcomes are right and no other, and its bytes need not be kept."""
    pages = {**PAGES, "http://h/b": replace(PAGES["http://h/b"], ends=frozenset({("failed", "poison")}))}
    invariants.classes(pages, with_image(2, state="failed", reason="poison"))
    with pytest.raises(InvariantBroken, match="classes"):
        invariants.classes(pages, ROWS)


def test_the_deep_picture_has_all_its_frames(tmp_path: Path) -> None:
    """It is hostile by its number of frames, and not broken."""
    path = tmp_path / "deep.gif"
    path.write_bytes(_deep_gif(12))
    with Image.open(path) as image:
        assert getattr(image, "n_frames", 1) == 12


def test_a_numbered_picture_is_the_same_picture() -> None:
    """Other bytes, the same pixels."""
    body = encode(photo(32, 32), "PNG")
    assert opened(_numbered(body, 1)).tobytes() == opened(body).tobytes()
    assert _numbered(body, 1) != _numbered(body, 2)


def test_a_bomb_is_small_on_the_wire() -> None:
    """Half a gigabyte in half a megabyte."""
    assert len(_with_chunk(b"iCCP", b"p\0\0" + _zeros(500_000_000), seed=7)) < 1_000_000


def test_a_small_disk_fills_up(tmp_path: Path) -> None:
    """Ballast fills it; a resize makes room again; read-only refuses writes."""
    with SmallDisk(tmp_path / "disk", 1_000_000) as disk:
        faults.fill(disk.folder)
        with pytest.raises(OSError, match="No space left"):
            (disk.folder / "more").write_bytes(b"x" * 10_000)
        disk.resize(4_000_000)
        (disk.folder / "more").write_bytes(b"x" * 10_000)
        with pytest.raises(OSError, match="Read-only"), disk.read_only():
            (disk.folder / "even more").touch()
