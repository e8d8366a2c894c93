"""From a storage URL to an obstore backend. Credentials come from the environment, never from the URL."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

import obstore.exceptions
from obstore.store import LocalStore, MemoryStore, from_url

import errors
from app.storage import storage_errors

if TYPE_CHECKING:
    from obstore.store import ObjectStore, RetryConfig

__all__ = ["RETRIES", "build_backend", "build_remote", "local_root"]

RETRIES: "RetryConfig" = {
    "max_retries": 2,  # 3 tries in all
    "retry_timeout": timedelta(seconds=10),
    "backoff": {"init_backoff": timedelta(milliseconds=200), "max_backoff": timedelta(seconds=4), "base": 2},
}
"""Requests to an object store are retried by obstore alone: server errors, broken connections, read timeouts. No caller retries."""

_REMOTE = ("s3", "az", "gs")


def local_root(url: str) -> Path | None:
    """The folder that a ``file:///abs/dir`` URL or a plain absolute path names; ``None`` for every other URL."""
    if url.startswith("/"):
        return Path(url)
    parts = urlsplit(url)
    if parts.scheme != "file":
        return None
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise errors.ConfigurationError(f"storage.url {url!r}: a local folder is written file:///absolute/path")
    return Path(unquote(parts.path))


def build_backend(url: str) -> "ObjectStore":
    """Build the backend for ``url``. No request is made; a local folder is created.

    Raises:
        errors.ConfigurationError: the URL is of no known kind of store, or it holds credentials.
        errors.StorageError: the local folder cannot be created.
    """
    if (root := local_root(url)) is not None:
        with storage_errors.writing("open", "store"):
            root.mkdir(parents=True, exist_ok=True)
            return LocalStore(root)
    parts = urlsplit(url)
    if parts.scheme == "memory":
        return MemoryStore()
    _check_remote(parts)
    return build_remote(url, "storage.url")


def _check_remote(parts: SplitResult) -> None:
    if parts.scheme not in _REMOTE:
        raise errors.ConfigurationError(
            "storage.url must be an absolute path or begin with file:///, memory://, s3://, az:// or gs://; "
            f"it begins with {parts.scheme or parts.path[:40]!r}"
        )
    if parts.query or parts.username is not None or parts.password is not None:
        raise errors.ConfigurationError("storage.url must not hold credentials or a query; set AWS_*, AZURE_* or GOOGLE_* instead")
    if not parts.hostname:
        raise errors.ConfigurationError(f"storage.url names no bucket: {parts.scheme}://BUCKET/PREFIX")


def build_remote(url: str, name: str) -> "ObjectStore":
    """Build the backend for the URL of an object store, which has been checked. No request is made.

    Args:
        url: without credentials; these come from the environment.
        name: what the URL is, for the message.

    Raises:
        errors.ConfigurationError: the environment lacks something that this kind of store needs.
    """
    try:
        return from_url(url, retry_config=RETRIES)  # client options here would override those of the environment
    except (obstore.exceptions.BaseError, ValueError) as error:
        detail = str(error).splitlines()[0]
        raise errors.ConfigurationError(f"{name} {url!r}: {detail}") from error
