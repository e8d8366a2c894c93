"""File names that are valid on every filesystem. Of user text only labels become part of a path, through `slug`."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable

import errors
from app.domain import Sample
from app.split_names import SPLIT_WORD

__all__ = ["IMAGE_NAME", "SUBFOLDER", "check_sample", "class_folders", "image_name", "slug", "stem"]

IMAGE_NAME = re.compile(r"(\d{6,})_([0-9a-f]{12})\.[a-z0-9]{1,5}")
"""A name that `image_name` generates: index, beginning of the digest."""

SUBFOLDER = re.compile(r"\d{3,}")
"""A folder among several into which the images of one are divided by their index: ``003``."""

_MAX_SLUG_BYTES = 80
_HASH_CHARS = 8
_RESERVED = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))})
_USED_NAMES = frozenset({"metadata.jsonl"})  # a file beside the class folders
_UNSAFE = re.compile(r"[^a-z0-9._-]+")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_EXTENSION = re.compile(r"[a-z0-9]{1,5}")
_SPLIT = re.compile(r"[a-z][a-z0-9_]{0,31}")


def slug(label: str) -> str:
    """The folder name of a label: ``a-z0-9._-``, at most 80 bytes, valid on Windows, never hidden, never ``..``.

    Accents are removed. A label without letters or digits, or with the name of a device, becomes ``class_<hash8>``. A word that loaders
    take for the name of a split is joined to ``class``: ``classtest-tube``.
    """
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", label).casefold())
    plain = "".join(char for char in decomposed if not unicodedata.combining(char))
    text = _cut(SPLIT_WORD.sub(r"class\g<0>", _UNSAFE.sub("-", plain)).strip("-._"), _MAX_SLUG_BYTES)
    if not text or text.split(".")[0] in _RESERVED or text in _USED_NAMES:
        return f"class_{_hash(label)}"
    return text


def class_folders(labels: Iterable[str]) -> dict[str, str]:
    """A folder for each label. Of several labels with the same slug the first in sorted order gets it, the others get a suffix."""
    folders: dict[str, str] = {}
    taken: set[str] = set()
    for label in sorted(set(labels)):
        name = slug(label)
        if name in taken:
            name = _with_suffix(name, label, taken)
        taken.add(name)
        folders[label] = name
    return folders


def stem(sample: Sample) -> str:
    """The generated name of a sample, without a dot: ``000017_0a1b2c3d4e5f``."""
    return f"{sample.index:06d}_{sample.sha256[:12]}"


def image_name(sample: Sample) -> str:
    """The generated file name of a sample: ``000017_0a1b2c3d4e5f.jpg``."""
    return f"{stem(sample)}.{sample.extension}"


def check_sample(sample: Sample, index: int) -> None:
    """Check the fields of a sample that become part of a path.

    Raises:
        errors.ValidationError: the sample's index is not ``index``, or its digest, extension or split is not valid in a file name.
    """
    if sample.index != index:
        raise errors.ValidationError(f"sample {index} has index {sample.index}; indexes must be dense")
    for what, pattern, text in (
        ("sha256", _DIGEST, sample.sha256),
        ("extension", _EXTENSION, sample.extension),
        ("split", _SPLIT, sample.split),
    ):
        if not pattern.fullmatch(text):
            raise errors.ValidationError(f"sample {index}: refused as {what} in a file name: {text[:80]!r}")
    if sample.split in _RESERVED:
        raise errors.ValidationError(f"sample {index}: {sample.split!r} is a device name on Windows and cannot be a split")


def _cut(name: str, size: int) -> str:
    """Cut a folder name to ``size`` bytes, and further where a word for a split would be left of a longer word."""
    name = name[:size].rstrip("-._")
    while SPLIT_WORD.search(name):
        name = name[:-1].rstrip("-._")
    return name


def _with_suffix(name: str, label: str, taken: set[str]) -> str:
    base = _cut(name, _MAX_SLUG_BYTES - _HASH_CHARS - 1)
    candidate = f"{base}-{_hash(label)}"
    salt = 0
    while candidate in taken:  # another label has this very slug
        salt += 1
        candidate = f"{base}-{_hash(f'{label}#{salt}')}"
    return candidate


def _hash(label: str) -> str:
    return hashlib.sha256(label.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_CHARS]
