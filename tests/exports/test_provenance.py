"""A provenance survives the database and a lock unchanged, and another form of it is refused by name."""

import json
from dataclasses import replace
from typing import Any

import pytest

import errors
from app.exports.provenance import Asked, Crawler, Provenance, SourceFigures
from app.paper_texts import PaperTexts

CRAWLER = Crawler("pictrawl/0.4.0 (+you@example.org)", robots=True, opt_out=True, attempts=3, per_host=2, rate_per_host=0.0,
                  crawl_delay_max_s=30.0, retry_after_max_s=3600.0)  # fmt: skip
FACTS = Provenance(
    dataset_id="d-1",
    lineage_id="d-0",
    name="Cats & dogs",
    created_at=1_700_000_000.0,
    version="1.2.0",
    previous_version="1.1.3",
    changes={"added": 4, "removed": 0, "changed": 0},
    asked=Asked(
        keywords=("cat", "hot dog"),
        languages=("en",),
        synonyms=2,
        licenses=("open",),
        unknown_licenses="drop",
        checks={"level": "standard", "min_width": 64, "formats": ["jpeg", "png"]},
        compression={"format": "keep", "resize": "none"},
        splits={"train": 0.8, "test": 0.2},
        seed=7,
    ),
    funnel={"candidates": 30, "fetched": 25, "valid": 20, "unique": 12, "kept": 10},
    reasons={"duplicate_near": 8, "http_404": 5, "too_small": 5, "over_target": 2},
    sources=(SourceFigures("openverse", 3, 12, 0), SourceFigures("wikimedia", 4, 18, 10)),
    collected_from=1_699_999_000.0,
    collected_until=1_699_999_900.5,
    crawler=CRAWLER,
    texts=PaperTexts(description="Cats, dogs.", creator="Ann", use_cases=("Training.",), has_synthetic_data=False),
    pictrawl="0.4.0",
)


def test_json_gives_back_the_same_values() -> None:
    assert Provenance.from_json(json.loads(json.dumps(FACTS.to_json()))) == FACTS


def test_what_is_unknown_stays_unknown() -> None:
    facts = replace(FACTS, collected_from=None, collected_until=None, texts=PaperTexts(), previous_version="")
    assert Provenance.from_json(json.loads(json.dumps(facts.to_json()))) == facts


@pytest.mark.parametrize("stated", [2, None, "1"])
def test_another_version_of_the_form_is_named(stated: Any) -> None:
    with pytest.raises(errors.ValidationError, match=r"this pictrawl reads version 1"):
        Provenance.from_json(FACTS.to_json() | {"schema_version": stated})


def test_a_field_that_is_not_known_is_named() -> None:
    with pytest.raises(errors.ValidationError, match=r"provenance: path is not known here"):
        Provenance.from_json(FACTS.to_json() | {"path": "/home/ann"})


def test_a_field_that_is_missing_is_named() -> None:
    values = FACTS.to_json()
    del values["version"]
    with pytest.raises(errors.ValidationError, match=r"provenance: version is required"):
        Provenance.from_json(values)
