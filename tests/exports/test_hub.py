"""Tests of app.exports.hub: huggingface_hub as it comes, over real sockets, to a server that answers as the Hub and fails on purpose."""

import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import huggingface_hub.constants
import huggingface_hub.utils._http
import pytest

import errors
from app.exports import hub, outgoing
from app.exports.destination import HubRepo
from app.exports.hub import HubAccess, send_to_hub
from app.exports.outgoing import REPLACED, OutgoingFile, Sent
from app.storage import MANIFEST
from tests.exports.builders import samples, tree, write
from tests.hub import DROP, DROP_AFTER, TOKEN, HubServer, Reply, serve_hub

REPO = HubRepo("org/set")

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # huggingface_hub says so to its own HTTP client


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits of huggingface_hub, which are recorded and not slept; uploads go by LFS, whose server is here, and not by Xet."""
    slept: list[float] = []
    clock = types.SimpleNamespace(sleep=slept.append, time=huggingface_hub.utils._http.time.time)
    monkeypatch.setattr(huggingface_hub.utils._http, "time", clock)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    return slept


@pytest.fixture
def server(waits: list[float]) -> Iterator[HubServer]:
    """A Hub without repositories."""
    with serve_hub() as found:
        yield found


class Watch:
    """Keeps what is said to have been sent; fails where it shall."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.sent: list[Sent] = []
        self.fail_at = fail_at

    async def __call__(self, sent: Sent) -> None:
        self.sent.append(sent)
        if len(self.sent) == self.fail_at:
            raise KilledError

    @property
    def new(self) -> int:
        return sum(item.files for item in self.sent if item.is_new)


class KilledError(Exception):
    """Ends a run in the middle."""


async def exported(folder: Path, count: int = 4, form: str = "imagefolder") -> dict[str, OutgoingFile]:
    """Write an export of so many images."""
    folder.mkdir()
    await write(form, folder, samples(count))
    return await outgoing.list_files(folder)


async def send(server: HubServer, files: dict[str, OutgoingFile], watch: Watch | None = None, **options: Any) -> Watch:
    """Send an export, return what was said meanwhile."""
    watch = watch or Watch()
    wanted = {"overwrite": False, "private": True, "repo": REPO, "token": TOKEN} | options
    access = HubAccess(server.endpoint, wanted.pop("token"))
    address = await send_to_hub(wanted.pop("repo"), files, access, on_sent=watch, **wanted)
    assert address.startswith(f"{server.endpoint}/datasets/org/set")
    return watch


async def test_an_export_becomes_a_repository(server: HubServer, tmp_path: Path) -> None:
    """Private unless asked otherwise; at most 100 files a commit; card, sums and manifest in the last one."""
    files = await exported(tmp_path / "out", 230)
    watch = await send(server, files)
    assert server.files() == tree(tmp_path / "out")
    assert server.private == {"org/set": True}
    assert [len(commit) for commit in server.commits] == [100, 100, len(files) - 203, 3]
    assert {path for _, path in server.commits[-1]} == {"README.md", "SHA256SUMS", MANIFEST}
    assert watch.new == len(files)
    assert sum(item.size_bytes for item in watch.sent) == sum(file.size_bytes for file in files.values())


async def test_a_public_repository_and_a_branch(server: HubServer, tmp_path: Path) -> None:
    """Both are created; a repository that is there stays as private as it is."""
    files = await exported(tmp_path / "out")
    await send(server, files, private=False, repo=HubRepo("org/set", "v1/next"))
    assert server.files(branch="v1/next") == tree(tmp_path / "out")
    assert server.files() == {}
    await send(server, files, private=True)
    assert server.files() == tree(tmp_path / "out")
    assert server.private == {"org/set": False}


async def test_a_second_run_commits_nothing(server: HubServer, tmp_path: Path) -> None:
    """Small text is known by its git blob, anything else by its SHA-256."""
    files = await exported(tmp_path / "out", 60)
    await send(server, files)
    before = len(server.commits)
    watch = await send(server, files)
    assert (watch.new, len(server.commits)) == (0, before)
    assert sum(item.files for item in watch.sent) == len(files)


async def test_a_large_file_goes_in_parts(server: HubServer, tmp_path: Path) -> None:
    """As the Hub asks for it, by its LFS API."""
    files = await exported(tmp_path / "out")
    large = tmp_path / "large"
    large.write_bytes(bytes(range(256)) * 600)
    files = {"data.tar": OutgoingFile("data.tar", large, large.stat().st_size, outgoing._sha256(large))} | files
    await send(server, files)
    assert server.files()["data.tar"] == large.read_bytes()
    assert len(server.parts[files["data.tar"].sha256]) == 4


