"""Every export describes itself as Croissant 1.1 with RAI 1.0: mlcroissant finds no fault in it, and reads the rows and the images."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlcroissant
import pytest
from absl import logging as absl_logging
from etils import epath
from mlcroissant._src.core.context import Context, CroissantVersion
from mlcroissant._src.core.rdf import make_context

from app.exports import formats
from app.exports.papers import croissant
from app.paper_texts import PaperTexts
from tests.exports.builders import OPTIONS, boxes, read_rows, sample, samples, write
from tests.exports.test_provenance import FACTS

pytestmark = [
    pytest.mark.exhaustive,
    pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.reset_index"),
]

FULL = replace(OPTIONS, version="1.2.0", provenance=FACTS, texts=FACTS.texts, shard_samples=1_000)
RAI_1_0 = {
    *("dataCollection", "dataCollectionType", "dataCollectionMissingData", "dataCollectionRawData", "dataCollectionTimeframe"),
    *("dataImputationProtocol", "dataManipulationProtocol", "dataPreprocessingProtocol", "dataAnnotationProtocol"),
    *("dataAnnotationPlatform", "dataAnnotationAnalysis", "dataReleaseMaintenancePlan", "personalSensitiveInformation"),
    *("dataSocialImpact", "dataBiases", "dataLimitations", "dataUseCases"),
    *("annotationsPerItem", "annotatorDemographics", "machineAnnotationTools"),
}
"""The properties of https://docs.mlcommons.org/croissant/docs/croissant-rai-spec.html, version 1.0."""

