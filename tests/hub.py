"""A server on loopback that answers as the Hugging Face Hub does to uploads of datasets, in memory, with faults of choice.

Repositories, branches, the tree in pages, preupload, the LFS batch API with single and multipart uploads, and commits, as huggingface_hub
asks for them. Files are stored as the Hub does: text below `REGULAR_BYTES` in git, anything else by its SHA-256.
"""

import base64
import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.loopback import LoopbackHandler, run_server

__all__ = ["DROP", "DROP_AFTER", "HubServer", "Reply", "serve_hub"]

DROP, DROP_AFTER = -1, -2
"""Returned by a fault instead of a status: the connection is closed before anything is done, or after all of it."""

TOKEN = "hf_token-of-the-test"
REGULAR_BYTES = 10_000
PART_BYTES = 40_000
PAGE = 50

Reply = int | tuple[int, dict[str, str]]
Fault = Callable[[str, str, int], Reply]
"""Called with method, path and how often that was asked for; returns a status to fail with (and headers), `DROP`, `DROP_AFTER`, or 0."""


@dataclass
class HubServer:
    """What is stored, what was asked, and what fails.

    Attributes:
        branches: files by path, by ``ORG/NAME`` and branch.
        commits: the operations of each commit, as (key, path).
        bodies: large files by their digest; ``blobs`` are those that arrived, in their order.
    """

    port: int = 0
    branches: dict[tuple[str, str], dict[str, bytes]] = field(default_factory=dict)
    private: dict[str, bool] = field(default_factory=dict)
    commits: list[list[tuple[str, str]]] = field(default_factory=list)
    bodies: dict[str, bytes] = field(default_factory=dict)
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict)
    arrived: Counter[str] = field(default_factory=Counter)
    log: Counter[tuple[str, str]] = field(default_factory=Counter)
    fault: Fault = lambda *_: 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def files(self, repo: str = "org/set", branch: str = "main") -> dict[str, bytes]:
        """The files of a branch, without what the Hub itself writes."""
        return {path: body for path, body in self.branches[repo, branch].items() if path != ".gitattributes"}


@contextmanager
def serve_hub() -> Iterator[HubServer]:
    """Run a server without repositories."""
    state = HubServer()

    class Handler(_Handler):
        hub = state

    with run_server(Handler) as state.port:
        yield state