@pytest.mark.parametrize("at", [1, 2, 3])
async def test_a_killed_run_goes_on_where_it_was(server: HubServer, tmp_path: Path, at: int) -> None:
    """No manifest until the last commit; no file is uploaded or committed twice."""
    files = await exported(tmp_path / "out", 230)
    with pytest.raises(KilledError):
        await send(server, files, Watch(fail_at=at))
    assert MANIFEST not in server.files()
    committed = len(server.files())
    assert committed == 100 * (at - 1)
    assert (await send(server, files)).new == len(files) - committed
    assert server.files() == tree(tmp_path / "out")
    added = [path for commit in server.commits for _, path in commit]
    assert len(added) == len(set(added)) == len(files)
    assert set(server.arrived.values()) == {1}


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("/preupload/", 503),
        ("/preupload/", 429),
        ("/preupload/", DROP),
        ("/tree/", 500),
        ("/objects/batch", 502),
        ("/lfs/", 500),
        ("/lfs/", DROP),
        ("/complete", 504),
        ("/verify", 503),
    ],
)
async def test_what_passes_is_retried_by_huggingface_hub(
    server: HubServer, waits: list[float], tmp_path: Path, path: str, fault: int
) -> None:
    """Requests that change nothing, and uploads: after 1, 2, 4, 8 and 8 s. We add none."""
    files = await exported(tmp_path / "out")
    large = tmp_path / "large"
    large.write_bytes(b"0123456789abcdef" * 8_000)
    files = {"data.tar": OutgoingFile("data.tar", large, large.stat().st_size, outgoing._sha256(large))} | files
    failed: set[str] = set()

    def once(_: str, asked: str, times: int) -> Reply:
        if path in asked and times == 1 and not failed:
            failed.add(asked)
            return fault
        return 0

    server.fault = once
    await send(server, files)
    assert (len(failed), waits) == (1, [1])
    assert server.files() == tree(tmp_path / "out") | {"data.tar": large.read_bytes()}


async def test_the_wait_that_the_hub_asks_for_is_kept(server: HubServer, waits: list[float], tmp_path: Path) -> None:
    """By huggingface_hub, which adds a second."""
    server.fault = lambda _, path, times: (429, {"Retry-After": "7"}) if "/preupload/" in path and times == 1 else 0
    await send(server, await exported(tmp_path / "out"))
    assert waits == [8.0]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (500, "commit hf://org/set: the Hub answered 500"),
        (503, "commit hf://org/set: the Hub answered 503"),
        (412, "commit hf://org/set: the Hub answered 412"),
        (DROP, "commit hf://org/set: "),
        (DROP_AFTER, "commit hf://org/set: "),
    ],
)
async def test_a_commit_is_never_sent_twice_by_one_run(
    server: HubServer, waits: list[float], tmp_path: Path, fault: int, said: str
) -> None:
    """Nobody knows whether it counted: the next run looks. Also if its answer came after the connection was gone."""
    files = await exported(tmp_path / "out", 120)
    server.fault = lambda method, path, times: fault if "/commit/" in path and times == 1 else 0
    with pytest.raises(errors.StorageError) as caught:
        await send(server, files)
    assert str(caught.value).startswith(said)
    assert waits == []
    assert server.log["POST", "/api/datasets/org/set/commit/main"] == 1
    assert MANIFEST not in server.files()
    assert len(server.commits) == (1 if fault == DROP_AFTER else 0)
    await send(server, files)
    assert server.files() == tree(tmp_path / "out")
    added = [path for commit in server.commits for _, path in commit]
    assert len(added) == len(set(added)) == len(files)
    assert set(server.arrived.values()) == {1}


async def test_a_limit_of_commits_says_how_long_to_wait(server: HubServer, tmp_path: Path) -> None:
    """The unit rests for that long; nobody sleeps."""
    server.fault = lambda _, path, times: (429, {"Retry-After": "300"}) if "/commit/" in path else 0
    with pytest.raises(errors.StorageError) as caught:
        await send(server, await exported(tmp_path / "out"))
    assert (caught.value.status, caught.value.retry_after_s) == (429, 300.0)


async def test_what_does_not_pass_is_given_up_after_six_tries(server: HubServer, waits: list[float], tmp_path: Path) -> None:
    """By huggingface_hub; then it is a fault of the destination."""
    server.fault = lambda _, path, times: 503 if "/preupload/" in path else 0
    with pytest.raises(errors.StorageError, match="commit hf://org/set: the Hub answered 503"):
        await send(server, await exported(tmp_path / "out"))
    assert waits == [1, 2, 4, 8, 8]


@pytest.mark.parametrize(
    ("path", "fault", "error"),
    [
        ("/repos/create", 403, errors.AuthenticationError),
        ("/tree/", 404, errors.NotFoundError),
        ("/commit/", 403, errors.AuthenticationError),
        ("/commit/", 400, errors.BadRequestError),
        ("/objects/batch", 422, errors.BadRequestError),
        ("/lfs/", 403, errors.AuthenticationError),
    ],
)
async def test_what_refuses_is_permanent(
    server: HubServer, waits: list[float], tmp_path: Path, path: str, fault: int, error: type[Exception]
) -> None:
    """Another try changes nothing. No token is in the message."""
    server.fault = lambda _, asked, __: fault if path in asked else 0
    with pytest.raises(error, match=f"the Hub answered {fault}") as caught:
        await send(server, await exported(tmp_path / "out"))
    assert TOKEN not in str(caught.value)
    assert waits == []


