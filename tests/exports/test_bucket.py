"""Tests of app.exports.bucket: over real sockets, to a server that answers as S3, GCS and Azure do, and fails on purpose."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import errors
from app.exports import outgoing
from app.exports.bucket import send_to_bucket
from app.exports.outgoing import REPLACED, OutgoingFile, Sent
from app.storage import MANIFEST, ObjectTree, object_tree, open_tree
from tests.exports.builders import samples, tree, write
from tests.object_store import DROP, BucketServer, StoredObject, azure_environment, gcs_environment, s3_environment, serve_buckets


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BucketServer]:
    """A server, and an environment in which clients find it."""
    with serve_buckets() as found:
        for name, value in (s3_environment(found) | gcs_environment(found) | azure_environment(found)).items():
            monkeypatch.setenv(name, value)
        yield found


@pytest.fixture(params=["s3", "gs", "az"])
def remote(request: pytest.FixtureRequest, server: BucketServer) -> ObjectTree:
    """A prefix of the bucket, by each kind of URL."""
    return open_tree(f"{request.param}://bucket/data/set")


async def exported(folder: Path, count: int = 4, form: str = "files") -> dict[str, OutgoingFile]:
    """Write an export of so many images."""
    folder.mkdir()
    await write(form, folder, samples(count))
    return await outgoing.list_files(folder)


class Watch:
    """Keeps what is said to have been sent."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []

    async def __call__(self, sent: Sent) -> None:
        self.sent.append(sent)

    @property
    def new(self) -> int:
        return sum(item.files for item in self.sent if item.is_new)


async def send(remote: ObjectTree, files: dict[str, OutgoingFile], *, overwrite: bool = False) -> Watch:
    """Send an export, return what was said meanwhile."""
    watch = Watch()
    await send_to_bucket(remote, files, overwrite=overwrite, on_sent=watch)
    return watch


def at_destination(server: BucketServer) -> dict[str, bytes]:
    """The bodies below the prefix, by path."""
    return {key.removeprefix("data/set/"): item.body for key, item in server.buckets["bucket"].items() if key.startswith("data/set/")}


async def test_every_file_arrives_with_its_digest_and_the_manifest_last(server: BucketServer, remote: ObjectTree, tmp_path: Path) -> None:
    """What is beside the prefix is not touched; every file is counted once."""
    server.buckets["bucket"]["data/settled"] = StoredObject(b"mine")
    files = await exported(tmp_path / "out")
    watch = await send(remote, files)
    assert at_destination(server) == tree(tmp_path / "out")
    assert server.buckets["bucket"]["data/settled"].body == b"mine"
    objects = server.buckets["bucket"]
    assert {path: objects[f"data/set/{path}"].meta["pictrawlsha256"] for path in files} == {path: files[path].sha256 for path in files}
    puts = [key for method, key in server.log if method == "PUT"]
    assert puts[-2:] == ["data/set/SHA256SUMS", f"data/set/{MANIFEST}"]
    assert watch.new == len(files)
    assert sum(item.size_bytes for item in watch.sent) == sum(file.size_bytes for file in files.values())


async def test_a_second_run_sends_nothing(server: BucketServer, remote: ObjectTree, tmp_path: Path) -> None:
    """Not even the manifest: everything is there with its digest."""
    files = await exported(tmp_path / "out")
    await send(remote, files)
    before = len(server.requests("PUT"))
    assert (await send(remote, files)).new == 0
    assert len(server.requests("PUT")) == before


async def test_the_same_size_is_not_the_same_file(server: BucketServer, remote: ObjectTree, tmp_path: Path) -> None:
    """A file that somebody else has written there is foreign, whatever its size; the rest of the export is not touched either."""
    files = await exported(tmp_path / "out")
    await send(remote, files)
    readme = server.buckets["bucket"]["data/set/README.md"]
    server.buckets["bucket"]["data/set/README.md"] = StoredObject(b"x" * len(readme.body))
    with pytest.raises(errors.ValidationError, match=r"holds 1 objects that are not of this export: README\.md; .*--overwrite"):
        await send(remote, files)
    assert (await send(remote, files, overwrite=True)).new == 2  # it, and the manifest, which was taken away meanwhile
    assert at_destination(server) == tree(tmp_path / "out")