TABLES = {
    **dict.fromkeys(
        ("files", "captions", "labelstudio", *(name for name in formats.EXPORTERS if name.startswith("yolo"))), "metadata.jsonl"
    ),
    **dict.fromkeys(("imagefolder", "coco"), "*/metadata.jsonl"),
    "jsonl": "images.jsonl",
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """mlcroissant unpacks archives into a folder by their URL, which is the same for every dataset of ours."""
    folder = epath.Path(tmp_path_factory.mktemp("croissant"))
    monkeypatch.setattr("mlcroissant._src.operation_graph.operations.extract.EXTRACT_PATH", folder)


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What mlcroissant warns of besides the issues that it collects."""
    found: list[str] = []
    monkeypatch.setattr(absl_logging, "warning", lambda message, *args: found.append(message % args if args else message))
    return found


def read(folder: Path) -> Any:
    """The JSON."""
    return json.loads((folder / "croissant.json").read_text())


def opened(folder: Path) -> Any:
    """The dataset as mlcroissant opens it; an error of the metadata is raised there."""
    return mlcroissant.Dataset(str(folder / "croissant.json"))


def records(folder: Path, record_set: str) -> list[dict[str, Any]]:
    """The records, by the names of their fields, texts as text."""
    return [{name.partition("/")[2]: _text(value) for name, value in record.items()} for record in opened(folder).records(record_set)]


def _text(value: Any) -> Any:
    if isinstance(value, list):
        return [_text(item) for item in value]
    return value.decode() if isinstance(value, bytes) else value


@pytest.mark.parametrize("options", [OPTIONS, FULL], ids=["bare", "full"])
@pytest.mark.parametrize("name", sorted(formats.EXPORTERS))
async def test_mlcroissant_finds_nothing_wrong(name: str, options: Any, tmp_path: Path, warned: list[str]) -> None:
    await write(name, tmp_path, samples(10), options)
    issues = opened(tmp_path).metadata.ctx.issues
    assert (set(issues.errors), set(issues.warnings), warned) == (set(), set(), [])


@pytest.mark.parametrize("name", sorted(formats.EXPORTERS))
async def test_an_empty_dataset_and_odd_columns_are_described_too(name: str, tmp_path: Path, warned: list[str]) -> None:
    odd = {"a b": 1, "ü/#?": "x", "q\"'<>": True, "n": 0.5, "date": "2024-01-01"}
    for folder, items in (("none", []), ("odd", samples(4, extra=odd, label=None, caption=None)), ("many", samples(3, labels=("a", "b")))):
        await write(name, tmp_path / folder, items, OPTIONS)
        issues = opened(tmp_path / folder).metadata.ctx.issues
        assert (set(issues.errors), set(issues.warnings), warned) == (set(), set(), [])


@pytest.mark.parametrize("name", sorted(TABLES))
async def test_rows_are_read_as_they_stand(name: str, tmp_path: Path) -> None:
    """Each field of every row, numbers as numbers, and what is missing as nothing."""
    await write(name, tmp_path, samples(10), FULL)
    rows = [row for path in sorted(tmp_path.glob(TABLES[name])) for row in read_rows(path)]
    found = records(tmp_path, "rows")
    assert len(found) == 10
    for row, record in zip(rows, found, strict=True):
        assert {column: record[column] for column in row} == row


async def test_rows_of_csv_are_read_as_they_stand(tmp_path: Path) -> None:
    await write("csv", tmp_path, samples(10), FULL)
    found = records(tmp_path, "rows")
    assert [row["url"] for row in found] == [item.url for item in samples(10)]
    assert [(row["label"], row["split"], row["width"]) for row in found] == [(item.label, item.split, item.width) for item in samples(10)]


async def test_boxes_are_read_with_their_classes(tmp_path: Path) -> None:
    items = [sample(number, boxes=boxes(number)) for number in range(6)]
    await write("files", tmp_path, items, FULL)
    for item, record in zip(items, records(tmp_path, "rows"), strict=True):
        assert record["objects.category"] == [box.label for box in item.boxes]
        assert record["objects.bbox"] == [[box.x, box.y, box.width, box.height] for box in item.boxes]


@pytest.mark.parametrize("name", sorted(TABLES.keys() - {"jsonl"}))
async def test_images_come_with_their_label_and_split(name: str, tmp_path: Path) -> None:
    items = samples(10)
    await write(name, tmp_path, items, FULL)
    found = {record["image_name"]: record for record in records(tmp_path, "images")}
    assert len(found) == 10
    for item in items:
        record = found[f"{item.index:06d}_{item.sha256[:12]}.jpg"]
        assert (record["label"], record["split"], record["image"].size) == (item.label, item.split, (item.width, item.height))


async def test_rows_of_parquet_hold_the_image_and_the_number_of_its_class(tmp_path: Path) -> None:
    items = [sample(number, boxes=boxes(number)) for number in range(6)]
    await write("parquet", tmp_path, items, FULL)
    found = {record["url"]: record for record in records(tmp_path, "rows")}
    (labels,) = (node["data"] for node in read(tmp_path)["recordSet"] if node["@id"] == "labels")
    for item in items:
        record = found[item.url]
        assert (record["split"], record["image"].size) == (item.split, (item.width, item.height))
        assert {"labels/name": item.label, "labels/number": record["label"]} in labels
        assert record["objects.category"] == [box.label for box in item.boxes]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # mlcroissant leaves files open
@pytest.mark.filterwarnings("ignore:Python 3.14 will, by default, filter extracted tar:DeprecationWarning")  # mlcroissant's own
async def test_images_of_shards_come_with_their_row(tmp_path: Path) -> None:
    """mlcroissant reads no columns of JSON inside of archives, so the row is one text."""
    items = samples(10)
    await write("webdataset", tmp_path, items, FULL)
    found = {record["key"]: record for record in records(tmp_path, "images")}
    for item in items:
        record = found[f"{item.index:06d}_{item.sha256[:12]}"]
        row = json.loads(record["row"])
        assert (row["label"], row["url"], record["image"].size) == (item.label, item.url, (item.width, item.height))


async def test_files_are_named_with_their_digests(tmp_path: Path) -> None:
    """All but those that are written later, and hold its own digest."""
    await write("webdataset", tmp_path, samples(10), OPTIONS)
    files = {node["contentUrl"]: node["sha256"] for node in read(tmp_path)["distribution"] if node["@type"] == "cr:FileObject"}
    manifest = json.loads((tmp_path / "manifest.json").read_text())["files"]
    assert files == {path: facts["sha256"] for path, facts in manifest.items() if path not in ("croissant.json", "SHA256SUMS")}


async def test_enumerations_hold_splits_and_labels(tmp_path: Path) -> None:
    await write("jsonl", tmp_path, samples(10), OPTIONS)
    sets = {node["@id"]: node for node in read(tmp_path)["recordSet"]}
    assert sets["splits"]["dataType"] == "cr:Split"
    assert sets["splits"]["data"] == [
        {"splits/name": "test", "splits/url": "cr:TestSplit"},
        {"splits/name": "train", "splits/url": "cr:TrainingSplit"},
    ]
    assert [row["labels/name"] for row in sets["labels"]["data"]] == ["Hot Dog", "cat"]
    split = next(field for field in sets["rows"]["field"] if field["name"] == "split")
    assert split["references"] == {"field": {"@id": "splits/name"}}


async def test_the_names_are_those_of_the_rai_specification(tmp_path: Path) -> None:
    """Every property of RAI 1.0 and no other, but for the one that NeurIPS asks for; mlcroissant 1.1.1 misspells two of them."""
    await write("files", tmp_path, samples(10), FULL)
    found = {name.removeprefix("rai:"): value for name, value in read(tmp_path).items() if name.startswith("rai:")}
    assert set(found) == RAI_1_0 | {"hasSyntheticData"}
    assert found["dataCollectionTimeframe"] == ["2023-11-14T21:56:40Z", "2023-11-14T22:11:40Z"]
    assert "Images have the bytes that came from their origins." in found["dataManipulationProtocol"]
    assert found["dataUseCases"] == ["Training."]
    assert found["hasSyntheticData"] is False
    assert all(found[name] for name in RAI_1_0)


async def test_what_croissant_requires_and_recommends_is_there(tmp_path: Path) -> None:
    await write("files", tmp_path, samples(10), FULL)
    found = read(tmp_path)
    assert found["conformsTo"] == ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]
    assert (found["name"], found["version"], found["datePublished"]) == ("Cats & dogs", "1.2.0", "2023-11-14T22:13:20Z")
    assert found["license"] == ["https://creativecommons.org/licenses/by/4.0/"]
    assert found["creator"]["name"] == "Ann"
    assert found["description"] == "Cats, dogs."
    assert found["url"].startswith("urn:uuid:")
    assert found["citeAs"].startswith("@misc{cats-dogs,")
    assert found["keywords"] == ["cat", "hot dog"]
    assert found["prov:wasGeneratedBy"]["prov:startedAtTime"] == "2023-11-14T21:56:40Z"


async def test_what_nobody_knows_is_said_to_be_unknown(tmp_path: Path) -> None:
    await write("files", tmp_path, samples(10), OPTIONS)
    found = read(tmp_path)
    assert found["rai:dataSocialImpact"].startswith("Unknown: no query knows it")
    assert "papers.biases" in found["rai:dataBiases"][0]
    assert "rai:hasSyntheticData" not in found
    assert "rai:dataCollectionTimeframe" not in found
    assert found["creator"]["name"] == "Unknown (setting papers.creator)"


async def test_the_licence_of_the_collection_wins_and_words_stay_words(tmp_path: Path) -> None:
    texts = PaperTexts(license="https://example.org/terms", contact="ann@example.org", url="https://example.org/cats")
    await write("jsonl", tmp_path / "a", samples(2), replace(OPTIONS, texts=texts))
    await write("jsonl", tmp_path / "b", samples(2, license="ask the museum"), OPTIONS)
    await write("jsonl", tmp_path / "c", samples(2, license=None), OPTIONS)
    first, second, third = (read(tmp_path / name) for name in "abc")
    assert (first["license"], first["url"]) == (["https://example.org/terms"], "https://example.org/cats")
    assert first["creator"]["email"] == "ann@example.org"
    assert second["license"] == [{"@type": "sc:CreativeWork", "name": "ask the museum"}]
    assert third["license"] == [{"@type": "sc:CreativeWork", "name": "Not stated by the sources; see ATTRIBUTION.md"}]
    for name in "abc":
        assert not opened(tmp_path / name).metadata.ctx.issues.errors


async def test_a_name_with_a_lone_surrogate_is_written(tmp_path: Path) -> None:
    await write("files", tmp_path, [sample(0, label="\ud800x")], replace(OPTIONS, dataset_name="\ud83d pets"))
    assert read(tmp_path)["name"] == "? pets"


def test_the_context_is_the_one_that_mlcroissant_compares_with() -> None:
    """It warns of each key that is missing."""
    expected = make_context(Context(conforms_to=CroissantVersion.V_1_1))
    assert {key: croissant.CONTEXT.get(key) for key in expected} == expected


def ids(node: Any) -> Iterator[str]:
    """Every ``@id`` that defines something."""
    if isinstance(node, dict):
        if "@id" in node and len(node) > 1:
            yield node["@id"]
        for name, value in node.items():
            if name != "@context":
                yield from ids(value)
    elif isinstance(node, list):
        for item in node:
            yield from ids(item)


@pytest.mark.parametrize("name", sorted(formats.EXPORTERS))
async def test_ids_are_unique_and_without_spaces(name: str, tmp_path: Path) -> None:
    await write(name, tmp_path, samples(4, extra={"a b": 1, "a_b": 2}), OPTIONS)
    found = list(ids(read(tmp_path)))
    assert len(found) == len(set(found))
    assert not [identifier for identifier in found if re.search(r"\s", identifier)]
