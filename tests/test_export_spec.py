"""Tests of app.export_spec: what is recorded of an export, and how people and its manifest see it."""

from app.export_spec import ExportRequest, ExportSpec, describe
from app.paper_texts import PaperTexts
from app.rules import CompressionRules
from app.spec import JobSpec

RULES = CompressionRules("webp", 80, "longest", 512)


def test_a_spec_comes_back_from_the_row_of_its_export() -> None:
    """Format and tier are columns of their own; further formats have rows of their own."""
    spec = ExportSpec(export_format="csv", also=["jsonl"], compression=RULES, where="width > 9", papers=PaperTexts(creator="Ann"))
    assert ExportSpec.of_export("csv", "standard", spec.options) == spec.model_copy(update={"also": []})
    assert spec.formats == ["csv", "jsonl"]


def test_the_export_of_a_build_is_as_the_dataset_is() -> None:
    """What the build compressed is not made again."""
    spec = ExportSpec.of_build(JobSpec(compression=RULES, export_format="webdataset", captions="all", shard_samples=7))
    assert (spec.compression, spec.captions, spec.shard_samples, spec.where) == (None, "all", 7, None)


def test_a_request_takes_rules_as_they_are() -> None:
    """From the command line, which has them parsed."""
    request = ExportRequest(export_format="files", compression=RULES)  # type: ignore[arg-type]
    assert request.compression is not None
    assert request.compression.rules() == RULES


def test_people_and_the_manifest_are_told_what_is_no_default() -> None:
    """In words as the options spell them; the originals too are asked for."""
    plain = ExportSpec(export_format="files", papers=PaperTexts(creator="Ann"))
    assert (plain.asked, describe(plain.options), describe(None)) == ({}, "", "")
    full = ExportSpec(export_format="files", compression=RULES, where="label = cat", max_per_label=5, balance=True, captions="all")
    assert list(full.asked) == ["compression", "captions", "where", "max_per_label", "balance"]
    assert describe(full.options) == "webp:80 longest 512, where label = cat, at most 5 of a label, balanced, all captions"
    originals = ExportSpec(export_format="files", compression=CompressionRules())
    assert (describe(originals.options), originals.asked["compression"]["format"]) == ("keep", "keep")
