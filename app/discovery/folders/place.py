"""Where an image lies on this machine, as a ``file:`` URL: a file, a member of a tar, a row of a Parquet file. Pure."""

import os
import posixpath
import re
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

import errors

__all__ = ["Place", "file_url", "published_url", "read"]

_SCHEME = "file://"
_NOT_RELATIVE = re.compile(r"[/\\]|[A-Za-z]:[/\\]|[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True, slots=True)
class Place:
    """The place of one image.

    Attributes:
        path: absolute path of the file, or of the tar or Parquet file that holds the image.
        member: name of the member of a tar; ``offset`` is where its header begins in the unpacked tar, bytes.
        row: number of the row of a Parquet file, from 0.
    """

    path: str
    member: str | None = None
    offset: int = 0
    row: int | None = None

    @property
    def url(self) -> str:
        """``file:///a/1.jpg``, ``file:///a/0.tar#offset=512&member=1.jpg`` or ``file:///a/0.parquet#row=17``."""
        url = file_url(self.path)
        if self.member is not None:
            return f"{url}#offset={self.offset}&member={_quoted(self.member)}"
        return url if self.row is None else f"{url}#row={self.row}"

    @classmethod
    def parse(cls, url: str) -> "Place":
        """Return the place that :attr:`url` spells."""
        path, _, fragment = url.removeprefix(_SCHEME).partition("#")
        values = dict(part.split("=", 1) for part in fragment.split("&")) if fragment else {}
        member, row = values.get("member"), values.get("row")
        return cls(
            path=_unquoted(path),
            member=None if member is None else _unquoted(member),
            offset=int(values.get("offset", 0)),
            row=None if row is None else int(row),
        )


def file_url(path: str) -> str:
    """Return the URL of a file; bytes of its name that are no UTF-8 are escaped like all others."""
    return f"{_SCHEME}{_quoted(path)}"


def read(folder: str, name: str) -> str:
    """Return the URL of a file that a metadata file in ``folder`` names. Without a folder, the name is such a URL already.

    Raises:
        errors.InvalidURLError: the name is absolute or a URL, or leads out of the folder.
    """
    if not folder:
        return name
    path = posixpath.normpath(name.strip())
    if not name.strip() or _NOT_RELATIVE.match(path) or _NOT_RELATIVE.match(name) or path.split("/")[0] in (".", ".."):
        raise errors.InvalidURLError("file_name is no path inside the folder of the metadata file")
    return file_url(f"{folder}/{path}")


def published_url(url: str, folder: str) -> str:
    """Return the URL as a dataset may show it: relative to the folder that was read, so that it tells nothing of this machine."""
    return url.removeprefix(f"{file_url(folder.rstrip('/'))}/")


def _quoted(text: str) -> str:
    return quote(os.fsencode(text))


def _unquoted(text: str) -> str:
    return os.fsdecode(unquote_to_bytes(text))