class _Handler(LoopbackHandler):
    hub: HubServer

    def _serve(self) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path)
        body = self._read_body()
        with self.hub.lock:
            self.hub.log[self.command, path] += 1
            fault = self.hub.fault(self.command, path, self.hub.log[self.command, path])
            status, headers = fault if isinstance(fault, tuple) else (fault, {})
            if status == DROP:
                return self.hang_up()
            if status > 0:
                return self._answer(status, {"error": "as asked"}, **headers)
            if not path.startswith("/lfs/") and self.headers.get("authorization") != f"Bearer {TOKEN}":
                return self._answer(401, {"error": "Invalid username or password."})
            answer = self._route(path, parse_qs(url.query), body)
            return self.hang_up() if status == DROP_AFTER else self._answer(*answer[:2], **(answer[2] if len(answer) > 2 else {}))

    do_GET = do_PUT = do_POST = do_HEAD = _serve

    def _read_body(self) -> bytes:
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _route(self, path: str, query: dict[str, list[str]], body: bytes) -> tuple[Any, ...]:
        parts = path.strip("/").split("/")
        match parts:
            case ["api", "repos", "create"]:
                return self._create(json.loads(body))
            case ["api", "validate-yaml"]:
                return 200, {}
            case ["lfs", *rest]:
                return self._upload(rest, body)
            case ["datasets", org, name, "info", "lfs", "objects", "batch"]:
                return self._batch(json.loads(body))
            case ["datasets", org, name, "resolve", *rest]:
                return self._resolve(f"{org}/{name}", rest)
            case ["api", "datasets", org, name, "branch", *rest]:
                return self._branch(f"{org}/{name}", "/".join(rest))
            case ["api", "datasets", org, name, action, *rest]:
                branch = "/".join(rest)
                if (f"{org}/{name}", branch) not in self.hub.branches:
                    return 404, {"error": "not found"}, {"X-Error-Code": "RepoNotFound"}
                files = self.hub.branches[f"{org}/{name}", branch]
                return getattr(self, f"_{action}")(files, query, body)
        return 404, {"error": f"no such route: {path}"}

    def _create(self, asked: dict[str, Any]) -> tuple[Any, ...]:
        name = f"{asked['organization']}/{asked['name']}"
        url = {"url": f"{self.hub.endpoint}/datasets/{name}"}
        if name in self.hub.private:
            return 409, url | {"error": "You already created this dataset repo"}
        self.hub.private[name] = asked.get("visibility") == "private" or bool(asked.get("private"))
        self.hub.branches[name, "main"] = {".gitattributes": b"*.parquet filter=lfs"}
        return 200, url

    def _branch(self, repo: str, branch: str) -> tuple[Any, ...]:
        if (repo, branch) in self.hub.branches:
            return 409, {"error": "Reference already exists"}
        self.hub.branches[repo, branch] = dict(self.hub.branches[repo, "main"])
        return 200, {}

    def _tree(self, files: dict[str, bytes], query: dict[str, list[str]], _: bytes) -> tuple[Any, ...]:
        start = int(query.get("cursor", ["0"])[0])
        names = sorted(files)
        more = f'<{self.hub.endpoint}{urlsplit(self.path).path}?recursive=true&cursor={start + PAGE}>; rel="next"'
        headers = {"Link": more} if len(names) > start + PAGE else {}
        return 200, [_listed(name, files[name]) for name in names[start : start + PAGE]], headers

    def _preupload(self, files: dict[str, bytes], _: dict[str, list[str]], body: bytes) -> tuple[Any, ...]:
        asked = json.loads(body)["files"]
        modes = [{"path": item["path"], "uploadMode": _mode(item["path"], item["size"]), "shouldIgnore": False} for item in asked]
        return 200, {"files": [mode | {"oid": _blob_id(files[mode["path"]]) if mode["path"] in files else None} for mode in modes]}

    def _batch(self, asked: dict[str, Any]) -> tuple[Any, ...]:
        return 200, {"transfer": "basic", "objects": [self._object(item["oid"], item["size"]) for item in asked["objects"]]}

    def _object(self, oid: str, size: int) -> dict[str, Any]:
        known = {"oid": oid, "size": size}
        if oid in self.hub.bodies:
            return known
        place = f"{self.hub.endpoint}/lfs/{oid}"
        upload: dict[str, Any] = {"href": place, "header": {}}
        if size > PART_BYTES:
            numbers = range(1, -(-size // PART_BYTES) + 1)
            upload = {
                "href": f"{place}/complete",
                "header": {"chunk_size": str(PART_BYTES)} | {f"{number:05d}": f"{place}/part/{number}" for number in numbers},
            }
        return known | {"actions": {"upload": upload, "verify": {"href": f"{place}/verify", "header": {}}}}

    def _upload(self, rest: list[str], body: bytes) -> tuple[Any, ...]:
        match rest:
            case [oid]:
                return self._keep(oid, body)
            case [oid, "part", number]:
                self.hub.parts.setdefault(oid, {})[int(number)] = body
                return 200, {}, {"ETag": hashlib.sha256(body).hexdigest()}
            case [oid, "complete"]:
                parts = self.hub.parts[oid]
                etags = [part["etag"] for part in json.loads(body)["parts"]]
                if etags != [hashlib.sha256(parts[number]).hexdigest() for number in sorted(parts)]:
                    return 400, {"error": "parts differ"}
                return self._keep(oid, b"".join(parts[number] for number in sorted(parts)))
            case [oid, "verify"]:
                return (200, {}) if oid in self.hub.bodies else (404, {"error": "not there"})
        return 404, {"error": "no such upload"}

    def _keep(self, oid: str, body: bytes) -> tuple[Any, ...]:
        if hashlib.sha256(body).hexdigest() != oid:
            return 400, {"error": "the bytes differ from their digest"}
        self.hub.bodies[oid] = body
        self.hub.arrived[oid] += 1
        return 200, {}

    def _commit(self, files: dict[str, bytes], _: dict[str, list[str]], body: bytes) -> tuple[Any, ...]:
        lines = [json.loads(line) for line in body.splitlines()]
        changed = dict(files)
        for line in lines[1:]:
            match line:
                case {"key": "file", "value": {"path": path, "content": content}}:
                    changed[path] = base64.b64decode(content)
                case {"key": "lfsFile", "value": {"path": path, "oid": oid}}:
                    if oid not in self.hub.bodies:
                        return 400, {"error": f"{path} was not uploaded"}
                    changed[path] = self.hub.bodies[oid]
                case {"key": "deletedFile", "value": {"path": path}}:
                    if path not in changed:
                        return 404, {"error": "A file with this name doesn't exist"}
                    del changed[path]
        files.clear()
        files.update(changed)
        self.hub.commits.append([(line["key"], line["value"]["path"]) for line in lines[1:]])
        oid = f"{len(self.hub.commits):040x}"
        return 200, {"commitUrl": f"{self.hub.endpoint}/datasets/org/set/commit/{oid}", "commitOid": oid, "success": True}

    def _resolve(self, repo: str, rest: list[str]) -> tuple[Any, ...]:
        for cut in range(1, len(rest)):
            files = self.hub.branches.get((repo, "/".join(rest[:cut])), {})
            if (path := "/".join(rest[cut:])) in files:
                return 200, files[path]
        return 404, {"error": "Entry not found"}

    def _answer(self, status: int, body: Any, **headers: str) -> None:
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(sent)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(sent)


def _mode(path: str, size: int) -> str:
    is_text = path.endswith((".md", ".json", ".jsonl", ".csv", ".txt")) or path == "SHA256SUMS"
    return "regular" if is_text and size < REGULAR_BYTES else "lfs"


def _blob_id(body: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(body) + body, usedforsecurity=False).hexdigest()


def _listed(path: str, body: bytes) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "file", "path": path, "size": len(body), "oid": _blob_id(body)}
    if path != ".gitattributes" and _mode(path, len(body)) == "lfs":
        found |= {"oid": "0" * 40, "lfs": {"oid": hashlib.sha256(body).hexdigest(), "size": len(body), "pointerSize": 130}}
    return found
