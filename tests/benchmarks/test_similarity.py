"""How two shrunken datasets are compared."""

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import similarity
from PIL import Image, ImageFilter

SIDE = 48


def picture(seed: int = 1, side: int = SIDE) -> Image.Image:
    """Patches of colour."""
    patches = np.random.default_rng(seed).integers(0, 256, size=(8, 8, 3), dtype=np.uint8)
    return Image.fromarray(patches).resize((side, side), Image.Resampling.NEAREST)


def jpeg(image: Image.Image, quality: int = 95) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def shard(folder: Path, bodies: Mapping[str, bytes]) -> Path:
    """A dataset of one shard, as both write them."""
    folder.mkdir()
    with tarfile.open(folder / "00000.tar", "w") as archive:
        for number, (url, body) in enumerate(bodies.items()):
            for kind, content in (("jpg", body), ("json", json.dumps({"url": url}).encode())):
                member = tarfile.TarInfo(f"{number:06d}.{kind}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return folder


def luma(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L"))


def test_ssim_of_a_picture_with_itself_is_one() -> None:
    """And only of that."""
    assert similarity.ssim(luma(picture()), luma(picture())) == pytest.approx(1.0)


def test_ssim_falls_with_every_blur() -> None:
    """The more is lost, the less it is; another picture is further than any blur of this one."""
    blurred = [similarity.ssim(luma(picture()), luma(picture().filter(ImageFilter.GaussianBlur(radius)))) for radius in (0.5, 1, 3)]
    other = similarity.ssim(luma(picture()), luma(picture(2)))
    assert 1 > blurred[0] > blurred[1] > blurred[2] > other


def test_ssim_of_flat_pictures_is_that_of_their_brightness() -> None:
    """Without structure, formula (6) of the paper is all that is left: (2ab + C1) / (a² + b² + C1)."""
    c1 = (0.01 * 255) ** 2
    dark, light = np.full((20, 30), 50, dtype=np.uint8), np.full((20, 30), 200, dtype=np.uint8)
    assert similarity.ssim(dark, light) == pytest.approx((2 * 50 * 200 + c1) / (50**2 + 200**2 + c1))


def test_the_nearer_dataset_is_found(tmp_path: Path) -> None:
    """Matched by URL and not by order; all three verdicts of a worse copy's rival are met but that of the size."""
    originals = tmp_path / "originals"
    originals.mkdir()
    urls = {f"http://127.0.0.1/{seed}.jpg": picture(seed, 4 * SIDE) for seed in range(3)}
    for url, image in urls.items():
        (originals / url.rpartition("/")[2]).write_bytes(jpeg(image, 100))
    small = {url: image.resize((SIDE, SIDE), Image.Resampling.LANCZOS) for url, image in urls.items()}
    ours = shard(tmp_path / "ours", {url: jpeg(image) for url, image in small.items()})
    theirs = shard(tmp_path / "theirs", {url: jpeg(image, 20) for url, image in reversed(small.items())})
    found = similarity.compare(ours, theirs, originals)
    assert (found.pictures, found.same_size) == (3, 3)
    assert found.ours.ssim > found.theirs.ssim
    assert [verdict.met for verdict in similarity.judge("row", found)] == [True, False, True]


def test_another_size_is_seen(tmp_path: Path) -> None:
    """One picture of other pixels misses the target."""
    (tmp_path / "1.jpg").write_bytes(jpeg(picture(side=2 * SIDE)))
    ours = shard(tmp_path / "ours", {"http://127.0.0.1/1.jpg": jpeg(picture())})
    theirs = shard(tmp_path / "theirs", {"http://127.0.0.1/1.jpg": jpeg(picture(side=SIDE - 1))})
    found = similarity.compare(ours, theirs, tmp_path)
    assert found.same_size == 0
    assert not similarity.judge("row", found)[0].met


def test_datasets_of_other_urls_are_not_compared(tmp_path: Path) -> None:
    """A picture that one of them lacks would otherwise go unseen."""
    ours = shard(tmp_path / "ours", {"http://127.0.0.1/1.jpg": jpeg(picture())})
    theirs = shard(tmp_path / "theirs", {"http://127.0.0.1/2.jpg": jpeg(picture())})
    with pytest.raises(SystemExit, match="do not hold the same URLs: 1 and 1"):
        similarity.compare(ours, theirs, tmp_path)
