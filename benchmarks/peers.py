"""Installs packages that are only measured into the scratch folder, never into the project's dependencies.

It knows how to install them and how to run img2dataset, which has an environment of its own.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import certifi
import origin

__all__ = ["IMG2DATASET", "QUIET", "bundle", "environment", "img2dataset", "installed"]

IMG2DATASET: Final = "img2dataset==1.47.0"
QUIET: Final = {"NO_ALBUMENTATIONS_UPDATE": "1", "WANDB_MODE": "disabled"}
"""Prevents network requests by two of its imports."""


def installed(folder: Path, wanted: Sequence[str]) -> Path:
    """Install these packages without their dependencies into a folder; return it."""
    if not folder.exists():
        _uv("pip", "install", "--quiet", "--python", sys.executable, "--no-deps", "--target", str(folder), *wanted)
    return folder


def img2dataset(place: origin.Place, base: str, count: int, *, core: int, threads: int) -> dict[str, Any]:
    """Download ``count`` images with img2dataset at its fastest, without decoding them; its start-up is not counted."""
    command = environment(place) / "bin" / "img2dataset"
    listing, output = place.home / "img2dataset.txt", place.home / "img2dataset-output"
    listing.write_text("".join(f"{url}\n" for url in origin.urls_of(base, count)))
    shutil.rmtree(output, ignore_errors=True)
    flags = {
        "url_list": listing,
        "output_folder": output,
        "output_format": "files",
        "disable_all_reencoding": True,
        "processes_count": 1,
        "thread_count": threads,
        "number_sample_per_shard": count,
        "enable_wandb": False,
    }
    subprocess.run(
        ["taskset", "-c", str(core), str(command), *(f"--{name}={value}" for name, value in flags.items())],
        env={**os.environ, **QUIET, "SSL_CERT_FILE": str(bundle(place))},
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    [stats] = [json.loads(path.read_text()) for path in output.glob("*_stats.json")]
    if stats["successes"] != count:
        raise SystemExit(f"img2dataset got {stats['successes']} of {count} images")
    images_per_s = round(count / (stats["end_time"] - stats["start_time"]), 1)
    return {"client": "img2dataset", "in_flight": threads, "images": count, "images_per_s": images_per_s}


def environment(place: origin.Place) -> Path:
    """Return the folder of img2dataset's own environment; the first call installs it."""
    folder = place.home / "img2dataset"
    if not (folder / "bin" / "img2dataset").exists():
        _uv("venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
        _uv("pip", "install", "--quiet", "--python", str(folder / "bin" / "python"), IMG2DATASET)
    return folder


def bundle(place: origin.Place) -> Path:
    """Write a bundle of the public authorities and the origin's; return its path."""
    bundle = place.home / "bundle.pem"
    bundle.write_text(Path(certifi.where()).read_text() + place.authority.read_text())
    return bundle


def _uv(*arguments: str) -> None:
    beside = Path(sys.executable).parent / "uv"
    subprocess.run([str(beside) if beside.exists() else "uv", *arguments], check=True)
