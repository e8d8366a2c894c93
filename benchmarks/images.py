"""CPU of image decoders, thumbnail encoders and hashes, and which damaged files each decoder refuses.

::

    python benchmarks/images.py                          # a seeded corpus
    python benchmarks/images.py --images FOLDER --count 200 --rounds 5

Each figure is the CPU of a fresh process over the same images; libraries alternate, and the best round counts. Libraries that the project
does not use are installed into a scratch folder (``--home``).
"""

import argparse
import hashlib
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import origin
import results
from contestants import MALLOC
from peers import installed
from PIL import Image, JpegImagePlugin

PACKAGES: Final = (
    "opencv-python-headless==5.0.0.93",
    "pyvips==3.2.0",
    "pyvips-binary==8.18.7",
    "cffi==2.1.1",
    "pycparser==3.12",
)
DECODERS: Final = ("pillow", "simplejpeg", "opencv", "pyvips")
TIMED: Final = (
    *((library, task) for task in ("small", "full", "resize") for library in DECODERS if (library, task) != ("simplejpeg", "resize")),
    ("product", "small"),
    ("product", "resize"),
    *(("pieces", task) for task in ("sha256", "phash", "thumbnail jpeg 75", "thumbnail webp method 0")),
)
"""Library and task. For the product, ``small`` is a verdict and ``resize`` a verdict with the resized output."""

_CHILDS: Final = {**MALLOC, "VIPS_CONCURRENCY": "1"}
"""glibc's settings as in a decoder process."""

RUN_BYTES: Final = 512


def ask(peers: Path, *arguments: str) -> Any:
    """Run one measurement in a process of its own."""
    root = Path(__file__).resolve().parents[1]
    environment = {**os.environ, **_CHILDS, "PYTHONPATH": os.pathsep.join((str(root), str(peers)))}
    command = [sys.executable, "-W", "ignore", __file__, "--child", *arguments]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return json.loads(done.stdout)


