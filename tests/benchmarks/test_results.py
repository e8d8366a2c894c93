"""Ratios, targets and tables of the comparison, and the similarity of shrunken pictures."""

import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import results
from PIL import Image, ImageFilter


@dataclass
class Run:
    """The attributes of a run that a verdict reads."""

    images: int = 100
    per_s: float = 1.0
    steady_per_s: float = 1.0
    cpu_ms: float = 1.0
    peak_mb: float = 1.0
    first_s: float | None = None


RUNS = {
    "we": [Run(per_s=10, steady_per_s=20, first_s=1.0), Run(per_s=30, steady_per_s=20, first_s=2.0), Run(per_s=24, first_s=9.0)],
    "they": [Run(per_s=10), Run(per_s=10), Run(per_s=8, peak_mb=4.0)],
}


def test_a_ratio_is_of_two_runs_of_one_round() -> None:
    """Not of two medians: a machine's speed drifts from round to round."""
    assert results.ratios(RUNS["we"], RUNS["they"], "per_s") == (1.0, 3.0, 3.0)


def test_ratios_want_as_many_rounds_of_both() -> None:
    """A different number of rounds is an error."""
    with pytest.raises(ValueError, match="shorter"):
        results.ratios(RUNS["we"], RUNS["they"][:2], "per_s")


@pytest.mark.parametrize(("bound", "met"), [(2.9, True), (3.0, True), (3.1, False)])
def test_least_is_held_by_the_median(bound: float, met: bool) -> None:
    """One slow or fast round does not decide; the steady ratios are kept too."""
    verdict = results.judge(results.Target("row", "we x they", "we", "they", bound), RUNS)
    assert verdict.met is met
    assert verdict.values == (1.0, 3.0, 3.0)
    assert verdict.steady == (20.0, 20.0, 1.0)


@pytest.mark.parametrize(("bound", "met"), [(1.9, False), (2.0, True)])
def test_most_is_held_by_the_median_of_ours_alone(bound: float, met: bool) -> None:
    """A target without another contestant reads our own figure."""
    verdict = results.judge(results.Target("row", "first", "we", None, bound, "first_s", is_most=True), RUNS)
    assert verdict.met is met
    assert verdict.values == (1.0, 2.0, 9.0)
    assert verdict.steady == ()


def test_tables_say_median_and_range_and_what_is_missed() -> None:
    """Every line has as many cells as the head."""
    missed = results.judge(results.Target("row", "we x they", "we", "they", 4), RUNS)
    for table in (results.run_table({"row": RUNS}), results.ratio_table([missed])):
        assert len({line.count("|") for line in table.splitlines()}) == 1
    assert "| 24 (10 to 30) |" in results.run_table({"row": RUNS})
    assert "| 1.00, 3.00, 3.00 | 3.00 (1.00 to 3.00) | 20.00 (1.00 to 20.00) | **MISSED** |" in results.ratio_table([missed])


def test_what_a_contestant_cannot_say_is_a_dash() -> None:
    """img2dataset does not report the time of its first image."""
    assert results.run_table({"row": {"they": RUNS["they"]}}).endswith(" | - |")


# --- similarity

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
    """A dataset of one shard."""
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
    """The SSIM of equal pictures is 1."""
    assert results.ssim(luma(picture()), luma(picture())) == pytest.approx(1.0)


def test_ssim_falls_with_every_blur() -> None:
    """A stronger blur gives a lower SSIM; a different picture the lowest."""
    blurred = [results.ssim(luma(picture()), luma(picture().filter(ImageFilter.GaussianBlur(radius)))) for radius in (0.5, 1, 3)]
    other = results.ssim(luma(picture()), luma(picture(2)))
    assert 1 > blurred[0] > blurred[1] > blurred[2] > other


def test_ssim_of_flat_pictures_is_that_of_their_brightness() -> None:
    """Without structure the SSIM is formula (6) of the paper: (2ab + C1) / (a² + b² + C1)."""
    c1 = (0.01 * 255) ** 2
    dark, light = np.full((20, 30), 50, dtype=np.uint8), np.full((20, 30), 200, dtype=np.uint8)
    assert results.ssim(dark, light) == pytest.approx((2 * 50 * 200 + c1) / (50**2 + 200**2 + c1))


def test_the_nearer_dataset_is_found(tmp_path: Path) -> None:
    """Pictures are matched by URL and not by order; only the verdict of the file size is missed."""
    originals = tmp_path / "originals"
    originals.mkdir()
    urls = {f"http://127.0.0.1/{seed}.jpg": picture(seed, 4 * SIDE) for seed in range(3)}
    for url, image in urls.items():
        (originals / url.rpartition("/")[2]).write_bytes(jpeg(image, 100))
    small = {url: image.resize((SIDE, SIDE), Image.Resampling.LANCZOS) for url, image in urls.items()}
    ours = shard(tmp_path / "ours", {url: jpeg(image) for url, image in small.items()})
    theirs = shard(tmp_path / "theirs", {url: jpeg(image, 20) for url, image in reversed(small.items())})
    found = results.compare(ours, theirs, originals)
    assert (found.pictures, found.same_size) == (3, 3)
    assert found.ours.ssim > found.theirs.ssim
    assert [verdict.met for verdict in results.judge_similarity("row", found)] == [True, False, True]


def test_another_size_is_seen(tmp_path: Path) -> None:
    """One picture of a different size misses the target."""
    (tmp_path / "1.jpg").write_bytes(jpeg(picture(side=2 * SIDE)))
    ours = shard(tmp_path / "ours", {"http://127.0.0.1/1.jpg": jpeg(picture())})
    theirs = shard(tmp_path / "theirs", {"http://127.0.0.1/1.jpg": jpeg(picture(side=SIDE - 1))})
    found = results.compare(ours, theirs, tmp_path)
    assert found.same_size == 0
    assert not results.judge_similarity("row", found)[0].met


def test_datasets_of_other_urls_are_not_compared(tmp_path: Path) -> None:
    """Different URLs are an error."""
    ours = shard(tmp_path / "ours", {"http://127.0.0.1/1.jpg": jpeg(picture())})
    theirs = shard(tmp_path / "theirs", {"http://127.0.0.1/2.jpg": jpeg(picture())})
    with pytest.raises(SystemExit, match="do not hold the same URLs: 1 and 1"):
        results.compare(ours, theirs, tmp_path)