async def test_a_killed_run_goes_on_where_it_was(server: BucketServer, remote: ObjectTree, tmp_path: Path) -> None:
    """No manifest until all is there; no file is sent twice."""
    files = await exported(tmp_path / "out", 40)

    class Killed(Exception):
        pass

    class Killer(Watch):
        async def __call__(self, sent: Sent) -> None:
            await super().__call__(sent)
            if self.new == 20:
                raise Killed

    with pytest.raises(Killed):
        await send_to_bucket(remote, files, overwrite=False, on_sent=Killer())
    arrived = at_destination(server)
    assert MANIFEST not in arrived
    assert 20 <= len(arrived) < len(files)
    assert (await send(remote, files)).new <= len(files) - len(arrived)
    assert at_destination(server) == tree(tmp_path / "out")
    assert max(server.requests("PUT")[f"data/set/{path}"] for path in arrived) == 1


async def test_somebody_elses_objects_are_never_removed(server: BucketServer, remote: ObjectTree, tmp_path: Path) -> None:
    """With --overwrite neither; nothing has changed then."""
    server.buckets["bucket"]["data/set/mine.txt"] = StoredObject(b"mine")
    files = await exported(tmp_path / "out")
    with pytest.raises(errors.ValidationError, match=r"not of this export: mine\.txt; name another prefix, or .*--overwrite"):
        await send(remote, files)
    with pytest.raises(errors.ValidationError, match=r"not of a pictrawl dataset: mine\.txt; name another prefix, or move them away"):
        await send(remote, files, overwrite=True)
    assert at_destination(server) == {"mine.txt": b"mine"}


@pytest.mark.parametrize("by", ["digest", "manifest"])
async def test_a_dataset_is_replaced_and_its_rest_removed_at_the_end(
    server: BucketServer, remote: ObjectTree, tmp_path: Path, by: str
) -> None:
    """Known as ours by the digests it was sent with, or by its manifest where another tool has copied it there."""
    await send(remote, await exported(tmp_path / "old", 6))
    if by == "manifest":
        for item in server.buckets["bucket"].values():
            item.meta.clear()
    server.log.clear()
    await send(remote, await exported(tmp_path / "new", 3), overwrite=True)
    assert at_destination(server) == tree(tmp_path / "new")
    order = [(method, key.removeprefix("data/set/")) for method, key in server.log if method in ("PUT", "DELETE", "POST")]
    removal = next(number for number, made in enumerate(order) if made in (("DELETE", REPLACED), ("POST", "")) and number > 3)
    assert order.index(("PUT", MANIFEST)) < removal


@pytest.mark.parametrize("by", ["digest", "manifest"])
async def test_a_replacement_that_is_cut_off_looks_whole_to_nobody(
    server: BucketServer, remote: ObjectTree, tmp_path: Path, by: str
) -> None:
    """The old manifest gives way first; the next run still knows the old files as ours."""
    await send(remote, await exported(tmp_path / "old", 6))
    if by == "manifest":
        for item in server.buckets["bucket"].values():
            item.meta.clear()
    new = await exported(tmp_path / "new", 3)
    server.fault = lambda method, key, _: 403 if method == "PUT" and key.endswith("SHA256SUMS") else 0
    with pytest.raises(errors.AuthenticationError):
        await send(remote, new, overwrite=True)
    assert MANIFEST not in at_destination(server)
    server.fault = lambda *_: 0
    await send(remote, new, overwrite=True)
    assert at_destination(server) == tree(tmp_path / "new")


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        (401, errors.AuthenticationError, "refused with 401 Unauthorized"),
        (403, errors.AuthenticationError, "refused with 403 Forbidden"),
        (404, errors.NotFoundError, "refused with 404 Not Found"),
        (400, errors.BadRequestError, "refused with 400 Bad Request"),
        (429, errors.StorageError, "429"),
        (507, errors.StorageError, "507 Insufficient Storage"),
        (503, errors.StorageError, "503"),
        (DROP, errors.StorageError, "error sending request"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_what_refuses_is_told_from_what_fails(
    server: BucketServer, remote: ObjectTree, tmp_path: Path, fault: int, error: type[Exception], said: str, method: str
) -> None:
    """Refused: another try changes nothing. Full, failing, gone half-way: it may pass. Nothing there looks whole, either way."""
    files = await exported(tmp_path / "out")
    server.fault = lambda made, key, _: fault if made == method and not key.endswith((".jsonl", ".md")) else 0
    with pytest.raises(error) as caught:
        await send(remote, files)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"list {remote.url}: " if method == "GET" else f"put {remote.url}/")
    assert MANIFEST not in at_destination(server)
    server.fault = lambda *_: 0
    await send(remote, files)
    assert at_destination(server) == tree(tmp_path / "out")


