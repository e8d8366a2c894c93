"""The encoders of this installation: which are missing, and the versions of all libraries that determine the bytes of a re-encoded image.

Loads Pillow when it is asked, because commands and the process of a build do without it.
"""

import importlib
from collections.abc import Callable, Mapping
from functools import cache
from importlib import metadata
from typing import Any, Final

__all__ = ["differences", "find_missing", "versions"]

_FEATURES: Final = {"webp": "webp", "webp-lossless": "webp", "avif": "avif"}
"""What Pillow may be built without, by encoding."""

_LIBRARIES: Final = ("libjpeg_turbo", "jpg", "webp", "avif", "zlib", "zlib_ng", "libtiff", "littlecms2")
"""Decoders, encoders and colour conversion below Pillow, by its names for them; a distribution updates them on their own."""

_PACKAGES: Final = ("pictrawl", "pillow", "pillow-heif", "simplejpeg", "numpy")


def _pillow(module: str) -> Any:
    return importlib.import_module(f"PIL.{module}")


def find_missing(encoding: str, has: Callable[[str], bool] | None = None) -> str | None:
    """Say what to do where this Pillow cannot write an encoding; None where it can.

    Args:
        encoding: see `app.rules.Encode`.
        has: whether Pillow has a feature; by default as it says itself.
    """
    feature = _FEATURES.get(encoding)
    if feature is None or (has or _pillow("features").check)(feature):
        return None
    way_out = "install one that has, as with pip install --upgrade pillow, or take another format"
    return f"this Pillow has no encoder of {feature.upper()}; {way_out}"


@cache
def versions() -> Mapping[str, str]:
    """The versions of everything that decides which bytes a picture and rules give, by name; what is not installed is absent."""
    features = _pillow("features")
    found = {name: features.version(name) for name in _LIBRARIES}
    found["avif codecs"] = _pillow("_avif").codec_versions() if features.check("avif") else None
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {name: str(version) for name, version in sorted(found.items()) if version}


def differences(locked: Mapping[str, str], here: Mapping[str, str]) -> str:
    """Name the libraries of which a lock was made with another version: ``webp 1.5.0 in the lock, 1.6.0 here``, or nothing."""
    names = sorted(name for name in {*locked, *here} if locked.get(name) != here.get(name))
    return "; ".join(f"{name} {locked.get(name, 'absent')} in the lock, {here.get(name, 'absent')} here" for name in names)
