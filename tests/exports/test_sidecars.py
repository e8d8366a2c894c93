"""Tests of app.exports.sidecars: credit where it is due, sums that check, a manifest that comes last."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.exports import formats, sidecars
from tests.exports.builders import OPTIONS, sample, samples, tree, write


@pytest.mark.parametrize(
    ("values", "needed"),
    [
        ({"license": "CC-BY-4.0", "creator": None}, True),
        ({"license": "All rights reserved", "creator": None}, True),
        ({"license": "CC0-1.0", "creator": None}, False),
        ({"license": "PDM-1.0", "creator": None}, False),
        ({"license": "Public Domain Mark", "creator": None}, False),
        ({"license": None, "creator": None}, False),
        ({"license": "CC0-1.0", "creator": "Ann"}, True),
        ({"license": None, "creator": None, "attribution": "Photo: Ann"}, True),
    ],
)
def test_needs_attribution(values: dict[str, str | None], needed: bool) -> None:
    """A licence that is not a waiver, or somebody to name."""
    assert sidecars.needs_attribution(sample(0, **values)) is needed


async def test_attribution_has_one_inert_row_for_each_image_that_needs_one(tmp_path: Path) -> None:
    """File, title, creator, licence, page, credit line."""
    items = [
        sample(
            0,
            creator="A | <b>",
            license_url="https://cc.example/by",
            page_url="https://page.example/1",
            title="T\nitle",
            attribution="by A",
        ),
        sample(1, creator=None, license="CC0-1.0"),
    ]
    await write("files", tmp_path / "e", items)
    lines = (tmp_path / "e/ATTRIBUTION.md").read_text().splitlines()
    name = f"images/000000_{items[0].sha256[:12]}.jpg"
    assert lines[4:] == [f"| `{name}` | T itle | A \\| \\<b\\> | CC-BY-4.0 <https://cc.example/by> | <https://page.example/1> | by A |"]


UNKNOWN = "No licence or creator is known for {} {}; that does not mean that none is owed."


@pytest.mark.parametrize(
    ("licences", "last"),
    [
        (("CC0-1.0",), "No image of this dataset requires attribution."),
        ((None, ""), UNKNOWN.format(2, "images of this dataset")),
        ((None, "CC0-1.0"), UNKNOWN.format(1, "images of this dataset")),
        ((None, "CC-BY-4.0"), UNKNOWN.format(1, "images")),
    ],
)
async def test_attribution_says_when_nobody_is_due_credit(tmp_path: Path, licences: Sequence[str | None], last: str) -> None:
    """The file is there all the same, and does not take what is unknown for free."""
    await write("files", tmp_path / "e", [sample(number, creator=None, license=name) for number, name in enumerate(licences)])
    assert (tmp_path / "e/ATTRIBUTION.md").read_text().splitlines()[-1] == last


@pytest.mark.parametrize("name", sorted(formats.EXPORTERS))
async def test_sums_are_those_of_every_file(tmp_path: Path, name: str) -> None:
    """In the form that ``sha256sum -c`` reads; all but the sums and the manifest, which holds theirs."""
    await write(name, tmp_path, samples())
    found = tree(tmp_path)
    lines = dict(reversed(line.split("  ")) for line in found["SHA256SUMS"].decode().splitlines())
    assert lines == {path: hashlib.sha256(body).hexdigest() for path, body in found.items() if path not in ("SHA256SUMS", "manifest.json")}


@pytest.mark.parametrize("name", sorted(formats.EXPORTERS))
async def test_manifest_tells_dataset_counts_and_every_file(tmp_path: Path, name: str) -> None:
    """Sizes and digests of all that is no image; the report says the same."""
    report = await write(name, tmp_path, samples())
    found = tree(tmp_path)
    manifest = json.loads(found.pop("manifest.json"))
    assert manifest["schema_version"] == 1
    assert manifest["format"] == name
    assert manifest["dataset"] == {"id": "d-1", "name": OPTIONS.dataset_name, "version": "1.0.0", "created_at": "2023-11-14T22:13:20+00:00"}
    assert manifest["samples"] == report.samples == 10
    assert manifest["splits"] == report.splits
    assert manifest["labels"] == report.labels
    assert manifest["licenses"] == {"CC-BY-4.0": 10}
    loose = {path: body for path, body in found.items() if not path.endswith((".jpg", ".txt"))}
    assert manifest["files"] == {p: {"size_bytes": len(b), "sha256": hashlib.sha256(b).hexdigest()} for p, b in loose.items()}
    assert report.files == {p: (tmp_path / p).stat().st_size for p in [*loose, "manifest.json"]}
    assert report.size_bytes == sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())


async def test_manifest_is_the_last_file_to_get_its_name(tmp_path: Path) -> None:
    """Where it is, everything is."""
    await write("imagefolder", tmp_path, samples())
    newest = max((path for path in tmp_path.rglob("*") if path.is_file()), key=lambda path: path.stat().st_ctime_ns)
    assert newest.name == "manifest.json"