async def test_the_token_comes_from_the_environment(server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HF_TOKEN, where the settings have none."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    files = await exported(tmp_path / "out")
    await send(server, files, token=None)
    assert server.files() == tree(tmp_path / "out")


async def test_a_wrong_token_is_refused(server: HubServer, tmp_path: Path) -> None:
    """At the first request."""
    with pytest.raises(errors.AuthenticationError, match="open hf://org/set: the Hub answered 401") as caught:
        await send(server, await exported(tmp_path / "out"), token="hf_wrong")
    assert "hf_wrong" not in str(caught.value)


async def test_a_hub_that_is_away_is_a_storage_error(waits: list[float], tmp_path: Path) -> None:
    """Its address is wrong, or it is down."""
    with serve_hub() as server:
        pass
    with pytest.raises(errors.StorageError, match="open hf://org/set: "):
        await send(server, await exported(tmp_path / "out"))


async def test_somebody_elses_files_stay(server: HubServer, tmp_path: Path) -> None:
    """Without --overwrite anything is refused, with it what no manifest of ours names. A card alone may be replaced."""
    files = await exported(tmp_path / "out")
    await send(server, files)
    await send(server, files, repo=HubRepo("org/set", "other"))
    server.branches["org/set", "main"] = {"README.md": b"# mine", "notes.txt": b"mine"}
    with pytest.raises(errors.ValidationError, match=r"holds 2 files that are not of this export: README\.md, notes\.txt; .*--overwrite"):
        await send(server, files)
    with pytest.raises(errors.ValidationError, match=r"not of a pictrawl dataset: notes\.txt; name another repository"):
        await send(server, files, overwrite=True)
    del server.branches["org/set", "main"]["notes.txt"]
    await send(server, files, overwrite=True)
    assert server.files() == tree(tmp_path / "out")


@pytest.mark.parametrize("at", [None, 1, 2])
async def test_a_dataset_is_replaced_and_its_rest_removed(server: HubServer, tmp_path: Path, at: int | None) -> None:
    """Its manifest gives way first, so that a run that is cut off looks whole to nobody and the next one knows the old files."""
    await send(server, await exported(tmp_path / "old", 150))
    new = await exported(tmp_path / "new", 120, "files")
    if at is not None:
        with pytest.raises(KilledError):
            await send(server, new, Watch(fail_at=at), overwrite=True)
        assert (MANIFEST in server.files()) is (at == 1)  # nothing had been changed
        assert (REPLACED in server.files()) is (at == 2)
    await send(server, new, overwrite=True)
    assert server.files() == tree(tmp_path / "new")
    assert max(map(len, server.commits)) <= 100


async def test_a_file_that_went_missing_is_sent_again(server: HubServer, tmp_path: Path) -> None:
    """With the manifest, which was taken away meanwhile."""
    files = await exported(tmp_path / "out")
    await send(server, files)
    del server.branches["org/set", "main"]["SHA256SUMS"]
    watch = await send(server, files)
    assert watch.new == 2
    assert server.files() == tree(tmp_path / "out")


def _paths(number: int, folder: str = "images") -> list[str]:
    return [f"{folder}/{index}.jpg" for index in range(number)]


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (lambda: _paths(10_001), "the folder images has 10,001 files, the Hub takes 10,000; export with -f parquet or -f webdataset"),
        (lambda: [f"{n // 9000}/{n}" for n in range(100_001)], "the export has 100,001 files, a repository of the Hub takes 100,000; "),
    ],
)
async def test_what_the_hub_would_not_take_is_refused_before(server: HubServer, tmp_path: Path, paths: Any, said: str) -> None:
    """With the formats that have few files; not one request is made."""
    with pytest.raises(errors.ValidationError) as caught:
        await send(server, {path: OutgoingFile(path, tmp_path, 0, "") for path in paths()})
    assert str(caught.value).startswith(said)
    assert not server.log
    hub.check_limits([*_paths(10_000), *_paths(10_000, "b"), "manifest.json"])


def test_commits_are_bounded_by_files_and_by_bytes(tmp_path: Path) -> None:
    """A file that is larger than a commit has one of its own."""
    sizes = [1] * 150 + [hub.COMMIT_BYTES - 49] + [hub.COMMIT_BYTES + 1, 5]
    files = [OutgoingFile(str(number), tmp_path, size, "") for number, size in enumerate(sizes)]
    assert [len(batch) for batch in hub.batches(files)] == [100, 50, 1, 1, 1]
    assert list(hub.batches([])) == []


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the extra that brings it."""
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(errors.ConfigurationError, match=r"hf:// needs huggingface_hub; install pictrawl\[hub\]"):
        hub.require_hub()
