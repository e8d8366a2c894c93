"""Reading tar shards back by WebDataset's rules: a key ends at the first dot, and a sample is a run of members with one key."""

import hashlib
import re
import tarfile
from collections.abc import Iterable, Iterator
from typing import Any

from app.exports import ustar
from app.exports.hashed import FileFacts
from app.exports.inspecting import Inspection, parse_object

__all__ = ["CLASSES", "inspect"]

CLASSES = "classes.json"

_MEMBER = re.compile(r"((?:.*/|)[^.]+)[.]([^/]*)")  # webdataset's own, tariterators.base_plus_ext
_SHARD = re.compile(r"([a-z][a-z0-9_]*)-(\d{6,})\.tar")
_BESIDE = ("cls", "json", "txt")

Members = dict[str, bytes]


def inspect(inspection: Inspection) -> Iterator[None]:
    """Read every shard that the manifest names."""
    classes = _read_classes(inspection)
    expected: dict[str, int] = {}
    schema: list[str] | None = None
    for path in sorted(inspection.manifest.mapping("files"), key=_order):
        if (match := _SHARD.fullmatch(path)) is None:
            continue
        split, number = match[1], int(match[2])
        if number != expected.get(split, 0):
            inspection.complain(f"{path}: shard {expected.get(split, 0)} of {split} is missing")
        expected[split] = number + 1
        for key, members in _read_shard(inspection, path):
            kinds = sorted(suffix if suffix in _BESIDE else "image" for suffix in members)
            schema = schema or kinds
            if kinds != schema:
                inspection.complain(f"{path}: {key} has other members than the first sample")
            _inspect_sample(inspection, f"{path}/{key}", split, members, classes)
            yield
    _inspect_folder(inspection)


def _order(path: str) -> tuple[str, int]:
    match = _SHARD.fullmatch(path)
    return (match[1], int(match[2])) if match else (path, 0)


def _read_classes(inspection: Inspection) -> list[Any]:
    if CLASSES not in inspection.manifest.mapping("files"):
        return []
    with inspection.opened(CLASSES) as file:
        wrapped = parse_object(b'{"classes":' + (file.read() if file else b"") + b"}")
    names = None if wrapped is None else wrapped["classes"]
    if not isinstance(names, list) or names != sorted(inspection.manifest.mapping("labels")):
        inspection.complain(f"{CLASSES}: not the sorted names of the labels")
        return []
    return names


def _read_shard(inspection: Inspection, path: str) -> Iterator[tuple[str, Members]]:
    """The samples of one shard. Members of a key that come apart make two samples, as they would for every loader."""
    with inspection.opened(path) as file:
        if file is None:
            return
        try:
            yield from _read_samples(inspection, path, ustar.members(file))
        except tarfile.TarError as error:
            inspection.complain(f"{path}: not a whole tar file: {error}")


def _read_samples(inspection: Inspection, path: str, found: Iterable[ustar.Member]) -> Iterator[tuple[str, Members]]:
    current, members = "", Members()
    for member in found:
        match = _MEMBER.fullmatch(member.name)
        if match is None or not member.is_plain:
            inspection.complain(f"{path}: {member.name}: no plain member with a key and a suffix")
            continue
        key, suffix = match[1], match[2].lower()
        if key != current and members:
            yield current, members
            members = Members()
        current = key
        if suffix in members:
            inspection.complain(f"{path}: {key} has two members .{suffix}")
        members[suffix] = member.body
    if members:
        yield current, members


def _inspect_sample(inspection: Inspection, where: str, split: str, members: Members, classes: list[Any]) -> None:
    images = [suffix for suffix in members if suffix not in _BESIDE]
    row = parse_object(members.get("json", b""))
    if row is None or len(images) != 1:
        inspection.complain(f"{where}: not one image and one json")
        return
    body = members[images[0]]
    inspection.count_image(f"{where}.{images[0]}", FileFacts(len(body), hashlib.sha256(body).hexdigest()), row)
    if row.get("split") != split:
        inspection.complain(f"{where}: lies in a shard of another split than its row says")
    if members.get("txt", b"").decode("utf-8", "replace") != row.get("caption", ""):
        inspection.complain(f"{where}: txt is not the caption of its row")
    if _class_name(members, classes) != row.get("label"):
        inspection.complain(f"{where}: cls is not the label of its row")


def _class_name(members: Members, classes: list[Any]) -> Any:
    text = members.get("cls", b"")
    number = int(text) if re.fullmatch(rb"\d{1,9}", text) else -1
    return classes[number] if 0 <= number < len(classes) else None


def _inspect_folder(inspection: Inspection) -> None:
    for path in sorted(inspection.folder.rglob("*")):
        name = path.relative_to(inspection.folder).as_posix()
        if not inspection.manifest.names(name):
            inspection.complain(f"{name}: not in the manifest")
