"""Keys of objects. Every key in the store is built here; no other module joins strings to a key."""

import re

import errors

__all__ = ["blob", "blob_digest", "check_key", "check_prefix", "export", "thumb", "url_list"]

_DIGEST = re.compile(r"[0-9a-f]{64}")
_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_SUFFIX = re.compile(r"[a-z0-9]{1,12}(\.[a-z0-9]{1,12})?")
_SEGMENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
_BLOB_KEY = re.compile(r"blobs/([0-9a-f]{2})/([0-9a-f]{2})/(\1\2[0-9a-f]{60})")
_MAX_KEY_CHARS = 1000  # S3 allows 1,024 bytes, prefix included


def blob(sha256: str) -> str:
    """Key of an image's bytes: ``blobs/ab/cd/<sha256>``."""
    return f"blobs/{_fan_out(sha256)}"


def thumb(sha256: str) -> str:
    """Key of the thumbnail of the image with this digest: ``thumbs/ab/<sha256>.jpg``.

    One level of folders less than for blobs: creating the folders of a small dataset takes as long as writing its thumbnails, and a
    million images are 4,000 files in each of 256 folders.
    """
    _require(_DIGEST, sha256, "sha256")
    return f"thumbs/{sha256[:2]}/{sha256}.jpg"


def url_list(list_id: str, suffix: str) -> str:
    """Key of an uploaded URL list. ``suffix`` is that of its format, with or without the leading dot (``.txt``, ``csv.gz``)."""
    bare = suffix.removeprefix(".")
    _require(_SUFFIX, bare, "suffix")
    return f"lists/{_checked_id(list_id)}.{bare}"


def export(export_id: str) -> str:
    """Prefix of the tree of a published export."""
    return f"exports/{_checked_id(export_id)}"


def blob_digest(key: str) -> str | None:
    """The digest in the key of a blob, or ``None`` for any other key."""
    match = _BLOB_KEY.fullmatch(key)
    return match[3] if match else None


def check_key(key: str) -> str:
    """Return ``key`` if every store accepts it and it cannot leave the store's folder.

    Raises:
        errors.ValidationError: it is empty, absolute, too long, has ``..``, a leading dot or a character outside ``A-Za-z0-9._-``.
    """
    if len(key) > _MAX_KEY_CHARS or not all(_SEGMENT.fullmatch(segment) for segment in key.split("/")):
        raise errors.ValidationError(f"refused as a storage key: {key[:120]!r}")
    return key


def check_prefix(prefix: str) -> str:
    """Like :func:`check_key`, but the empty prefix (everything) and one trailing slash are allowed."""
    return check_key(prefix.removesuffix("/")) if prefix else ""


def _fan_out(sha256: str) -> str:
    _require(_DIGEST, sha256, "sha256")
    return f"{sha256[:2]}/{sha256[2:4]}/{sha256}"


def _checked_id(text: str) -> str:
    _require(_ID, text, "id")
    return text


def _require(pattern: re.Pattern[str], text: str, what: str) -> None:
    if not pattern.fullmatch(text):
        raise errors.ValidationError(f"refused as {what} in a storage key: {text[:120]!r}")
