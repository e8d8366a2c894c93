"""Every export, loaded row by row by the loaders that it documents, from images that are odd but sound."""

import csv
import json
from pathlib import Path

import pytest
from PIL import Image
from pyarrow import parquet
from pycocotools.coco import COCO
from tfrecord.reader import tfrecord_loader

from app.cli.demo.origin import reply
from tests.cli.conftest import LOOPBACK, Invoke, Site
from tests.exports import loaders
from tests.exports.formats.test_captions import trainer_pairs
from tests.exports.formats.test_labelstudio import results_of, served, tasks_of
from tests.exports.formats.test_yolo import convert_ndjson, torchvision_classes
from tests.images.samples import animation, encode, photo
from tests.images.test_heif import heic
from tests.images.test_metadata import BROKEN, SOUND

pytestmark = pytest.mark.exhaustive

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


def test_every_image_of_every_annotated_export_loads(listed: dict[str, str], invoke: Invoke, tmp_path: Path) -> None:
    """By pycocotools, the rules of Ultralytics and of trainers, and as a browser shows it; with its label and at its size."""
    build = ["build", "--urls", tmp_path / "list.csv", "-o", "coco", "-f", "coco", "--dedupe", "none", "--level", "basic"]
    assert invoke(*build, "--split", "train=0.7,test=0.3", *LOOPBACK).code == 0
    dataset = invoke("datasets", "ls", "-q").out.strip()
    for name in ("yolo", "captions", "labelstudio"):
        assert invoke("datasets", "export", dataset, "-f", name, "-o", name).code == 0
    for name in ("coco", "yolo", "captions", "labelstudio"):
        assert (verified := invoke("datasets", "verify", name, "--json")).code == 0, verified.out

    labels = {row["url"]: row["label"] for row in csv.DictReader((tmp_path / "list.csv").read_text().splitlines())}
    found = {}
    for split in ("train", "test"):
        coco = COCO(f"coco/annotations/labels_{split}.json")
        for entry in coco.loadImgs(coco.getImgIds()):
            (annotation,) = coco.loadAnns(coco.getAnnIds(imgIds=entry["id"]))
            found[entry["coco_url"]] = coco.loadCats(annotation["category_id"])[0]["name"]
            body = Path(f"coco/{split}", entry["file_name"]).read_bytes()
            assert loaders.hugging_face_image(body).size == (entry["width"], entry["height"])
            assert loaders.pil_loader(body).mode == "RGB"
    assert found == labels

    splits = [torchvision_classes(Path("yolo", split)) for split in ("train", "test")]  # one class has a single image
    paths = [path for classes in splits for images in classes.values() for path in images]
    assert len(paths) == len(listed)
    assert all(loaders.pil_loader(path.read_bytes()).mode == "RGB" for path in paths)
    dataset_line, images = convert_ndjson(Path("yolo"))
    numbers = {image["url"]: str(image["annotations"]["classification"][0]) for image in images}
    assert {url: dataset_line["class_names"][number] for url, number in numbers.items()} == {url: labels[url] for url in numbers}
    assert 0 < len(numbers) < len(listed)  # converted ones are other pictures at their URLs

    pairs = [pair for split in ("train", "test") for pair in trainer_pairs(Path("captions", split))]
    assert sorted(lines[0] for _, lines in pairs) == sorted(labels.values())
    assert all(loaders.pil_loader(path.read_bytes()).mode == "RGB" for path, _ in pairs)

    tasks = list(tasks_of(Path("labelstudio")))
    assert {task["data"]["url"]: results_of(task, "choices")[0]["value"]["choices"] for task in tasks} == {
        url: [label] for url, label in labels.items()
    }
    for task in tasks:
        path = served(Path("labelstudio"), task)
        assert loaders.hugging_face_image(path.read_bytes()).size == (task["data"]["width"], task["data"]["height"])
        assert path.suffix in {".jpg", ".png", ".webp", ".gif", ".bmp", ".avif"}