def damaged(body: bytes) -> Mapping[str, bytes]:
    """Return one photo in several valid forms and with several kinds of damage."""
    image = Image.open(io.BytesIO(body))
    middle = len(body) // 2
    flipped, dice = bytearray(body), random.Random(7)
    for _ in range(16):
        flipped[dice.randrange(middle, len(body) - 2)] ^= 1 << dice.randrange(8)
    exif = Image.Exif()
    exif[0x0112] = 6
    progressive = encoded(image, "JPEG", quality=85, progressive=True)
    return {
        "01 whole": body,
        "02 progressive": progressive,
        "03 CMYK": encoded(image.convert("CMYK"), "JPEG", quality=85),
        "04 grey": encoded(image.convert("L"), "JPEG", quality=85),
        "05 turned by EXIF": encoded(image, "JPEG", quality=85, exif=exif),
        "06 restart markers": encoded(image, "JPEG", quality=85, restart_marker_rows=4),
        "07 cut at a half": body[:middle],
        "08 last 200 bytes cut": body[:-200],
        "09 end marker cut": body[:-2],
        "10 progressive, cut at a half": progressive[: len(progressive) // 2],
        "11 512 bytes zeroed": body[:middle] + bytes(RUN_BYTES) + body[middle + RUN_BYTES :],
        "12 16 bits flipped": bytes(flipped),
        "13 a page instead": b"<!doctype html><html><body>Not found</body></html>",
    }


def measure(peers: Path, folder: Path, count: int, rounds: int) -> dict[tuple[str, str], dict[str, float]]:
    """Return the best round of each library and task."""
    best: dict[tuple[str, str], dict[str, float]] = {}
    for _ in range(rounds):
        for key in TIMED:
            got = ask(peers, "time", *key, str(folder), str(count))
            best[key] = min(best.get(key, got), got, key=lambda one: one["ms"])
    return best


def show_times(best: Mapping[tuple[str, str], Mapping[str, float]]) -> None:
    """Print the table of times, with the ratio to Pillow in the same task, else to Pillow's small decode."""
    print("| What | Library | ms of CPU | x Pillow | Bytes |\n|---|---|---|---|---|")
    for (library, task), got in best.items():
        base = best.get(("pillow", task), best["pillow", "small"])
        print(f"| {task} | {library} | {got['ms']:.2f} | {got['ms'] / base['ms']:.2f} | {round(got['bytes']) or '-'} |")


def show_damage(found: Mapping[str, Mapping[str, bool]]) -> None:
    """Print which files each library accepts."""
    print(f"\n| File | {' | '.join(found)} |\n|---|{'---|' * len(found)}")
    for name in next(iter(found.values())):
        print(f"| {name[3:]} | {' | '.join('accepted' if of[name] else 'refused' for of in found.values())} |")


def show_quality(peers: Path, bodies: Sequence[bytes]) -> None:
    """Print the file size of each library's resized images and their SSIM to a LANCZOS reduction."""
    sys.path.append(str(peers))
    sizes: dict[str, list[float]] = {}
    for body in bodies:
        whole = Image.open(io.BytesIO(body))
        for library in ("opencv", "pillow", "pyvips"):
            made = TASKS[library]()["resize"](body)
            assert isinstance(made, bytes)
            sizes.setdefault(library, []).extend((len(made), results.similarity_to(made, whole)))
    print("\n| Resized by | Bytes, of OpenCV's | SSIM |\n|---|---|---|")
    for library, got in sizes.items():
        print(f"| {library} | {sum(got[::2]) / sum(sizes['opencv'][::2]):.3f} | {float(np.mean(got[1::2])):.4f} |")


# --- what each library does

SIDE: Final = 256
"""Pixels that the shorter side of a resized image has, as by default in img2dataset."""

_SEEN: Final = 160
"""Pixels that a verdict needs on the longer side."""

_ROUNDS: Final = 3
"""Repetitions, of which the best counts."""

Step = Callable[[bytes], object]


def scaled(width: int, height: int) -> tuple[int, int]:
    """Return the size with the shorter side ``SIDE`` and the same aspect ratio."""
    factor = SIDE / min(width, height)
    return max(1, round(width * factor)), max(1, round(height * factor))


def pillow() -> Mapping[str, Step]:
    """Draft mode, then BICUBIC, which is the product's way to resize."""

    def opened(body: bytes, at_least: Callable[[int, int], tuple[int, int]] | None = None) -> Image.Image:
        image = JpegImagePlugin.JpegImageFile(io.BytesIO(body))
        if at_least:
            image.draft(None, at_least(*image.size))
        image.load()
        return image

    def seen(width: int, height: int) -> tuple[int, int]:
        factor = _SEEN / max(width, height)
        return round(width * factor), round(height * factor)

    def resized(body: bytes) -> bytes:
        image = opened(body, scaled)
        return encoded(image.resize(scaled(*image.size), Image.Resampling.BICUBIC), "JPEG", quality=95)

    return {"small": lambda body: opened(body, seen), "full": opened, "resize": resized}


def simplejpeg() -> Mapping[str, Step]:
    """TurboJPEG, the product's decoder for JPEG; it cannot resize."""
    import simplejpeg as library

    def small(body: bytes) -> object:
        height, width, *_ = library.decode_jpeg_header(body)
        factor = _SEEN / max(width, height)
        return library.decode_jpeg(body, "RGB", fastupsample=True, min_height=round(height * factor), min_width=round(width * factor))

    return {"small": small, "full": lambda body: library.decode_jpeg(body, "RGB")}


def opencv() -> Mapping[str, Step]:
    """OpenCV as img2dataset uses it, with INTER_AREA."""
    import cv2  # type: ignore[import-not-found,unused-ignore]

    cv2.setNumThreads(1)

    def decoded(body: bytes, flag: int) -> Any:
        image = cv2.imdecode(np.frombuffer(body, np.uint8), flag)
        if image is None:
            raise ValueError("nothing was decoded")
        return image

    def resized(body: bytes) -> bytes:
        image = decoded(body, cv2.IMREAD_UNCHANGED)
        small = cv2.resize(image, scaled(image.shape[1], image.shape[0]), interpolation=cv2.INTER_AREA)
        return bytes(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 95])[1])

    return {
        "small": lambda body: decoded(body, cv2.IMREAD_REDUCED_COLOR_4),
        "full": lambda body: decoded(body, cv2.IMREAD_COLOR),
        "resize": resized,
    }


def pyvips() -> Mapping[str, Step]:
    """libvips on one thread, set to fail on damage."""
    import pyvips as library  # type: ignore[import-not-found,unused-ignore]

    library.cache_set_max(0)

    def small(body: bytes) -> object:
        return library.Image.new_from_buffer(body, "", shrink=4, fail_on="warning").write_to_memory()

    def full(body: bytes) -> object:
        return library.Image.new_from_buffer(body, "", fail_on="warning").write_to_memory()

    def resized(body: bytes) -> bytes:
        image = library.Image.new_from_buffer(body, "")
        width, height = scaled(image.width, image.height)
        return bytes(library.Image.thumbnail_buffer(body, width, height=height, size="force").jpegsave_buffer(Q=95))

    return {"small": small, "full": full, "resize": resized}


