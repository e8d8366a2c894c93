"""Sends an export to a repository of the Hugging Face Hub, in commits of at most 100 files, ``manifest.json`` in the last one.

Retry: none here. huggingface_hub retries requests that change nothing but an upload; a commit whose answer is lost is not sent again: the
next run looks at what the repository holds. The only module that imports huggingface_hub; it blocks, so its calls run in threads.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import errors
from app import concurrency, extras
from app.exports.destination import DEFAULT_BRANCH, HubRepo
from app.exports.folder import parse_digests, parse_manifest
from app.exports.outgoing import LAST, REPLACED, OnSent, OutgoingFile, Sent, name_some
from app.exports.sidecars import CARD, SUMS
from app.storage import MANIFEST

__all__ = ["HubAccess", "batches", "check_limits", "require_hub", "send_to_hub"]

COMMIT_FILES = 100
COMMIT_BYTES = 2_000_000_000
"""Of one commit, unless one file is larger: between two commits the sending can be stopped, and its figures are written."""

MAX_FILES, MAX_ENTRIES = 100_000, 10_000
"""Files in a repository and entries in a folder that the Hub takes (huggingface.co/docs/hub/storage-limits)."""

UPLOADS = 5
"""Files that are uploaded in parallel."""

OF_THE_HUB = frozenset({".gitattributes"})
"""The Hub writes it into every repository."""

_TYPE = "dataset"
_MAY_PASS = (408, 409, 412, 425, 429)
"""Client errors that pass: 409 and 412 say that somebody else commits at the moment."""

_REFUSALS: Mapping[int, type[errors.PermanentError]] = {
    401: errors.AuthenticationError,
    403: errors.AuthenticationError,
    404: errors.NotFoundError,
}


@dataclass(frozen=True, slots=True)
class HubAccess:
    """How the Hub is reached. None: by HF_ENDPOINT and HF_TOKEN, or by what `hf auth login` has saved."""

    endpoint: str | None = None
    token: str | None = None


def require_hub() -> Any:
    """Import huggingface_hub.

    Raises:
        errors.ConfigurationError: it is not installed.
    """
    for module in ("huggingface_hub.utils", "huggingface_hub.errors"):  # which it loads when they are asked for
        extras.require(module, "hub", "hf://")
    return extras.require("huggingface_hub", "hub", "hf://")


def check_limits(paths: Iterable[str]) -> None:
    """Refuse what the Hub would not take.

    Raises:
        errors.ValidationError: too many files, or too many in one folder; names the formats that have few files.
    """
    way_out = "export with -f parquet or -f webdataset, which have few files"
    entries: dict[str, set[str]] = {}
    for path in paths:
        folder, _, name = path.rpartition("/")
        entries.setdefault(folder, set()).add(name)
    if (number := sum(map(len, entries.values()))) > MAX_FILES:
        raise errors.ValidationError(f"the export has {number:,} files, a repository of the Hub takes {MAX_FILES:,}; {way_out}")
    folder, names = max(entries.items(), key=lambda item: len(item[1]))
    if len(names) > MAX_ENTRIES:
        raise errors.ValidationError(f"the folder {folder or '/'} has {len(names):,} files, the Hub takes {MAX_ENTRIES:,}; {way_out}")


def batches(files: Iterable[OutgoingFile]) -> Iterator[Sequence[OutgoingFile]]:
    """Divide files into commits."""
    batch: list[OutgoingFile] = []
    size = 0
    for file in files:
        if batch and (len(batch) >= COMMIT_FILES or size + file.size_bytes > COMMIT_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.size_bytes
    if batch:
        yield batch


async def send_to_hub(
    repo: HubRepo, files: Mapping[str, OutgoingFile], access: HubAccess, *, overwrite: bool, private: bool, on_sent: OnSent
) -> str:
    """Make the files of a branch those of an export; return its address. Files that are there already are not sent again.

    What is there and is not of the export is replaced with ``overwrite`` if it is of a dataset of ours. The repository is created if there
    is none.

    Raises:
        errors.ValidationError: something else is there, or the Hub would not take so many files; nothing was changed.
        errors.PermanentError: the Hub refuses.
        errors.StorageError: it fails or does not answer. The branch has no manifest then, and looks whole to nobody.
    """
    check_limits(files)
    branch = _Branch(repo, access)
    there = await concurrency.to_thread_uncancelled(branch.open, private)
    same = await concurrency.to_thread_uncancelled(_find_same, files, there)
    others = there.keys() - same - OF_THE_HUB
    replaced = await concurrency.to_thread_uncancelled(_check_others, branch, others, there, overwrite)
    is_changed = len(same) < len(files)
    if is_changed and MANIFEST in same:
        same.remove(MANIFEST)
        others.add(MANIFEST)
    await on_sent(Sent(len(same), sum(files[path].size_bytes for path in same), is_new=False))
    if is_changed and MANIFEST in there:
        await concurrency.to_thread_uncancelled(branch.hide_manifest, replaced)
    missing = [file for path, file in files.items() if path not in same]
    at_the_end = [file for file in missing if file.path in (CARD, *LAST)]
    for batch in batches(file for file in missing if file not in at_the_end):
        await concurrency.to_thread_uncancelled(branch.add, batch)
        await on_sent(Sent(len(batch), sum(file.size_bytes for file in batch)))
    await _remove(branch, sorted(others - files.keys() | ({REPLACED} if replaced and is_changed else set())))
    if at_the_end:
        await concurrency.to_thread_uncancelled(branch.add, at_the_end)
        await on_sent(Sent(len(at_the_end), sum(file.size_bytes for file in at_the_end)))
    return branch.address


async def _remove(branch: "_Branch", paths: Sequence[str]) -> None:
    for start in range(0, len(paths), COMMIT_FILES):
        await concurrency.to_thread_uncancelled(branch.remove, paths[start : start + COMMIT_FILES])


@dataclass(frozen=True, slots=True)
class _RepoFile:
    """A file of the repository: its SHA-256 where it is stored as a large file, else the id of its git blob."""

    size_bytes: int
    sha256: str | None
    blob_id: str


class _Branch:
    """A branch of a repository. Every method blocks."""

    def __init__(self, repo: HubRepo, access: HubAccess) -> None:
        self._hub = require_hub()
        self._hub.utils.disable_progress_bars()
        self._api = self._hub.HfApi(endpoint=access.endpoint, token=access.token, library_name="pictrawl")
        self._repo = repo
        self.url = repo.url
        self.address = f"{self._api.endpoint}/datasets/{repo.name}"
        self.address += "" if repo.branch == DEFAULT_BRANCH else f"/tree/{repo.branch}"

    def open(self, private: bool) -> dict[str, _RepoFile]:
        """Create the repository and the branch if there are none; list the files."""
        with _translated("open", self.url):
            self._api.create_repo(self._repo.name, repo_type=_TYPE, private=private, exist_ok=True)
            if self._repo.branch != DEFAULT_BRANCH:
                self._api.create_branch(self._repo.name, repo_type=_TYPE, branch=self._repo.branch, exist_ok=True)
            tree = self._api.list_repo_tree(self._repo.name, repo_type=_TYPE, revision=self._repo.branch, recursive=True)
            return {item.path: _as_file(item) for item in tree if isinstance(item, self._hub.RepoFile)}

    def read(self, path: str) -> bytes:
        """The bytes of a small file."""
        with _translated("read", self.url):
            address = self._hub.hf_hub_url(self._repo.name, path, repo_type=_TYPE, revision=self._repo.branch, endpoint=self._api.endpoint)
            reply = self._hub.utils.http_backoff("GET", address, headers=self._hub.utils.build_hf_headers(token=self._api.token))
            self._hub.utils.hf_raise_for_status(reply)
            return bytes(reply.content)

    def add(self, files: Sequence[OutgoingFile]) -> None:
        """Commit files."""
        title = f"Add {len(files)} files" if len(files) > 1 else f"Add {files[0].path}"
        self._commit(title, [self._hub.CommitOperationAdd(file.path, str(file.file)) for file in files])

    def remove(self, paths: Sequence[str]) -> None:
        """Commit that files are gone."""
        title = f"Remove {len(paths)} files of an earlier dataset"
        self._commit(title, [self._hub.CommitOperationDelete(path, is_folder=False) for path in paths])

    def hide_manifest(self, body: bytes | None) -> None:
        """Take away the manifest by which the branch looks whole; keep its bytes where they name files of an earlier dataset."""
        kept = [self._hub.CommitOperationAdd(REPLACED, body)] if body else []
        self._commit("Take the manifest away while files change", [self._hub.CommitOperationDelete(MANIFEST, is_folder=False), *kept])

    def _commit(self, title: str, operations: Sequence[Any]) -> None:
        with _translated("commit", self.url):
            self._api.create_commit(
                self._repo.name,
                operations,
                commit_message=title,
                repo_type=_TYPE,
                revision=self._repo.branch,
                num_threads=UPLOADS,
            )


def _as_file(item: Any) -> _RepoFile:
    return _RepoFile(item.size, item.lfs.sha256 if item.lfs is not None else None, item.blob_id)


def _find_same(files: Mapping[str, OutgoingFile], there: Mapping[str, _RepoFile]) -> set[str]:
    return {path for path, found in there.items() if path in files and _is_same(files[path], found)}


def _is_same(file: OutgoingFile, found: _RepoFile) -> bool:
    if found.size_bytes != file.size_bytes:
        return False
    return found.sha256 == file.sha256 if found.sha256 is not None else found.blob_id == _blob_id(file.file)


def _blob_id(path: Path) -> str:
    """The id that git gives to a file (gitformat-pack). The Hub keeps small text files so."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _check_others(branch: _Branch, others: set[str], there: Mapping[str, _RepoFile], overwrite: bool) -> bytes | None:
    """Refuse to touch files that are not of the export: without ``overwrite`` any, with it those of somebody else.

    Returns:
        the manifest of the dataset that is replaced.
    """
    if not others:
        return None
    if not overwrite:
        raise errors.ValidationError(
            f"{branch.url} holds {len(others)} files that are not of this export: {name_some(list(others))}; "
            "name another repository, or replace a dataset with --overwrite"
        )
    manifests = {path: branch.read(path) for path in (MANIFEST, REPLACED) if path in there}
    sums = branch.read(SUMS).splitlines() if SUMS in there and manifests else []
    named = {CARD}
    for path, body in manifests.items():
        found = parse_manifest(body)
        named |= {path, SUMS, *parse_digests(found, sums)} if found else set()
    if foreign := sorted(others - named):
        raise errors.ValidationError(
            f"{branch.url} holds {len(foreign)} files that are not of a pictrawl dataset: {name_some(foreign)}; "
            "name another repository, or remove them on the Hub"
        )
    return manifests.get(MANIFEST) or manifests.get(REPLACED)


