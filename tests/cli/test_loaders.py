"""Every export, loaded row by row by the loaders that it documents, from images that are odd but sound."""

import csv
import json
from pathlib import Path

import pytest
from PIL import Image
from pyarrow import parquet
from tfrecord.reader import tfrecord_loader

from app.cli.demo.origin import reply
from tests.cli.conftest import LOOPBACK, Invoke, Site
from tests.exports import loaders
from tests.images.samples import animation, encode, photo
from tests.images.test_heif import heic
from tests.images.test_metadata import BROKEN, SOUND

LABELS = ["test tube", "train", "dev", "Crash-Test", "dog"]


def _formats() -> dict[str, bytes]:
    return {
        "gif": encode(photo(), "GIF"),
        "animated gif": animation(),
        "avif": encode(photo(), "AVIF"),
        "heic": heic(photo(seed=4)),
        "heic with alpha": heic(photo(seed=5).convert("RGBA")),
        "bmp": encode(photo(), "BMP"),
        "tiff": encode(photo(), "TIFF"),
        "cmyk jpeg": encode(photo().convert("CMYK")),
        "grey png of 16 bits": encode(photo().convert("L").convert("I;16"), "PNG"),
        "png with alpha": encode(photo().convert("RGBA"), "PNG"),
        "avif alone in its class": encode(photo(seed=3), "AVIF"),
    }


@pytest.fixture
def listed(site: Site, tmp_path: Path) -> dict[str, str]:
    """Serves every file, and lists it with a label; returns the URL of each name."""
    bodies = _formats() | {name: body for name, (body, _) in (BROKEN | SOUND).items()}
    urls = {name: site.add(f"/{number}", reply(body=body)) for number, (name, body) in enumerate(bodies.items())}
    with (tmp_path / "list.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["url", "label"])
        writer.writerows([url, "only avif" if "alone" in name else LABELS[at % 5]] for at, (name, url) in enumerate(urls.items()))
    return urls


def test_every_row_of_every_export_loads(listed: dict[str, str], invoke: Invoke, tmp_path: Path) -> None:
    """No file is lost, unseen or in two splits; each loads at the size of its row; what was changed is said."""
    build = ["build", "--urls", tmp_path / "list.csv", "-o", "out", "-f", "imagefolder", "--dedupe", "none", "--level", "basic"]
    built = invoke(*build, "--split", "train=0.7,test=0.3", "--json", *LOOPBACK)
    assert built.json["funnel"]["kept"] == len(listed), built.err
    dataset = invoke("datasets", "ls", "-q").out.strip()
    for name in ("files", "webdataset", "parquet", "tfrecord"):
        assert invoke("datasets", "export", dataset, "-f", name, "-o", name).code == 0
    for where in ("out", "files", "webdataset", "parquet", "tfrecord"):
        assert (verified := invoke("datasets", "verify", where, "--json")).code == 0, verified.out

    out = Path("out")
    for splits in (loaders.splits_by_name(out), loaders.splits_by_card(out)):
        assert set(splits) == {"train", "test"}
        rows = {split: list(loaders.imagefolder_rows(files)) for split, files in splits.items()}
        assert sorted(row["url"] for found in rows.values() for row, _ in found) == sorted(listed.values())
        for split, found in rows.items():
            for row, body in found:
                assert row["split"] == split
                assert loaders.hugging_face_image(body).size == (row["width"], row["height"]), row
    changes = {row["url"]: row["changes"] for found in rows.values() for row, _ in found}
    assert {name for name, url in listed.items() if changes[url].startswith("removed ")} == set(BROKEN)
    assert changes[listed["animated gif"]].endswith("the first of 3 frames")
    assert {name for name, url in listed.items() if "converted from image/" in changes[url]} == {
        name for name in listed if "avif" in name or "gif" in name or "heic" in name
    }

    seen = [sample for split in ("train", "test") for sample in loaders.torchvision_samples(out / split)]
    assert len(seen) == len(listed)
    assert {name for name, _ in seen} == set(json.loads((out / "manifest.json").read_text())["class_folders"].values())
    for _, path in seen:
        assert loaders.pil_loader(path.read_bytes()).mode == "RGB"

    assert "to image/jpeg" in changes[listed["heic"]]
    metadata = [json.loads(line) for line in Path("files/metadata.jsonl").read_text().splitlines()]
    assert len(metadata) == len(listed)
    for row in metadata:
        assert loaders.hugging_face_image((Path("files") / row["file_name"]).read_bytes()).size == (row["width"], row["height"])

    members = [sample for shard in sorted(Path("webdataset").glob("*.tar")) for sample in loaders.webdataset_samples(shard)]
    assert sum(any(isinstance(value, Image.Image) for value in sample.values()) for sample in members) == len(listed)

    rows = [row for shard in sorted(Path("parquet/data").iterdir()) for row in parquet.read_table(shard).to_pylist()]
    assert sorted(row["url"] for row in rows) == sorted(listed.values())
    for row in rows:
        assert loaders.hugging_face_image(row["image"]["bytes"]).size == (row["width"], row["height"])

    records = [record for shard in sorted(Path("tfrecord").glob("*.tfrecord")) for record in tfrecord_loader(str(shard), None)]
    assert sorted(record["url"].decode() for record in records) == sorted(listed.values())
    for record in records:  # what tf.io.decode_image reads, by its first bytes
        wanted = {b"jpeg": b"\xff\xd8\xff", b"png": b"\x89PNG\r\n\x1a\n"}[record["image/format"]]
        assert record["image/encoded"].startswith(wanted)
