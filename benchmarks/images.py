"""Decoders, thumbnail encoders and hashes beside each other, and what each decoder makes of damaged files.

::

    python benchmarks/images.py                          # a seeded corpus
    python benchmarks/images.py --images FOLDER --count 200 --rounds 5

Each figure is the CPU of a fresh process over the same images; libraries alternate, and the best round counts. What is not ours is
installed into a scratch folder (``--home``) and never into the project. ``image_libraries.py`` knows how each library is called.
"""

import argparse
import io
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import image_libraries
import numpy as np
import origin
import similarity
from contestants import MALLOC
from peers import installed
from PIL import Image

PACKAGES: Final = (
    "simplejpeg==1.9.0",
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
"""Library and task; of the product, ``small`` is a verdict, and ``resize`` a verdict along with what leaves."""

_CHILDS: Final = {**MALLOC, "VIPS_CONCURRENCY": "1"}
"""glibc as in a decoder process."""

RUN_BYTES: Final = 512


def ask(peers: Path, *arguments: str) -> Any:
    """Run one measurement in a process of its own."""
    root = Path(__file__).resolve().parents[1]
    environment = {**os.environ, **_CHILDS, "PYTHONPATH": os.pathsep.join((str(root), str(peers)))}
    command = [sys.executable, "-W", "ignore", image_libraries.__file__, *arguments]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return json.loads(done.stdout)


def damaged(body: bytes) -> Mapping[str, bytes]:
    """One photo, whole in several forms and damaged in several ways."""
    image = Image.open(io.BytesIO(body))
    middle = len(body) // 2
    flipped, dice = bytearray(body), random.Random(7)
    for _ in range(16):
        flipped[dice.randrange(middle, len(body) - 2)] ^= 1 << dice.randrange(8)
    exif = Image.Exif()
    exif[0x0112] = 6
    progressive = image_libraries.encoded(image, "JPEG", quality=85, progressive=True)
    return {
        "01 whole": body,
        "02 progressive": progressive,
        "03 CMYK": image_libraries.encoded(image.convert("CMYK"), "JPEG", quality=85),
        "04 grey": image_libraries.encoded(image.convert("L"), "JPEG", quality=85),
        "05 turned by EXIF": image_libraries.encoded(image, "JPEG", quality=85, exif=exif),
        "06 restart markers": image_libraries.encoded(image, "JPEG", quality=85, restart_marker_rows=4),
        "07 cut at a half": body[:middle],
        "08 last 200 bytes cut": body[:-200],
        "09 end marker cut": body[:-2],
        "10 progressive, cut at a half": progressive[: len(progressive) // 2],
        "11 512 bytes zeroed": body[:middle] + bytes(RUN_BYTES) + body[middle + RUN_BYTES :],
        "12 16 bits flipped": bytes(flipped),
        "13 a page instead": b"<!doctype html><html><body>Not found</body></html>",
    }


def measure(peers: Path, folder: Path, count: int, rounds: int) -> dict[tuple[str, str], dict[str, float]]:
    """The best round of each."""
    best: dict[tuple[str, str], dict[str, float]] = {}
    for _ in range(rounds):
        for key in TIMED:
            got = ask(peers, "time", *key, str(folder), str(count))
            best[key] = min(best.get(key, got), got, key=lambda one: one["ms"])
    return best


def show_times(best: Mapping[tuple[str, str], Mapping[str, float]]) -> None:
    """Print the table of times; a ratio is that to Pillow's in the same task, or to Pillow's small decode."""
    print("| What | Library | ms of CPU | x Pillow | Bytes |\n|---|---|---|---|---|")
    for (library, task), got in best.items():
        base = best.get(("pillow", task), best["pillow", "small"])
        print(f"| {task} | {library} | {got['ms']:.2f} | {got['ms'] / base['ms']:.2f} | {round(got['bytes']) or '-'} |")


def show_damage(found: Mapping[str, Mapping[str, bool]]) -> None:
    """Print what each takes."""
    print(f"\n| File | {' | '.join(found)} |\n|---|{'---|' * len(found)}")
    for name in next(iter(found.values())):
        print(f"| {name[3:]} | {' | '.join('taken' if of[name] else 'refused' for of in found.values())} |")


def show_quality(peers: Path, bodies: Sequence[bytes]) -> None:
    """Print how near each resized image is to one by LANCZOS from all pixels, and how long its file is."""
    sys.path.append(str(peers))
    sizes: dict[str, list[float]] = {}
    for body in bodies:
        whole = Image.open(io.BytesIO(body))
        for library in ("opencv", "pillow", "pyvips"):
            made = image_libraries.TASKS[library]()["resize"](body)
            assert isinstance(made, bytes)
            sizes.setdefault(library, []).extend((len(made), similarity.nearness(made, whole)))
    print("\n| Resized by | Bytes, of OpenCV's | SSIM |\n|---|---|---|")
    for library, got in sizes.items():
        print(f"| {library} | {sum(got[::2]) / sum(sizes['opencv'][::2]):.3f} | {float(np.mean(got[1::2])):.4f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="folder of JPEGs; by default the seeded ones of the other benchmarks")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--home", type=Path, default=Path(tempfile.gettempdir()) / "pictrawl-bench", help="scratch folder, kept")
    options = parser.parse_args()
    options.home.mkdir(parents=True, exist_ok=True)
    folder = options.images or origin.make_place(options.home).home / "corpus"
    peers, bodies = installed(options.home / "image-peers", PACKAGES), image_libraries.samples_of(folder, options.count)
    show_times(measure(peers, folder, options.count, options.rounds))
    show_quality(peers, bodies)
    with tempfile.TemporaryDirectory(prefix="pictrawl-images-") as name:
        for stem, body in damaged(bodies[0]).items():
            Path(name, f"{stem}.jpg").write_bytes(body)
        show_damage({library: ask(peers, "damage", library, name) for library in (*DECODERS, "product")})


if __name__ == "__main__":
    main()
