"""What JPEG decoders, encoders and hashes cost and refuse; each library runs in a process of its own, started by ``images.py``.

::

    python benchmarks/image_libraries.py time pillow small FOLDER COUNT
    python benchmarks/image_libraries.py damage opencv FOLDER

Prints JSON. What is not Pillow is found by PYTHONPATH; the product's own dependencies never hold it.
"""

import hashlib
import io
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image, JpegImagePlugin

__all__ = ["SIDE", "TASKS", "samples_of"]

SIDE: Final = 256
"""Pixels that the shorter side of a resized image has, as by default in img2dataset."""

_SEEN: Final = 160
"""Pixels that a verdict needs on the longer side."""

_ROUNDS: Final = 3
"""The best of these counts."""

Step = Callable[[bytes], object]


def scaled(width: int, height: int) -> tuple[int, int]:
    """The size with the ratio kept and the shorter side ``SIDE``."""
    factor = SIDE / min(width, height)
    return max(1, round(width * factor)), max(1, round(height * factor))


def pillow() -> Mapping[str, Step]:
    """What the product uses: draft mode, then BICUBIC."""

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
    """TurboJPEG; it cannot resize."""
    import simplejpeg as library  # type: ignore[import-not-found,unused-ignore]

    def small(body: bytes) -> object:
        height, width, *_ = library.decode_jpeg_header(body)
        factor = _SEEN / max(width, height)
        return library.decode_jpeg(body, "RGB", fastupsample=True, min_height=round(height * factor), min_width=round(width * factor))

    return {"small": small, "full": lambda body: library.decode_jpeg(body, "RGB")}


def opencv() -> Mapping[str, Step]:
    """As img2dataset does it, with INTER_AREA."""
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
    """libvips on one thread, told to fail on damage."""
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
    """The product: a verdict, and a verdict with what leaves."""
    from app.domain import CompressionRules, ValidationRules
    from app.images import validate

    rules, leaving = ValidationRules(level="basic"), CompressionRules("jpeg", 95, "keep_ratio", SIDE)

    def judged(body: bytes) -> object:
        verdict = validate(body, rules)
        if verdict.reason:
            raise ValueError(verdict.detail)
        return verdict

    return {"small": judged, "full": judged, "resize": lambda body: validate(body, rules, leaving)}


def pieces() -> Mapping[str, Step]:
    """What else is done to an image, from the pixels of its verdict."""
    from app.images import phash

    kept: dict[bytes, Image.Image] = {}

    def seen(body: bytes) -> Image.Image:
        if body not in kept:
            kept[body] = pillow()["small"](body)  # type: ignore[assignment]
        return kept[body]

    return {
        "sha256": lambda body: hashlib.sha256(body).digest(),
        "phash": lambda body: phash.perceptual_hash(seen(body).convert("L")),
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
    """The file of an image."""
    out = io.BytesIO()
    image.save(out, encoding, **options)
    return out.getvalue()


def samples_of(folder: Path, count: int) -> list[bytes]:
    """Files spread over a folder."""
    paths = sorted(folder.glob("*.jpg"))
    return [path.read_bytes() for path in paths[:: max(1, len(paths) // count)][:count]]


def timed(step: Step, bodies: list[bytes]) -> dict[str, float]:
    """CPU for one image, the best of some rounds, and the bytes that came out, where bytes did."""
    sizes = [len(made) for body in bodies if isinstance(made := step(body), bytes)]
    best = float("inf")
    for _ in range(_ROUNDS):
        began = time.process_time()
        for body in bodies:
            step(body)
        best = min(best, time.process_time() - began)
    return {"ms": best / len(bodies) * 1000, "bytes": sum(sizes) / len(bodies)}


def verdicts(step: Step, folder: Path) -> dict[str, bool]:
    """By the name of each damaged file, whether it was taken."""
    found = {}
    for path in sorted(folder.iterdir()):
        try:
            step(path.read_bytes())
        except Exception:
            found[path.stem] = False
        else:
            found[path.stem] = True
    return found


def main(how: str, library: str, *rest: str) -> None:
    """Do one thing and print what was found."""
    steps = TASKS[library]()
    if how == "damage":
        print(json.dumps(verdicts(steps["full"], Path(rest[0]))))
    else:
        task, folder, count = rest
        print(json.dumps(timed(steps[task], samples_of(Path(folder), int(count)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
