"""What the folders of an image say: its split and its label. And which files are images, tars, tables and metadata, by their names."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Literal

from app.domain import EXTENSIONS
from app.split_names import is_split_folder, split_word

__all__ = ["METADATA_NAMES", "FileKind", "has_split_folders", "is_hidden", "kind_of", "read_folders", "stem_and_suffix", "suffix_of"]

FileKind = Literal["image", "tar", "parquet", "metadata", "unnamed", "other"]

METADATA_NAMES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
"""The names by which Hugging Face's imagefolder finds what is said of the images of a folder."""

_IMAGE_SUFFIXES = frozenset({*EXTENSIONS.values(), "jpeg", "jpe", "jfif", "tif", "heic", "dib"})
_TAR = re.compile(r"(?i).+\.(tar|tgz|tar\.gz|tar\.zst)")
_WRAPPERS = frozenset({"images", "image", "imgs", "img", "data", "photos", "pictures", "jpegimages"})
"""Folders of images that are no class, whatever lies beside them."""

_SHARD = re.compile(r"[0-9]{5,}")
"""A folder of img2dataset, 00000, which is no class either."""

LOOKED_AT = 10_000
"""Entries below one folder that are looked at for an image."""


def kind_of(name: str) -> FileKind:
    """Return what a file is by its name; ``unnamed`` has no suffix, so its first bytes decide."""
    lower = name.lower()
    if lower in METADATA_NAMES:
        return "metadata"
    if _TAR.fullmatch(lower):
        return "tar"
    suffix = suffix_of(lower)[1:]
    if suffix in _IMAGE_SUFFIXES:
        return "image"
    if suffix == "parquet":
        return "parquet"
    return "other" if suffix else "unnamed"


def suffix_of(name: str) -> str:
    """Return the suffix of a file's name with its dot, in lower case; empty for none."""
    stem, dot, suffix = name.rpartition(".")
    return f".{suffix.lower()}" if dot and stem else ""


def is_hidden(name: str) -> bool:
    """Whether a file or folder is the system's, not the dataset's."""
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def stem_and_suffix(name: str) -> tuple[str, str]:
    """Return a tar member's key and suffix as WebDataset reads them: the suffix begins at the first dot of the file's name."""
    folder, _, file_name = name.rpartition("/")
    stem, _, suffix = file_name.partition(".")
    return (f"{folder}/{stem}" if folder else stem), suffix.lower()


def read_folders(folders: Sequence[str], *, has_splits: bool) -> tuple[str | None, str | None]:
    """Return split and label of an image by the folders that it lies in, the outermost first.

    The first folder below the splits is the class, as in torchvision, however deep the image lies.
    """
    left = _without_wrappers(folders)
    split = None
    if has_splits and left and is_split_folder(left[0]):
        split, left = split_word(left[0]), _without_wrappers(left[1:])
    label = left[0] if left and not _SHARD.fullmatch(left[0]) else None
    return split, label


def _without_wrappers(folders: Sequence[str]) -> Sequence[str]:
    return next((folders[at:] for at, name in enumerate(folders) if name.lower() not in _WRAPPERS), ())


def has_split_folders(root: str, *, looked_at: int = LOOKED_AT) -> bool:
    """Whether the folders in ``root`` are splits: all of those with images are named like one. ``train`` beside ``bus`` is a class."""
    names = [name for name in _folders(root) if _holds_images(f"{root}/{name}", looked_at)]
    if len(names) == 1 and names[0].lower() in _WRAPPERS:
        return has_split_folders(f"{root}/{names[0]}", looked_at=looked_at)
    return bool(names) and all(map(is_split_folder, names))


def _folders(root: str) -> list[str]:
    with suppress(OSError), os.scandir(root) as found:
        return sorted(entry.name for entry in found if not is_hidden(entry.name) and entry.is_dir(follow_symlinks=False))
    return []


def _holds_images(folder: str, looked_at: int) -> bool:
    return any(kind in ("image", "tar", "parquet") for kind in islice(_kinds_below(folder), looked_at))


def _kinds_below(folder: str) -> Iterator[FileKind]:
    for _, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not is_hidden(name)]
        yield from map(kind_of, names)
