"""Tests of app.storage.backends: which URL opens which store, and how often a request is tried."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from obstore.store import AzureStore, GCSStore, LocalStore, MemoryStore, S3Store

import errors
from app.storage import backends, open_store


def test_local_urls_name_a_folder_and_make_it(tmp_path: Path) -> None:
    """A file URL, percent-encoded or not, and a plain absolute path are the same store."""
    folder = tmp_path / "a b"
    for url in (str(folder), f"file://{tmp_path}/a%20b", f"file://localhost{tmp_path}/a%20b"):
        assert backends.local_root(url) == folder
        assert isinstance(backends.build_backend(url), LocalStore)
    assert folder.is_dir()


def test_remote_urls_are_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bucket and prefix come from the URL, the account from the environment; no request is made."""
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    for url, kind, prefix in (
        ("s3://bucket/some/prefix", S3Store, "some/prefix"),
        ("s3://bucket", S3Store, None),
        ("gs://bucket/prefix", GCSStore, "prefix"),
        ("az://container/prefix", AzureStore, "prefix"),
    ):
        backend = backends.build_backend(url)
        assert isinstance(backend, kind)
        assert backend.prefix == prefix
        assert backends.local_root(url) is None
    assert isinstance(backends.build_backend("memory://"), MemoryStore)


def test_remote_stores_try_three_times_within_ten_seconds() -> None:
    """obstore's own retries are the only ones: two after the first try."""
    backend = backends.build_backend("s3://bucket")
    assert isinstance(backend, S3Store)
    assert backend.retry_config is not None
    assert backend.retry_config["max_retries"] == 2
    assert backend.retry_config["retry_timeout"] == timedelta(seconds=10)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://host/x", "begins with 'ftp'"),
        ("relative/dir", "begins with 'relative/dir'"),
        ("", "begins with ''"),
        ("file://host/share", "file:///absolute/path"),
        ("file:relative", "file:///absolute/path"),
        ("s3://", "names no bucket"),
        ("s3://key:secret@bucket/x", "credentials"),
        ("s3://bucket/x?sig=1", "credentials"),
    ],
)
def test_other_urls_are_refused_in_words(url: str, said: str) -> None:
    """The message says how to write it, and repeats no secret."""
    with pytest.raises(errors.ConfigurationError, match=said) as caught:
        open_store(url)
    assert "secret" not in str(caught.value)


def test_a_remote_url_without_its_account_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """What obstore misses is told in its words."""
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(errors.ConfigurationError, match="Account must be specified"):
        open_store("az://container/prefix")


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    """Below a file there is no folder."""
    (tmp_path / "file").touch()
    with pytest.raises(errors.StorageError, match="open store: Not a directory"):
        open_store(f"{tmp_path}/file/store")


async def test_a_failing_object_store_sees_three_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A put that a bucket answers with 503 is sent three times, then it is a StorageError."""
    requests: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        requests.append(head.split(b" ", 1)[0])
        await reader.readexactly(4)
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
        monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
        with pytest.raises(errors.StorageError, match="put a/b"):
            await open_store("s3://bucket/prefix").put("a/b", b"body")
    assert requests == [b"PUT"] * 3
