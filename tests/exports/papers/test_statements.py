"""The sentences of the papers say what the figures say, in every case that a build can be in."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from app.exports.exporter import ExportOptions
from app.exports.papers import queries, statements
from app.exports.papers.statements import Statement
from app.exports.provenance import Asked, Provenance
from app.exports.spool import DatasetFacts
from app.images.split_groups import LeakReport
from tests.exports.builders import OPTIONS
from tests.exports.test_provenance import CRAWLER, FACTS


def facts(**values: Any) -> DatasetFacts:
    """Ten images of two classes from two hosts."""
    given: dict[str, Any] = {
        "samples": 10,
        "image_bytes": 1_000,
        "splits": {"test": 2, "train": 8},
        "labels": {"cat": 9, "dog": 1},
        "split_labels": {"test": {"cat": 2}, "train": {"cat": 7, "dog": 1}},
        "columns": (),
        "licenses": {"": 1, "CC-BY-4.0": 9},
        "sources": {"list": 10},
        "extensions": {"jpg": 10},
        "hosts": {"a.example": (9, 900), "b.example": (1, 100)},
    }
    return DatasetFacts(**given | values)


def asked(**values: Any) -> Any:
    """A provenance of a build that was asked for with these values."""
    return replace(FACTS, asked=replace(FACTS.asked, **values))


def options(known: Provenance | None, **values: Any) -> ExportOptions:
    """Options of an export of a version."""
    return replace(OPTIONS, provenance=known, **values)


def texts(found: Sequence[Statement]) -> list[str]:
    """The sentences."""
    return [statement.text for statement in found]


def test_counts_are_in_words_with_their_queries() -> None:
    found = statements.contents(facts(unlabelled=2))
    assert Statement("It holds 10 images of 1 000 bytes.", queries.TOTAL) in found
    assert Statement("2 classes: cat 9, dog 1.", queries.LABELS) in found
    assert Statement("2 images without a label.", queries.LABELS) in found
    assert Statement("Boxes by class: cat 3, dog 1.", queries.BOXES) in statements.contents(facts(boxes={"cat": 3, "dog": 1}))
    assert not any("Boxes" in text for text in texts(found))
    assert "1 class: cat 9." in texts(statements.contents(facts(labels={"cat": 9})))


def test_many_names_are_cut_and_counted() -> None:
    found = statements.contents(facts(labels={f"c{number:02}": 1 for number in range(25)}))
    assert next(text for text in texts(found) if text.startswith("25 classes")).endswith("c19 1 and 5 more.")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"keywords": (), "url_list": "pets.csv"}, "Images of a list of URLs, pets.csv."),
        ({"keywords": (), "pages": ("https://a.example/",)}, "Images of the pages https://a.example/ and of pages that these link to."),
        ({"keywords": (), "folder": "pets"}, "Images of a folder, pets."),
        ({"synonyms": 0}, "Searches for cat, hot dog, in en."),
        ({"synonyms": 1}, "Searches for cat, hot dog, with up to 1 synonym of each, in en."),
        ({"keywords": ()}, "What the build was asked for is not recorded for this version."),
    ],
)
def test_what_was_asked_for(values: dict[str, Any], sentence: str) -> None:
    assert texts(statements.asked_for(asked(**values))) == [sentence]


def test_a_crawler_that_obeyed_nothing_says_so() -> None:
    how = replace(CRAWLER, robots=False, opt_out=False, rate_per_host=0.5, configured_hosts=1)
    found = " ".join(texts(statements.crawler(replace(FACTS, crawler=how))))
    assert "robots.txt was not read" in found
    assert "Opt-outs were not read." in found
    assert "At most 2 requests to a host at a time and 0.5 a second" in found
    assert "Requests to 1 host carried headers or cookies of the operator" in found


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, "Duplicates were removed: equal bytes, and pictures whose perceptual hashes differ by at most 6 of 64 bits."),
        ({"dedupe": "exact"}, "Duplicates of equal bytes were removed."),
        ({"dedupe": "none"}, "Duplicates were not removed."),
    ],
)
def test_duplicates(values: dict[str, Any], sentence: str) -> None:
    assert texts(statements.duplicates(asked(**values))) == [sentence]


@pytest.mark.parametrize(
    ("compression", "sentence"),
    [
        ({"format": "keep", "resize": "none", "level": 95}, "Images have the bytes that came from their origins."),
        ({"format": "jpeg", "resize": "none"}, "Images were encoded anew (format jpeg, resize none)."),
        ({"format": "keep", "resize": "border"}, "Images were encoded anew (format keep, resize border)."),
    ],
)
def test_encoding(compression: dict[str, Any], sentence: str) -> None:
    """As the build made them, or as the export was asked for."""
    assert statements.manipulation(facts(), options(asked(compression=compression))) == [Statement(sentence, queries.SPEC)]
    for_export = options(FACTS, asked={"compression": compression})
    assert statements.manipulation(facts(), for_export) == [Statement(sentence, queries.EXPORTS)]


def test_changed_images_are_pointed_at() -> None:
    (found,) = texts(statements.manipulation(facts(columns=("changes",)), options(FACTS)))
    assert found == "Images have the bytes that came from their origins, save where the column changes says how they differ."


def test_splits_say_what_they_share() -> None:
    leaks = LeakReport(splits={"train": 8, "test": 2}, pairs={"cluster": 0, "creator": 16})
    found = statements.splitting(asked(split_by="cluster,group"), leaks)
    assert texts(found) == [
        "Shares asked for: train 0.8, test 0.2; an image's split is a hash of its group with seed 7.",
        "Asked to stay in one split: near-duplicates, images of one group.",
        "Pairs of images in different splits, by what they share: creator 16, cluster 0.",
    ]
    assert found[-1].behind == "pictrawl datasets leaks :dataset"


def test_a_selection_is_told() -> None:
    """That of the dataset, and that of the export."""
    built = asked(where="width >= 512", max_per_label=1, balance=True)
    assert texts(statements.selection(options(built, asked={"where": "label = cat"}))) == [
        "The dataset holds only images where width >= 512.",
        "The dataset holds at most 1 image of a label.",
        "The dataset holds as many images of every label as of the smallest one.",
        "This export holds only images where label = cat.",
    ]
    assert statements.selection(options(FACTS)) == statements.selection(options(None)) == []


@pytest.mark.parametrize(
    ("values", "origin"),
    [
        ({}, "the keyword that found the image"),
        ({"label": "pet"}, "the label of the job"),
        ({"keywords": ()}, "what the list or folder states"),
    ],
)
def test_where_labels_come_from(values: dict[str, Any], origin: str) -> None:
    assert texts(statements.annotation(facts(), asked(**values)))[0].startswith(f"A label is {origin};")


def test_labels_that_disagree_are_counted() -> None:
    known = replace(FACTS, reasons={"label_conflict": 3})
    found = texts(statements.annotation(facts(has_labels=True), known))
    assert "Labels of an image: at least one image has several labels." in found
    assert "3 images left out because their picture or URL had several labels (rule drop)." in found
    assert texts(statements.annotation(facts(labels={}), FACTS)) == ["Images have no labels."]


def test_biases_are_those_that_are_measured() -> None:
    found = texts(statements.biases(facts(), FACTS))
    assert "Classes are uneven: cat has 9 images, dog 1." in found
    assert "90 % of the images come from one host, a.example." in found
    assert "Images are what searches in en rank first for their keywords, not a random sample." in found
    even = statements.biases(facts(labels={"cat": 5, "dog": 5}, hosts={"": (10, 1_000)}), None)
    assert texts(even) == ["100 % of the images come from one host, a folder."]


def test_limitations_are_those_that_are_measured() -> None:
    found = texts(statements.limitations(facts(), FACTS))
    assert "Split test has no image of 1 class." in found
    assert "No licence is known of 1 image." in found


def test_licences_and_what_was_taken() -> None:
    found = texts(statements.licences(facts(), asked(licenses=(), unknown_licenses="keep")))
    assert found == [
        "Licences: CC-BY-4.0 9, not stated 1.",
        "9 images under licences that ask for credit; see ATTRIBUTION.md.",
        "Taken: every licence; images without a known licence were kept.",
    ]


@pytest.mark.parametrize(
    ("source", "kinds"), [("list", ["Web Scraping"]), ("pages", ["Web Scraping"]), ("folder", ["Others"]), ("wikimedia", ["Web API"])]
)
def test_kinds_of_collection(source: str, kinds: list[str]) -> None:
    assert statements.collection_types(facts(sources={source: 1})) == kinds


def test_an_empty_dataset_has_no_figures_to_tell() -> None:
    empty = facts(samples=0, splits={}, labels={}, split_labels={}, licenses={}, sources={}, extensions={}, hosts={})
    assert statements.collection_types(empty) == ["Others"]
    assert statements.biases(empty, replace(FACTS, asked=Asked())) == []
    assert "Splits: none." in texts(statements.contents(empty))