def product() -> Mapping[str, Step]:
    """The product: a verdict, and a verdict with the resized output."""
    from app.images.verdict import validate
    from app.rules import CompressionRules, ValidationRules

    rules, leaving = ValidationRules(level="basic"), CompressionRules("jpeg", 95, "keep_ratio", SIDE)

    def judged(body: bytes) -> object:
        verdict = validate(body, rules)
        if verdict.reason:
            raise ValueError(verdict.detail)
        return verdict

    return {"small": judged, "full": judged, "resize": lambda body: validate(body, rules, leaving)}


def pieces() -> Mapping[str, Step]:
    """The other steps on an image, from the pixels of its verdict."""
    from app.images import measures

    kept: dict[bytes, Image.Image] = {}

    def seen(body: bytes) -> Image.Image:
        if body not in kept:
            kept[body] = pillow()["small"](body)  # type: ignore[assignment]
        return kept[body]

    return {
        "sha256": lambda body: hashlib.sha256(body).digest(),
        "phash": lambda body: measures.perceptual_hash(seen(body).convert("L")),
        "thumbnail jpeg 75": lambda body: encoded(seen(body), "JPEG", quality=75),
        "thumbnail webp method 0": lambda body: encoded(seen(body), "WEBP", quality=75, method=0),
    }


TASKS: Final[Mapping[str, Callable[[], Mapping[str, Step]]]] = {
    "pillow": pillow,
    "simplejpeg": simplejpeg,
    "opencv": opencv,
    "pyvips": pyvips,
    "product": product,
    "pieces": pieces,
}


def encoded(image: Image.Image, encoding: str, **options: Any) -> bytes:
    """Return an image as a file's bytes."""
    out = io.BytesIO()
    image.save(out, encoding, **options)
    return out.getvalue()


def samples_of(folder: Path, count: int) -> list[bytes]:
    """Return files spread over a folder."""
    paths = sorted(folder.glob("*.jpg"))
    return [path.read_bytes() for path in paths[:: max(1, len(paths) // count)][:count]]


def timed(step: Step, bodies: list[bytes]) -> dict[str, float]:
    """Return the CPU per image, the best of some rounds, and the mean size of the output where there is one."""
    sizes = [len(made) for body in bodies if isinstance(made := step(body), bytes)]
    best = float("inf")
    for _ in range(_ROUNDS):
        began = time.process_time()
        for body in bodies:
            step(body)
        best = min(best, time.process_time() - began)
    return {"ms": best / len(bodies) * 1000, "bytes": sum(sizes) / len(bodies)}


def accepted(step: Step, folder: Path) -> dict[str, bool]:
    """Return by file name whether the file was accepted."""
    found = {}
    for path in sorted(folder.iterdir()):
        try:
            step(path.read_bytes())
        except Exception:
            found[path.stem] = False
        else:
            found[path.stem] = True
    return found


def child(how: str, library: str, *rest: str) -> None:
    """Measure one library in this process and print what was found as JSON; see `ask`."""
    steps = TASKS[library]()
    if how == "damage":
        print(json.dumps(accepted(steps["full"], Path(rest[0]))))
    else:
        task, folder, count = rest
        print(json.dumps(timed(steps[task], samples_of(Path(folder), int(count)))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="folder of JPEGs; by default the seeded ones of the other benchmarks")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--home", type=Path, default=Path(tempfile.gettempdir()) / "pictrawl-bench", help="scratch folder, kept")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    options.home.mkdir(parents=True, exist_ok=True)
    folder = options.images or origin.make_place(options.home).home / "corpus"
    peers, bodies = installed(options.home / "image-peers", PACKAGES), samples_of(folder, options.count)
    show_times(measure(peers, folder, options.count, options.rounds))
    show_quality(peers, bodies)
    with tempfile.TemporaryDirectory(prefix="pictrawl-images-") as name:
        for stem, body in damaged(bodies[0]).items():
            Path(name, f"{stem}.jpg").write_bytes(body)
        show_damage({library: ask(peers, "damage", library, name) for library in (*DECODERS, "product")})


if __name__ == "__main__":
    main()