@contextmanager
def _translated(operation: str, url: str) -> Iterator[None]:
    """Translate what huggingface_hub raises.

    Raises:
        errors.PermanentError: the Hub refuses (4xx), or says that something is wrong with what it got.
        errors.StorageError: it fails, limits (with the wait that it asks for) or does not answer.
    """
    hub = require_hub()
    try:
        yield
    except (hub.errors.HTTPError, RuntimeError, ValueError, OSError) as error:
        raised = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ is not None else error  # an upload of several
        if isinstance(raised, hub.errors.HfHubHTTPError):
            raise _translate_status(f"{operation} {url}", raised) from error
        words = str(raised).partition("\n")[0] or type(raised).__name__
        kind = errors.BadRequestError if isinstance(raised, ValueError) else errors.StorageError
        raise kind(f"{operation} {url}: {words}") from error


def _translate_status(what: str, error: Any) -> errors.PictrawlError:
    response = error.response
    status = int(response.status_code)
    said = f": {error.server_message}" if error.server_message else ""
    words = f"{what}: the Hub answered {status}{said}"
    if status < 500 and status not in _MAY_PASS:
        return _REFUSALS.get(status, errors.BadRequestError)(words)
    wait = response.headers.get("retry-after", "")
    return errors.StorageError(words, status=status, retry_after_s=float(wait) if wait.isdigit() else None)
