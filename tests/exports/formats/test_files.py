"""Tests of app.exports.formats.files: the plainest format, and what its verification notices."""

import json
from pathlib import Path

from tests.exports.builders import SIDECARS, problems, read_rows, reseal, samples, tree, write


async def test_layout(tmp_path: Path) -> None:
    """One folder of images, one row for each, in order, naming its file."""
    items = samples(3)
    await write("files", tmp_path, items)
    found = tree(tmp_path)
    images = [f"images/{number:06d}_{item.sha256[:12]}.jpg" for number, item in enumerate(items)]
    assert set(found) == {*SIDECARS, "metadata.jsonl", *images}
    rows = read_rows(tmp_path / "metadata.jsonl")
    assert [row["file_name"] for row in rows] == images
    assert rows[1] == {
        "file_name": images[1],
        "label": "Hot Dog",
        "split": "train",
        "width": 21,
        "height": 16,
        "size_bytes": items[1].size_bytes,
        "media_type": "image/jpeg",
        "sha256": items[1].sha256,
        "source_sha256": items[1].sha256,
        "source": "wikimedia",
        "url": "https://img.example/1.jpg",
        "caption": "=picture 1",
        "license": "CC-BY-4.0",
        "creator": "Ann",
    }


async def test_the_true_label_stands_in_the_row(tmp_path: Path) -> None:
    """Whatever its slug would be."""
    await write("files", tmp_path, samples(1, label="猫 / ../x"))
    assert read_rows(tmp_path / "metadata.jsonl")[0]["label"] == "猫 / ../x"


async def test_verify_notices_an_image_outside_images(tmp_path: Path) -> None:
    """Even if row and sums agree with it."""
    report = await write("files", tmp_path, samples(1))
    name = read_rows(tmp_path / "metadata.jsonl")[0]["file_name"]
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / name).rename(tmp_path / name.replace("images", "elsewhere"))
    (tmp_path / "images").rmdir()
    for path in ("metadata.jsonl", "SHA256SUMS"):
        (tmp_path / path).write_text((tmp_path / path).read_text().replace("images/", "elsewhere/"))
    reseal(tmp_path)
    assert any("is outside images/" in problem for problem in await problems("files", tmp_path, report))


async def test_verify_notices_a_label_that_was_changed(tmp_path: Path) -> None:
    """Labels are counted again from the rows."""
    report = await write("files", tmp_path, samples(4))
    rows = read_rows(tmp_path / "metadata.jsonl")
    rows[0]["label"] = "dog"
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    reseal(tmp_path)
    assert any(problem.startswith("labels: found") for problem in await problems("files", tmp_path, report))
