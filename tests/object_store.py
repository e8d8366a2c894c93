"""A server on loopback that answers as S3 and Google Cloud Storage do (both by the XML API), in memory, with faults of choice."""

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

__all__ = ["DROP", "BucketServer", "gcs_environment", "s3_environment", "serve_buckets"]

DROP = -1
"""Returned by a fault instead of a status: the connection is closed without an answer."""

META = ("x-amz-meta-", "x-goog-meta-")

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
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
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


@contextmanager
def serve_buckets(*names: str) -> Iterator[BucketServer]:
    """Run a server with these buckets, by default one of the name ``bucket``."""
    state = BucketServer(buckets={name: {} for name in names or ("bucket",)})

    class Handler(_Handler):
        server_state = state

    server = _Server(("127.0.0.1", 0), Handler)
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Say nothing of clients that go away."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: BucketServer

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _serve(self) -> None:
        state, url = self.server_state, urlsplit(self.path)
        bucket, _, key = unquote(url.path).lstrip("/").partition("/")
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        with state.lock:
            state.log.append((self.command, key))
            status = state.fault(self.command, key, len(state.log))
            if status == DROP:
                self.close_connection = True
                self.connection.close()
                return
            if status:
                self._answer(status, b"<Error><Code>Refused</Code><Message>as asked</Message></Error>")
            elif bucket not in state.buckets:
                self._answer(404, b"<Error><Code>NoSuchBucket</Code></Error>")
            else:
                query = parse_qs(url.query, keep_blank_values=True)
                getattr(self, f"_{self.command.lower()}")(state.buckets[bucket], key, query, body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve

    def _put(self, objects: dict[str, StoredObject], key: str, query: dict[str, list[str]], body: bytes) -> None:
        source = self.headers.get("x-amz-copy-source") or self.headers.get("x-goog-copy-source")
        if "uploadId" in query:
            self.server_state.uploads[query["uploadId"][0]][int(query["partNumber"][0])] = body
        elif source:
            objects[key] = objects[unquote(source).lstrip("/").partition("/")[2]]
        else:
            objects[key] = StoredObject(body, self._meta())
        copied = b"<CopyObjectResult><ETag>e</ETag></CopyObjectResult>" if source else b""
        self._answer(200, copied, ETag=f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"')

    def _post(self, objects: dict[str, StoredObject], key: str, query: dict[str, list[str]], body: bytes) -> None:
        uploads = self.server_state.uploads
        if "delete" in query:
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
        if not key:
            prefix = query.get("prefix", [""])[0]
            found = "".join(_listed(name, item) for name, item in sorted(objects.items()) if name.startswith(prefix))
            self._answer(200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>".encode())
        elif key not in objects:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        else:
            item = objects[key]
            meta = {f"{self._meta_prefix()}{name}": value for name, value in item.meta.items()}
            self._answer(200, item.body, **meta, **{"Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT", "ETag": '"e"'})

    _head = _get

    def _delete(self, objects: dict[str, StoredObject], key: str, *_: Any) -> None:
        objects.pop(key, None)
        self._answer(204)

    def _meta(self) -> dict[str, str]:
        pairs = ((name.lower(), value) for name, value in self.headers.items())
        return {name.removeprefix(start): value for name, value in pairs for start in META if name.startswith(start)}

    def _meta_prefix(self) -> str:
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


def _listed(key: str, item: StoredObject) -> str:
    when = "2026-01-01T00:00:00.000Z"
    return f'<Contents><Key>{escape(key)}</Key><LastModified>{when}</LastModified><ETag>"e"</ETag><Size>{len(item.body)}</Size></Contents>'
