"""Tests of app.explain.licences: the ledger of a dataset's licences, and what a choice of them would leave."""

import pytest

from app.db import Database
from app.db.licences import LicenceCount, count_by_licence
from app.discovery.licences.policy import LicencePolicy
from app.domain import ImageState, Reason
from app.explain.licences import Answer, Departure, answer, describe_terms, ledger
from tests.db.builders import add_images, add_job, dataset_of

KEPT = {"state": ImageState.KEPT}


def counted(license: str | None, count: int, *, confidence: str = "asserted", source: str = "list", **values: bool) -> LicenceCount:
    chosen = {"is_contradicted": False, "is_kept": True} | values
    return LicenceCount(license, confidence, source, chosen["is_contradicted"], chosen["is_kept"], count)


COUNTS = [
    counted("CC-BY-4.0", 5),
    counted("CC-BY-4.0", 2, confidence="derived", source="met", is_contradicted=True),
    counted("CC BY 4.0", 1),
    counted("CC-BY-NC-4.0", 3),
    counted("CC-BY-NC-4.0", 9, is_kept=False),
    counted(None, 2, confidence="unknown"),
    counted("ask me", 1, confidence="unknown"),
]


async def test_images_are_counted_by_licence(any_database: Database) -> None:
    """Those that are kept, and those that their licence refused; nothing else, and nothing of another dataset."""
    job_id = await add_job(any_database)
    await add_images(any_database, job_id, 3, changes=KEPT | {"license": "CC0-1.0", "license_confidence": "asserted", "license_note": "x"})
    await add_images(any_database, job_id, 2, first=10, changes=KEPT)
    await add_images(any_database, job_id, 1, first=20, changes={"state": ImageState.REJECTED, "reason": Reason.LICENCE, "license": "ARR"})
    await add_images(any_database, job_id, 1, first=30, changes={"state": ImageState.REJECTED, "reason": Reason.TOO_SMALL, "license": "X"})
    await add_images(any_database, await add_job(any_database), 1, first=40, changes=KEPT)
    assert await count_by_licence(any_database, await dataset_of(any_database, job_id)) == [
        LicenceCount("CC0-1.0", "asserted", "list", True, True, 3),
        LicenceCount(None, "unknown", "list", False, True, 2),
        LicenceCount("ARR", "unknown", "list", False, False, 1),
    ]


def test_ledger_has_a_line_for_each_licence() -> None:
    """Spellings of one licence are one line; what is refused counts beside what is kept; unknown words stand as they are."""
    lines = ledger(COUNTS)
    assert [(line.licence, line.is_known, line.kept, line.refused, line.contradicted) for line in lines] == [
        ("CC-BY-4.0", True, 8, 0, 2),
        ("CC-BY-NC-4.0", True, 3, 9, 0),
        (None, False, 2, 0, 0),
        ("ask me", False, 1, 0, 0),
    ]
    assert lines[0].sources == {"list": 6, "met": 2}
    assert lines[0].confidence == {"asserted": 6, "derived": 2}
    assert ledger([]) == []


def test_answer_tells_what_would_go_and_why() -> None:
    """Of the kept images only; the unknown ones as asked."""
    found = answer(COUNTS, LicencePolicy.of(["commercial"], "drop"))
    assert found.stays == 8
    assert [(gone.licence, gone.count) for gone in found.goes] == [("CC-BY-NC-4.0", 3), (None, 2), ("ask me", 1)]
    assert "commercial" in found.goes[0].why
    assert answer(COUNTS, LicencePolicy.of(["by"], "keep")).stays == 11
    assert answer([counted(None, 4)], LicencePolicy.of(["any"], "keep")) == Answer(4, ())
    assert answer([counted(None, 4)], LicencePolicy.of(["any"], "drop")).goes == (
        Departure(None, 4, "no licence is known, and unknown ones are dropped"),
    )


@pytest.mark.parametrize(
    ("licence", "words"),
    [
        ("CC0-1.0", "nothing asked"),
        ("CC-BY-4.0", "credit"),
        ("CC-BY-NC-SA-4.0", "credit, share alike, no commercial use"),
        ("CC-BY-ND-4.0", "credit, no changes"),
        ("All rights reserved", "no use permitted"),
        ("ask me", "not understood"),
        (None, "not stated"),
    ],
)
def test_terms_in_words(licence: str | None, words: str) -> None:
    """What a licence asks for, in the words of a table."""
    assert describe_terms(licence) == words
