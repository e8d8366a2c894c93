"""Where an export goes if that is no folder of this machine: an object store or a repository of the Hugging Face Hub. Pure.

Reads and checks the URL of a destination. Credentials are never part of it: rows and logs hold it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import SplitResult, urlsplit

import errors

__all__ = ["FORMS", "Bucket", "Delivery", "HubRepo", "RemoteDestination", "columns_of", "is_allowed", "is_remote", "parse_remote"]

FORMS = "s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or hf://ORG/NAME"

DEFAULT_BRANCH = "main"

_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|(s3|gs|az|hf):", re.IGNORECASE)
_BUCKETS = {"s3": "AWS_*", "gs": "GOOGLE_*", "az": "AZURE_*"}
"""Schemes of object stores, with the environment variables that hold their credentials."""

_SYNONYMS = {"gcs": "gs", "azure": "az", "abfs": "az", "abfss": "az", "s3a": "s3", "huggingface": "hf"}
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,221}")
_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._=+-]{0,199}")
_MAX_PREFIX_CHARS = 500  # S3 allows keys of 1,024 bytes
_REPO_PART = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?")
_BRANCH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
_MAX_REPO_CHARS = 96  # of ORG/NAME, by the Hub's own rule
_REPO_KINDS = ("models", "spaces", "buckets")
_SHOWN_CHARS = 200


@dataclass(frozen=True, slots=True)
class Bucket:
    """A prefix in an object store; ``url`` has no slash at its end."""

    url: str

    @property
    def credentials(self) -> str:
        """The environment variables that hold the credentials."""
        return _BUCKETS[self.url.partition(":")[0]]


@dataclass(frozen=True, slots=True)
class HubRepo:
    """A repository of the Hub for datasets, and a branch of it; ``name`` is ``ORG/NAME``."""

    name: str
    branch: str = DEFAULT_BRANCH

    @property
    def url(self) -> str:
        """How it is written: ``hf://ORG/NAME``, with the branch where that is another than ``main``."""
        return f"hf://{self.name}" + ("" if self.branch == DEFAULT_BRANCH else f"@{self.branch}")

    @property
    def credentials(self) -> str:
        """The environment variable that holds the credentials."""
        return "HF_TOKEN"


RemoteDestination = Bucket | HubRepo


@dataclass(frozen=True, slots=True)
class Delivery:
    """An export that goes to a remote destination.

    Attributes:
        destination: its URL.
        overwrite: whether the dataset that is there may be replaced.
        private: whether a repository of the Hub is created private.
    """

    destination: str
    overwrite: bool = False
    private: bool = True

    def __str__(self) -> str:
        return self.destination

    @property
    def spec(self) -> dict[str, Any]:
        """What the spec of a build says of it."""
        return {"destination": self.destination, "overwrite": self.overwrite, "private": self.private}

    @property
    def columns(self) -> dict[str, Any]:
        """Values of the export's row."""
        return {"destination": self.destination, "delivery": {"overwrite": self.overwrite, "private": self.private}}

    def beside(self, name: str) -> "Delivery":
        """Return where a further format of the same dataset goes: beside it, with the name of the format at the end.

        Raises:
            errors.ValidationError: a bucket without a prefix has nothing beside it, or the name would be too long.
        """
        at = parse_remote(self.destination)
        if isinstance(at, HubRepo):
            url = replace(at, name=f"{at.name}-{name}").url
        elif at.url.count("/") < 3:
            raise _refused(at.url, f"has no prefix, and {name} goes beside it; name one, as in {at.url}/NAME")
        else:
            url = f"{at.url}-{name}"
        return replace(self, destination=parse_remote(url).url)


def columns_of(delivery: Delivery | None, name: str, first: str) -> dict[str, Any]:
    """Values of the row of an export in one of several formats, ``first`` being that which goes to the destination itself."""
    if delivery is None:
        return {}
    return (delivery if name == first else delivery.beside(name)).columns


def is_remote(text: str) -> bool:
    """Whether a destination is written as a URL. Anything else is a folder."""
    return _REMOTE.match(text) is not None


