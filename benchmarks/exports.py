"""Images a second and peak memory of each export format, beside the writers of Hugging Face datasets and of img2dataset.

::

    python benchmarks/exports.py                        # 100,000 samples of 5 kB; about 15 minutes
    python benchmarks/exports.py --samples 5000 --formats parquet,webdataset

Each writer has a process of its own, and gets the same bytes from memory: no store, no database, no verification. The papers, digests and
checks of an export are part of ours. Peers are installed into the scratch folder.
"""

import argparse
import asyncio
import hashlib
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import peers
from PIL import Image

from app.domain import Sample
from app.exports import formats
from app.exports.exporter import ExportOptions

LABELS: Final = 100
PEERS: Final = {"parquet": "datasets", "webdataset": "img2dataset"}


def body_of(at: int, picture: bytes) -> bytes:
    """A JPEG of its own: the same picture, and behind its end a number, which decoders do not read."""
    return picture + at.to_bytes(8, "big")


def picture() -> bytes:
    """A photo-like JPEG of about 5 kB."""
    noise = np.random.default_rng(0).integers(0, 255, (12, 12, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).resize((192, 192), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def samples(count: int, base: bytes) -> Iterator[tuple[Sample, bytes]]:
    """Samples in three splits and a hundred classes, with what a search knows of each."""
    for at in range(count):
        body = body_of(at, base)
        digest = hashlib.sha256(body).hexdigest()
        yield Sample(
            index=at, image_id=at + 1, sha256=digest, size_bytes=len(body), media_type="image/jpeg", extension="jpg", width=192, height=192,
            label=f"class {at % LABELS}", split=("train", "train", "train", "val", "test")[at % 5], caption=f"picture number {at}",
            url=f"https://img{at % 500}.example/{at}.jpg", source="wikimedia", source_sha256=digest, license="CC-BY-4.0",
            creator=f"Creator {at % 1000}", phash=digest[:16],
        ), body  # fmt: skip


async def ours(name: str, count: int, folder: Path, base: bytes) -> None:
    """Write an export with pictrawl."""

    async def each() -> AsyncIterator[Sample]:
        for sample, _ in samples(count, base):
            yield sample

    async def read(wanted: Sequence[Sample]) -> list[bytes]:
        return [body_of(sample.index, base) for sample in wanted]

    options = ExportOptions(dataset_name="benchmark", dataset_id="ds_1", created_at=0.0)
    await formats.get_exporter(name).write(each(), read, folder, options)


def theirs_parquet(count: int, folder: Path, base: bytes) -> None:
    """Write the same columns as the ``datasets`` library does."""
    import datasets
    from datasets.arrow_writer import ParquetWriter

    classes = [f"class {number}" for number in range(LABELS)]
    texts = ("split", "caption", "url", "sha256", "license", "creator", "phash")
    features = datasets.Features({
        "image": datasets.Image(), "label": datasets.ClassLabel(names=classes), "width": datasets.Value("int64"),
        **{name: datasets.Value("string") for name in texts},
    })  # fmt: skip
    folder.mkdir()
    writers = {split: ParquetWriter(features=features, path=str(folder / f"{split}.parquet")) for split in ("train", "val", "test")}
    for sample, body in samples(count, base):
        row = {name: getattr(sample, name) for name in texts} | {"label": sample.label, "width": sample.width}
        example = features.encode_example(row | {"image": {"bytes": body, "path": f"{sample.index}.jpg"}})
        writers[sample.split].write(example)
    for writer in writers.values():
        writer.finalize()


def theirs_webdataset(count: int, folder: Path, base: bytes) -> None:
    """Write the same members as img2dataset does, with its own writer."""
    import pyarrow as pa

    package = peers.installed(Path(tempfile.gettempdir()) / "pictrawl-bench-img2dataset", [peers.IMG2DATASET])
    spec = spec_from_file_location("img2dataset_writer", package / "img2dataset" / "writer.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    names = ("url", "sha256", "label", "split", "license", "creator", "phash")
    schema = pa.schema([pa.field("key", pa.string()), *(pa.field(name, pa.string()) for name in names)])
    folder.mkdir()
    writer: Any = None
    for sample, body in samples(count, base):
        if sample.index % 10_000 == 0:
            if writer is not None:
                writer.close()
            writer = module.WebDatasetSampleWriter(sample.index // 10_000, str(folder), True, 5, schema, "jpg")
        key = f"{sample.index:09d}"
        writer.write(body, key, sample.caption, {"key": key} | {name: getattr(sample, name) for name in names})
    writer.close()


WRITERS: dict[str, Callable[[int, Path, bytes], None]] = {"datasets": theirs_parquet, "img2dataset": theirs_webdataset}


def measure(name: str, count: int) -> None:
    """Write once in this process; print seconds, peak memory and bytes as JSON. Making the bytes costs each of them the same."""
    base = picture()
    with tempfile.TemporaryDirectory(prefix="pictrawl-exports-") as scratch:
        folder = Path(scratch) / "out"
        started = time.perf_counter()
        if name in WRITERS:
            WRITERS[name](count, folder, base)
        else:
            asyncio.run(ours(name, count, folder, base))
        elapsed = time.perf_counter() - started
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(json.dumps({"seconds": elapsed, "peak_mb": peak_mb, "size_mb": size / 1e6}))


def run(name: str, count: int) -> dict[str, float]:
    """Measure in a process of its own."""
    command = [sys.executable, __file__, "--one", name, "--samples", str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Print a row for each format."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--formats", default=",".join(formats.EXPORTERS))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        measure(arguments.one, arguments.samples)
        return
    few = max(1, arguments.samples // 10)
    print(f"{arguments.samples:,} samples; memory at {few:,} and {arguments.samples:,}\n")
    print("| Format | Images/s | Peak MB | MB | Peer | Ratio of speeds |\n|---|---|---|---|---|---|")
    for name in arguments.formats.split(","):
        small, found = run(name, few), run(name, arguments.samples)
        peer = PEERS.get(name)
        other = run(peer, arguments.samples) if peer else None
        ratio = f"{other['seconds'] / found['seconds']:.2f}" if other else ""
        shown = f"{peer} {arguments.samples / other['seconds']:,.0f}/s, {other['peak_mb']:.0f} MB" if other else ""
        speed, memory = f"{arguments.samples / found['seconds']:,.0f}", f"{small['peak_mb']:.0f}, {found['peak_mb']:.0f}"
        cells = (speed, memory, f"{found['size_mb']:,.0f}")
        print(f"| {' | '.join((name, *cells, shown, ratio))} |", flush=True)


if __name__ == "__main__":
    main()
