"""What the drills of bad matter are made of: their hostile pictures, their ends, and their full disk."""

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
    """Then those are right, and no other; nor need its bytes be kept."""
    pages = {**PAGES, "http://h/b": replace(PAGES["http://h/b"], ends=frozenset({("failed", "poison")}))}
    invariants.classes(pages, with_image(2, state="failed", reason="poison"))
    with pytest.raises(InvariantBroken, match="classes"):
        invariants.classes(pages, ROWS)


def test_the_deep_picture_has_all_its_frames(tmp_path: Path) -> None:
    """It is hostile by its depth, and not broken."""
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
    """Half a gigabyte in as many kilobytes."""
    assert len(_with_chunk(b"iCCP", b"p\0\0" + _zeros(500_000_000))) < 1_000_000


def test_a_small_disk_fills_up(tmp_path: Path) -> None:
    """Ballast takes everything, nothing more can be written, and gives it back."""
    with SmallDisk(tmp_path / "disk", 1_000_000) as disk:
        faults.fill(disk.folder)
        with pytest.raises(OSError, match="No space left"):
            (disk.folder / "more").write_bytes(b"x" * 10_000)
        disk.resize(4_000_000)
        (disk.folder / "more").write_bytes(b"x" * 10_000)
        with pytest.raises(OSError, match="Read-only"), disk.read_only():
            (disk.folder / "even more").touch()
