"""A server on loopback that answers as S3, Google Cloud Storage (its XML API) and Azure Blob Storage do, with faults of choice.

Azure's clients name the account in the path, as they do with its emulator.
"""

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.loopback import LoopbackHandler, run_server

__all__ = ["DROP", "BucketServer", "azure_environment", "gcs_environment", "s3_environment", "serve_buckets"]

DROP = -1
"""Returned by a fault instead of a status: the connection is closed without an answer."""

META = ("x-amz-meta-", "x-goog-meta-", "x-ms-meta-")
ACCOUNT = "devstoreaccount1"
WHEN = "Thu, 01 Jan 2026 00:00:00 GMT"

Fault = Callable[[str, str, int], int]
"""Called with method, key and the number of requests so far; returns a status to fail with, `DROP`, or 0."""


@dataclass
class StoredObject:
    """Bytes and metadata of an object."""

    body: bytes
    meta: dict[str, str] = field(default_factory=dict)


@dataclass
class BucketServer:
    """What is stored, by bucket and key; what was asked; and what fails."""

    port: int = 0
    buckets: dict[str, dict[str, StoredObject]] = field(default_factory=dict)
    uploads: dict[str, dict[str, bytes]] = field(default_factory=dict)
    log: list[tuple[str, str]] = field(default_factory=list)
    fault: Fault = lambda *_: 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def stored(self, bucket: str = "bucket") -> set[str]:
        """The keys of a bucket."""
        return set(self.buckets[bucket])

    def requests(self, method: str) -> Counter[str]:
        """How often each key was asked for by a method."""
        return Counter(key for made, key in self.log if made == method)


def s3_environment(server: BucketServer) -> dict[str, str]:
    """The environment of a client of S3."""
    return {
        "AWS_ENDPOINT": f"http://127.0.0.1:{server.port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "key-of-the-test",
        "AWS_REGION": "eu-central-1",
    }