async def test_a_fault_that_passes_is_retried_by_obstore(server: BucketServer, remote: ObjectTree, tmp_path: Path) -> None:
    """Two tries after the first; the sender knows nothing of it."""
    files = await exported(tmp_path / "out")
    server.fault = lambda method, key, _: 503 if method == "PUT" and server.requests("PUT")[key] < 3 else 0
    await send(remote, files)
    assert set(server.requests("PUT").values()) == {3}


async def test_a_large_file_goes_in_parts(
    server: BucketServer, remote: ObjectTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And has its digest as any other; a file that is whole in parts only is not there."""
    monkeypatch.setattr(object_tree, "PART_BYTES", 5_000_000)
    files = await exported(tmp_path / "out")
    large = tmp_path / "large"
    large.write_bytes(b"0123456789abcdef" * 700_000)
    files = {"shard.tar": OutgoingFile("shard.tar", large, large.stat().st_size, "d" * 64)} | files
    completing = {"POST": 2, "PUT": 4}  # the second POST of S3, the PUT after three blocks of Azure
    server.fault = lambda method, key, _: 403 if key.endswith(".tar") and server.requests(method)[key] == completing.get(method) else 0
    with pytest.raises(errors.AuthenticationError):
        await send(remote, files)
    assert "shard.tar" not in at_destination(server)
    server.fault = lambda *_: 0
    await send(remote, files)
    assert at_destination(server)["shard.tar"] == large.read_bytes()
    assert server.buckets["bucket"]["data/set/shard.tar"].meta == {"pictrawlsha256": "d" * 64}
    assert server.requests("PUT")["data/set/shard.tar"] >= 3


async def test_no_secret_is_in_a_message(server: BucketServer, tmp_path: Path) -> None:
    """Of the key that the environment has, nothing."""
    server.fault = lambda *_: 403
    with pytest.raises(errors.AuthenticationError) as caught:
        await send(open_tree("s3://bucket/x"), await exported(tmp_path / "out"))
    assert "key-of-the-test" not in str(caught.value)


async def test_a_bucket_that_is_not_there_is_named(server: BucketServer, tmp_path: Path) -> None:
    """At the first request."""
    with pytest.raises(errors.NotFoundError, match=r"list s3://other/x: refused with 404 Not Found"):
        await send(open_tree("s3://other/x"), await exported(tmp_path / "out"))


def test_what_the_environment_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Azure wants an account."""
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(errors.ConfigurationError, match=r"destination 'az://container/x': .*Account must be specified"):
        open_tree("az://container/x")


async def test_an_export_that_is_not_whole_is_not_sent(tmp_path: Path) -> None:
    """Its manifest is missing, or a file that it names."""
    await exported(tmp_path / "out")
    (tmp_path / "out/README.md").unlink()
    with pytest.raises(errors.StorageError, match=r"lacks README\.md"):
        await outgoing.list_files(tmp_path / "out")
    (tmp_path / "out/manifest.json").unlink()
    with pytest.raises(errors.StorageError, match=r"has no manifest\.json"):
        await outgoing.list_files(tmp_path / "out")