def parse_remote(text: str) -> RemoteDestination:
    """Read the URL of a destination.

    Raises:
        errors.ValidationError: it has credentials, is of no known kind, or names no bucket or repository; says how it is written.
    """
    scheme, mark, rest = text.strip().partition(":")
    scheme = scheme.lower()
    parts = _split(f"{scheme}{mark}{rest}")
    if "@" in parts.netloc:
        known = _BUCKETS.get(_SYNONYMS.get(scheme, scheme), "AWS_*, GOOGLE_*, AZURE_* and HF_TOKEN")
        raise _refused(f"{scheme}://...", f"has credentials in it; they come from the environment: {known}")
    shown = re.split("[?#]", f"{scheme}{mark}{rest}")[0][:_SHOWN_CHARS]
    if scheme not in (*_BUCKETS, "hf"):
        raise _refused(shown, _other_scheme(scheme, parts))
    if not rest.startswith("//"):
        raise _refused(shown, f"is written {scheme}://{rest.lstrip('/')[:_SHOWN_CHARS]}")
    if parts.query or parts.fragment:
        raise _refused(shown, "has a query or a fragment; leave out what follows ? or #")
    return _parse_repo(shown, parts) if scheme == "hf" else _parse_bucket(shown, parts)


def is_allowed(destination: RemoteDestination, prefixes: Iterable[str]) -> bool:
    """Whether a destination is, or lies below, one of these URLs; ``s3://bucket/a`` does not allow ``s3://bucket/ab``."""
    for prefix in (item.rstrip("/") for item in prefixes):
        if destination.url == prefix or destination.url.startswith((f"{prefix}/", f"{prefix}@")):
            return True
    return False


def _split(text: str) -> SplitResult:
    try:
        return urlsplit(text)
    except ValueError as error:
        raise _refused(text[:_SHOWN_CHARS], f"is no URL; a destination is {FORMS}") from error


def _other_scheme(scheme: str, parts: SplitResult) -> str:
    if scheme in _SYNONYMS:
        return f"is written {_SYNONYMS[scheme]}://{parts.netloc}{parts.path}"
    if scheme in ("http", "https") and "huggingface.co" in parts.netloc:
        return f"is written hf://{parts.path.strip('/').removeprefix('datasets/')}"
    if scheme == "file":
        return f"is a folder: name it by its path, {parts.path or '/...'}"
    return f"is of no known kind; a destination is a folder, {FORMS}"


def _parse_bucket(shown: str, parts: SplitResult) -> Bucket:
    if not parts.netloc:
        raise _refused(shown, f"names no bucket; it is written {parts.scheme}://BUCKET/PREFIX")
    if not _BUCKET.fullmatch(parts.netloc):
        own = " (your own server is named by AWS_ENDPOINT)" if ":" in parts.netloc and parts.scheme == "s3" else ""
        raise _refused(shown, f"has {parts.netloc!r} in the place of the bucket's name{own}")
    prefix = parts.path.strip("/")
    for segment in prefix.split("/") if prefix else ():
        if not _SEGMENT.fullmatch(segment):
            raise _refused(shown, f"has {segment!r} in its prefix; segments are made of A-Z a-z 0-9 . _ = + - and do not begin with a dot")
    if len(prefix) > _MAX_PREFIX_CHARS:
        raise _refused(shown, f"has a prefix of more than {_MAX_PREFIX_CHARS} characters")
    return Bucket(f"{parts.scheme}://{parts.netloc}/{prefix}".rstrip("/"))


def _parse_repo(shown: str, parts: SplitResult) -> HubRepo:
    named, has_branch, branch = f"{parts.netloc}{parts.path}".strip("/").partition("@")
    segments = named.removeprefix("datasets/").split("/")
    if segments[0] in _REPO_KINDS:
        raise _refused(shown, f"is no repository for datasets but one of {segments[0]}; it is written hf://ORG/NAME")
    if len(segments) != 2:
        raise _refused(shown, "names no repository; it is written hf://ORG/NAME or hf://ORG/NAME@BRANCH, without a folder")
    for part in segments:
        if not _REPO_PART.fullmatch(part) or "--" in part or ".." in part or part.endswith(".git"):
            raise _refused(shown, f"has {part!r} in its name; names on the Hub are made of A-Z a-z 0-9 . _ - (no -- and no ..)")
    if len("/".join(segments)) > _MAX_REPO_CHARS:
        raise _refused(shown, f"has a name of more than {_MAX_REPO_CHARS} characters")
    if has_branch and (not _BRANCH.fullmatch(branch) or ".." in branch):
        raise _refused(shown, f"has {branch!r} in the place of a branch's name")
    return HubRepo("/".join(segments), branch or DEFAULT_BRANCH)


def _refused(shown: str, why: str) -> errors.ValidationError:
    return errors.ValidationError(f"destination {shown} {why}")