def gcs_environment(server: BucketServer) -> dict[str, str]:
    """The environment of a client of Google Cloud Storage."""
    account = {"gcs_base_url": f"http://127.0.0.1:{server.port}", "disable_oauth": True}
    account |= dict.fromkeys(("client_email", "private_key", "private_key_id"), "")
    return {"GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(account)}


def azure_environment(server: BucketServer) -> dict[str, str]:
    """The environment of a client of Azure Blob Storage."""
    return {"AZURE_STORAGE_USE_EMULATOR": "true", "AZURITE_BLOB_STORAGE_URL": f"http://127.0.0.1:{server.port}", "AZURE_ALLOW_HTTP": "true"}


@contextmanager
def serve_buckets(*names: str) -> Iterator[BucketServer]:
    """Run a server with these buckets, by default one of the name ``bucket``."""
    state = BucketServer(buckets={name: {} for name in names or ("bucket",)})

    class Handler(_Handler):
        server_state = state

    with run_server(Handler) as state.port:
        yield state


class _Handler(LoopbackHandler):
    server_state: BucketServer

    def _serve(self) -> None:
        state, url = self.server_state, urlsplit(self.path)
        path = unquote(url.path).lstrip("/")
        self.is_azure = path.startswith(f"{ACCOUNT}/")
        bucket, _, key = path.removeprefix(f"{ACCOUNT}/").partition("/")
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        with state.lock:
            state.log.append((self.command, key))
            status = state.fault(self.command, key, len(state.log))
            if status == DROP:
                self.hang_up()
            elif status:
                self._answer(status, b"<Error><Code>Refused</Code><Message>as asked</Message></Error>")
            elif bucket not in state.buckets:
                self._answer(404, b"<Error><Code>NoSuchBucket</Code></Error>")
            else:
                query = parse_qs(url.query, keep_blank_values=True)
                getattr(self, f"_{self.command.lower()}")(state.buckets[bucket], key, query, body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve

    def _put(self, objects: dict[str, StoredObject], key: str, query: dict[str, list[str]], body: bytes) -> None:
        source = self.headers.get("x-amz-copy-source") or self.headers.get("x-goog-copy-source") or self._azure_source()
        if query.get("comp") == ["block"]:
            self.server_state.uploads.setdefault(key, {})[query["blockid"][0]] = body
        elif query.get("comp") == ["blocklist"]:
            self._join_blocks(objects, key, body)
        elif "uploadId" in query:
            self.server_state.uploads[query["uploadId"][0]][f"{int(query['partNumber'][0]):05d}"] = body
        elif source:
            objects[key] = objects[unquote(source).lstrip("/").partition("/")[2]]
        else:
            objects[key] = StoredObject(body, self._meta())
        copied = b"<CopyObjectResult><ETag>e</ETag></CopyObjectResult>" if source else b""
        etag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        self._answer(201 if self.is_azure else 200, copied, **{"Last-Modified": WHEN, "x-ms-copy-status": "success", "ETag": etag})

    def _post(self, objects: dict[str, StoredObject], key: str, query: dict[str, list[str]], body: bytes) -> None:
        uploads = self.server_state.uploads
        if query.get("comp") == ["batch"]:
            self._delete_batch(objects, body)
        elif "delete" in query:
            gone = [part.split(b"</Key>")[0].decode() for part in body.split(b"<Key>")[1:]]
            for name in gone:
                objects.pop(name, None)
            found = "".join(f"<Deleted><Key>{name}</Key></Deleted>" for name in gone)
            self._answer(200, f"<DeleteResult>{found}</DeleteResult>".encode())
        elif "uploads" in query:
            name = f"upload-{len(uploads)}"
            uploads[name] = {}
            self._pending_meta()[name] = self._meta()
            self._answer(200, f"<InitiateMultipartUploadResult><UploadId>{name}</UploadId></InitiateMultipartUploadResult>".encode())
        else:
            name = query["uploadId"][0]
            parts = uploads[name]
            objects[key] = StoredObject(b"".join(parts[number] for number in sorted(parts)), self._pending_meta()[name])
            self._answer(200, b"<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>")

    def _get(self, objects: dict[str, StoredObject], key: str, query: dict[str, list[str]], _: bytes) -> None:
        if not key and self.is_azure:
            prefix = query.get("prefix", [""])[0]
            found = "".join(_azure_listed(name, item) for name, item in sorted(objects.items()) if name.startswith(prefix))
            self._answer(200, f"<EnumerationResults><Blobs>{found}</Blobs><NextMarker /></EnumerationResults>".encode())
        elif not key:
            prefix = query.get("prefix", [""])[0]
            found = "".join(_listed(name, item) for name, item in sorted(objects.items()) if name.startswith(prefix))
            self._answer(200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>".encode())
        elif key not in objects:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        else:
            item = objects[key]
            meta = {f"{self._meta_prefix()}{name}": value for name, value in item.meta.items()}
            self._answer(200, item.body, **meta, **{"Last-Modified": WHEN, "ETag": '"e"'})

    _head = _get

    def _delete(self, objects: dict[str, StoredObject], key: str, *_: Any) -> None:
        objects.pop(key, None)
        self._answer(204)

    def _meta(self) -> dict[str, str]:
        pairs = ((name.lower(), value) for name, value in self.headers.items())
        return {name.removeprefix(start): value for name, value in pairs for start in META if name.startswith(start)}

    def _azure_source(self) -> str | None:
        source = self.headers.get("x-ms-copy-source")
        return urlsplit(source).path.removeprefix(f"/{ACCOUNT}") if source else None

    def _join_blocks(self, objects: dict[str, StoredObject], key: str, body: bytes) -> None:
        names = [part.split(b"</")[0].decode() for part in body.split(b"<Uncommitted>")[1:]]
        objects[key] = StoredObject(b"".join(self.server_state.uploads[key][name] for name in names), self._meta())

    def _delete_batch(self, objects: dict[str, StoredObject], body: bytes) -> None:
        """A multipart/mixed of DELETE requests, answered by one of replies."""
        lines = [line.decode() for line in body.splitlines() if line.startswith(b"DELETE ")]
        replies = []
        for number, line in enumerate(lines):
            objects.pop(unquote(urlsplit(line.split(" ")[1]).path).lstrip("/").removeprefix(f"{ACCOUNT}/").partition("/")[2], None)
            head = f"--batch\r\nContent-Type: application/http\r\nContent-ID: {number}\r\n\r\nHTTP/1.1 202 Accepted\r\n"
            replies.append(f"{head}x-ms-request-id: {number}\r\n\r\n")
        self._answer(202, ("".join(replies) + "--batch--\r\n").encode(), **{"Content-Type": "multipart/mixed; boundary=batch"})

    def _meta_prefix(self) -> str:
        if self.is_azure:
            return "x-ms-meta-"
        return "x-goog-meta-" if "x-amz-date" not in self.headers and "x-amz-content-sha256" not in self.headers else "x-amz-meta-"

    def _pending_meta(self) -> dict[str, dict[str, str]]:
        return self.server_state.__dict__.setdefault("pending_meta", {})

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _azure_listed(key: str, item: StoredObject) -> str:
    facts = f"<Last-Modified>{WHEN}</Last-Modified><Content-Length>{len(item.body)}</Content-Length><Etag>e</Etag>"
    return f"<Blob><Name>{escape(key)}</Name><Properties>{facts}<Content-Type>x</Content-Type></Properties></Blob>"


def _listed(key: str, item: StoredObject) -> str:
    when = "2026-01-01T00:00:00.000Z"
    return f'<Contents><Key>{escape(key)}</Key><LastModified>{when}</LastModified><ETag>"e"</ETag><Size>{len(item.body)}</Size></Contents>'
