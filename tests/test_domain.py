"""Tests of app.domain: the vocabulary is closed, its words are contract, and its values say what they are."""

import re
from enum import StrEnum

import pytest

from app import domain
from app.domain import EXTENSIONS, MEDIA_TYPES, ImageState, Reason, Verdict
from app.exports.exporter import VerifyReport
from app.job_states import ACTIVE_JOB_STATES, FINAL_JOB_STATES, JobKind, JobState, UnitKind, UnitState
from app.review_actions import ReviewAction, Reviewed
from app.rules import CompressionRules, ValidationRules

WORDS = {
    JobKind: "build export verify integrity duplicates validation",
    JobState: "pending planning running paused finalizing succeeded partial failed cancelled",
    UnitState: "pending queued running done dead cancelled quarantined",
    UnitKind: "plan keywords search fetch compress labels export finalize validate duplicates integrity verify publish",
    Reviewed: "keep reject replaced relabel changed",
    ReviewAction: "keep reject relabel keep_instead split_group undo",
    ImageState: "spare pending fetched valid kept failed rejected duplicate deferred tombstoned",
}


@pytest.mark.parametrize(("enum", "words"), WORDS.items())
def test_the_words_are_contract(enum: type[StrEnum], words: str) -> None:
    """The same words stand in the database, the API, the command line, logs and metrics; none may change."""
    assert [member.value for member in enum] == words.split()


@pytest.mark.parametrize("enum", [*WORDS, Reason])
def test_every_word_is_a_slug_that_its_column_holds(enum: type[StrEnum]) -> None:
    """Lower case, letters, digits and underscores, at most 24 characters."""
    assert all(re.fullmatch("[a-z][a-z0-9_]{0,23}", member.value) for member in enum)


def test_a_job_is_active_or_final() -> None:
    """Each state is one of the two."""
    assert set(JobState) == FINAL_JOB_STATES | ACTIVE_JOB_STATES
    assert not FINAL_JOB_STATES & ACTIVE_JOB_STATES
    assert {state.value for state in FINAL_JOB_STATES} == {"succeeded", "partial", "failed", "cancelled"}


def test_each_kind_of_unit_has_its_queue() -> None:
    """What reads hostile bytes or whole datasets goes to the validators."""
    queues = {kind.value: kind.queue for kind in UnitKind}
    assert {kind for kind, queue in queues.items() if queue == "validator"} == {"validate", "duplicates", "integrity", "verify"}
    assert set(queues.values()) == {"validator", "builder"}


def test_media_types_and_extensions_fit_together() -> None:
    """One of each for every format that validation takes."""
    assert set(MEDIA_TYPES) == set(ValidationRules().formats)
    assert set(EXTENSIONS) == set(MEDIA_TYPES.values())
    assert (EXTENSIONS["image/jpeg"], EXTENSIONS["image/png"]) == ("jpg", "png")


@pytest.mark.parametrize(
    ("rules", "is_identity"),
    [
        (CompressionRules(), True),
        (CompressionRules(level=10, size=9), True),
        (CompressionRules(format="jpeg"), False),
        (CompressionRules(resize="border"), False),
    ],
)
def test_rules_that_change_nothing_are_the_identity(rules: CompressionRules, is_identity: bool) -> None:
    """Bytes leave as they came only if neither encoding nor size may change."""
    assert rules.is_identity is is_identity


def test_a_report_without_problems_is_good() -> None:
    """Of however many samples."""
    assert VerifyReport(0).is_good
    assert not VerifyReport(3, ("sample 1 is cut",)).is_good


def test_bytes_stay_out_of_what_is_printed() -> None:
    """A log line with a verdict in it is no image."""
    assert "RIFF" not in repr(Verdict(thumbnail=b"RIFF"))
    assert "JFIF" not in repr(domain.Compressed(b"JFIF", "jpeg", 1, 1))
