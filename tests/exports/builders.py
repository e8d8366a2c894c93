"""What the tests of the exporters build on: small real images, samples of them, and ways to write and read an export."""

import hashlib
import io
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from app.boxes import Box
from app.domain import Sample
from app.exports import formats
from app.exports.exporter import ExportOptions, ExportReport

PAPERS = frozenset({"README.md", "DATASHEET.md", "ORIGINS.md", "origins.json", "croissant.json"})

SIDECARS = PAPERS | {"ATTRIBUTION.md", "SHA256SUMS", "manifest.json"}
"""The files that every export has beside its images."""

OPTIONS = ExportOptions(dataset_name="Cats & dogs", dataset_id="d-1", created_at=1_700_000_000.0, shard_samples=4)


def image(number: int, extension: str = "jpg") -> bytes:
    """A small image that differs for each number."""
    buffer = io.BytesIO()
    picture = Image.new("RGB", (20 + number % 5, 16), (number * 7 % 256, number * 13 % 256, number * 29 % 256))
    picture.save(buffer, {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}[extension])
    return buffer.getvalue()


def sample(number: int, body: bytes | None = None, **values: Any) -> Sample:
    """Sample ``number`` of a dataset; its bytes are ``image(number)`` unless others are given."""
    body = image(number) if body is None else body
    digest = hashlib.sha256(body).hexdigest()
    given: dict[str, Any] = {
        "index": number,
        "image_id": 100 + number,
        "sha256": digest,
        "size_bytes": len(body),
        "media_type": "image/jpeg",
        "extension": "jpg",
        "width": 20 + number % 5,
        "height": 16,
        "label": ("cat", "Hot Dog")[number % 2],
        "split": "train" if number % 5 else "test",
        "caption": f"=picture {number}",
        "url": f"https://img.example/{number}.jpg",
        "source": "wikimedia",
        "source_sha256": digest,
        "license": "CC-BY-4.0",
        "creator": "Ann",
    }
    return Sample(**(given | values))


def samples(count: int = 10, **values: Any) -> list[Sample]:
    """A small dataset."""
    return [sample(number, **values) for number in range(count)]


def boxes(number: int) -> tuple[Box, ...]:
    """None, one or two boxes in image ``number``."""
    found = (Box("nose", 1.5, 2.0, 3.0, 4.25), Box("tail", 10.0, 5.0, 6.0, 7.0))
    return found[: number % 3]


async def each(items: Iterable[Sample]) -> AsyncIterator[Sample]:
    """The samples as an exporter takes them."""
    for item in items:
        yield item


class Bodies:
    """What a store would give: the bytes of each sample. Counts the reads."""

    def __init__(self, bodies: Sequence[bytes] | None = None) -> None:
        self.reads = 0
        self._bodies = bodies

    async def __call__(self, items: Sequence[Sample]) -> list[bytes]:
        self.reads += len(items)
        return [self._bodies[item.index] if self._bodies else image(item.index) for item in items]


async def write(name: str, folder: Path, items: Iterable[Sample], options: ExportOptions = OPTIONS) -> ExportReport:
    """Export samples whose bytes are those of ``image``."""
    return await formats.get_exporter(name).write(each(items), Bodies(), folder, options)


async def problems(name: str, folder: Path, report: ExportReport) -> tuple[str, ...]:
    """What verification says."""
    return (await formats.get_exporter(name).verify(folder, report)).problems


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by its relative path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def reseal(folder: Path, **changes: Any) -> None:
    """Make the manifest tell the truth about every file it names again, so that only the format's own rules can see a change."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    for name, facts in manifest["files"].items():
        body = (folder / name).read_bytes() if (folder / name).is_file() else b""
        facts.update(size_bytes=len(body), sha256=hashlib.sha256(body).hexdigest())
    path.write_text(json.dumps(manifest | changes))
