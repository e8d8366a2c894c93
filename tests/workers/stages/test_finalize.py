"""What comes after the last open unit is a pure decision."""

import pytest

from app.db.funnel import Funnel, LabelCount, SourceCount
from app.db.rows import Search
from app.domain import ImageState, Reason
from app.job_states import JobKind, JobState
from app.rules import CompressionRules
from app.spec import JobSpec
from workers.stages.finalize import MAX_CLASSES, next_step, plan_end, short_classes, short_labels


def funnel(kept: int = 0, valid: int = 0, failed: int = 0) -> Funnel:
    """Counts of one source."""
    return Funnel(
        (
            SourceCount("list", ImageState.KEPT, None, kept),
            SourceCount("list", ImageState.VALID, None, valid),
            SourceCount("list", ImageState.FAILED, Reason.HTTP_404, failed),
        )
    )


def search(*, is_exhausted: bool, note: str | None = None) -> Search:
    """A search of a source."""
    return Search("srch_1", "job_1", "wikimedia", "cat", "cat", None, is_exhausted, 10, 10, 0, note)


@pytest.mark.parametrize(
    ("kind", "stage", "kept", "expected"),
    [
        (JobKind.BUILD, None, 0, "duplicates"),
        (JobKind.BUILD, "duplicates", 0, "labels"),
        (JobKind.BUILD, "labels", 5, "export"),
        (JobKind.BUILD, "labels", 0, "end"),
        (JobKind.BUILD, "compress", 5, "export"),
        (JobKind.BUILD, "export", 5, "end"),
        (JobKind.VALIDATION, None, 0, "duplicates"),
        (JobKind.VALIDATION, "duplicates", 0, "labels"),
        (JobKind.VALIDATION, "labels", 0, "end"),
        (JobKind.EXPORT, None, 0, "end"),
        (JobKind.INTEGRITY, None, 0, "end"),
    ],
)
def test_stages_follow_in_order(kind: JobKind, stage: str | None, kept: int, expected: str) -> None:
    """Each stage has one successor; an export of nothing is not begun."""
    assert next_step(kind, stage, JobSpec(), funnel=funnel(kept=kept)) == expected


def test_compression_is_a_stage_only_where_something_changes() -> None:
    """Bytes that leave as they came skip it."""
    spec = JobSpec(compression=CompressionRules(format="webp"))
    assert next_step(JobKind.BUILD, "labels", spec, funnel=funnel(kept=1)) == "compress"
    assert next_step(JobKind.BUILD, "labels", JobSpec(), funnel=funnel(kept=1)) == "export"


@pytest.mark.parametrize(
    ("kind", "stage", "expected"),
    [(JobKind.BUILD, "duplicates", "more"), (JobKind.BUILD, None, "duplicates"), (JobKind.BUILD, "labels", "export")],
)
def test_a_round_follows_once_duplicates_are_known(kind: JobKind, stage: str | None, expected: str) -> None:
    """Not before, since the images that remain count; not after, since the dataset is being made."""
    assert next_step(kind, stage, JobSpec(max_images=5), funnel=funnel(kept=3), wants_more=True) == expected


def test_a_dead_unit_ends_the_job() -> None:
    """What died is reported at once; a revival goes on from there."""
    assert next_step(JobKind.BUILD, None, JobSpec(), funnel=funnel(), has_dead=True) == "end"


@pytest.mark.parametrize(
    ("spec", "kept", "dead", "state"),
    [
        (JobSpec(), 5, [], JobState.SUCCEEDED),
        (JobSpec(max_images=5), 5, [], JobState.SUCCEEDED),
        (JobSpec(max_images=6), 5, [], JobState.PARTIAL),
        (JobSpec(min_images=6), 5, [], JobState.PARTIAL),
        (JobSpec(), 0, [], JobState.FAILED),
        (JobSpec(), 5, ["LookupError: x"], JobState.FAILED),
    ],
)
def test_the_end_is_told_by_what_was_kept(spec: JobSpec, kept: int, dead: list[str], state: JobState) -> None:
    """Succeeded, partial or failed."""
    assert plan_end(spec, funnel(kept=kept), [], rounds=0, max_rounds=20, dead=dead).state is state


KEPT, FAILED, REJECTED, DUPLICATE = ImageState.KEPT, ImageState.FAILED, ImageState.REJECTED, ImageState.DUPLICATE


def test_classes_that_end_empty_or_short_are_named() -> None:
    """Empty ones first, with the reasons; half of a class is enough, what was over the target or cancelled is not missing, and whoever
    has some of that lacks nothing.
    """
    counts = [
        LabelCount("cat", None, KEPT, None, 5), LabelCount("cat", None, REJECTED, Reason.LABEL_CONFLICT, 5),
        LabelCount("dog", None, REJECTED, Reason.LABEL_CONFLICT, 5), LabelCount("dog", None, FAILED, Reason.HTTP_404, 7),
        LabelCount(None, "srch_owl", KEPT, None, 1), LabelCount(None, "srch_owl", DUPLICATE, Reason.DUPLICATE_NEAR, 2),
        LabelCount("owl", "srch_owl", KEPT, Reason.LABEL_CONFLICT, 1), LabelCount("owl", None, FAILED, Reason.TIMEOUT, 1),
        LabelCount("elk", None, KEPT, None, 1), LabelCount("elk", None, REJECTED, Reason.OVER_TARGET, 90),
        LabelCount("elk", None, FAILED, Reason.CANCELLED, 90), LabelCount("elk", None, ImageState.SPARE, Reason.NOT_REQUESTED, 90),
        LabelCount("ant", None, ImageState.VALID, None, 3),
        LabelCount("fox", None, KEPT, None, 2), LabelCount("fox", None, REJECTED, Reason.LICENCE, 9),
        LabelCount("fox", None, ImageState.SPARE, Reason.NOT_REQUESTED, 4),
        LabelCount("bee", None, REJECTED, Reason.LICENCE, 1), LabelCount("bee", None, ImageState.SPARE, Reason.NOT_REQUESTED, 4),
        LabelCount(None, "srch_list", FAILED, Reason.HTTP_404, 50),
    ]  # fmt: skip
    searches = {"srch_owl": "owl", "srch_list": None}
    assert short_classes(counts, searches, None) == [
        {"label": "dog", "candidates": 12, "kept": 0, "reasons": {"http_404": 7, "label_conflict": 5}},
        {"label": "ant", "candidates": 3, "kept": 0, "reasons": {"valid": 3}},
        {"label": "bee", "candidates": 1, "kept": 0, "reasons": {"licence": 1}},
        {"label": "owl", "candidates": 5, "kept": 2, "reasons": {"duplicate_near": 2, "timeout": 1}},
    ]
    (all_of_it,) = short_classes([item for item in counts if item.label not in ("elk", "fox", "bee")], searches, "animal")
    assert (all_of_it["label"], all_of_it["kept"]) == ("animal", 7)
    many = [LabelCount(f"class {n}", None, FAILED, Reason.HTTP_404, 1) for n in range(MAX_CLASSES + 9)]
    assert len(short_classes(many, {}, None)) == MAX_CLASSES


def test_a_dataset_without_labels_has_too_few_of_each() -> None:
    """A minimum of each label is not met by having none; without a minimum nothing is short."""
    counts = [LabelCount(None, "srch_list", KEPT, None, 50)]
    labels = short_labels(counts, {"srch_list": None}, JobSpec(min_images_per_label=4))
    assert labels == [{"label": None, "kept": 0, "wanted": 4}]
    ending = plan_end(JobSpec(), Funnel((SourceCount("list", KEPT, None, 50),)), [], rounds=0, max_rounds=20, dead=[], labels=labels)
    assert ending.state is JobState.PARTIAL
    assert ending.shortfall == {"missing": 0, "causes": ["no image has a label, 4 wanted of each"], "labels": labels}
    assert short_labels(counts, {"srch_list": None}, JobSpec()) == []


def test_labels_below_the_minimum_are_named() -> None:
    """Also one of a search that found nothing, or whose images were all dropped; the label of the job is the only one."""
    counts = [
        LabelCount("cat", None, KEPT, None, 5), LabelCount(None, "srch_owl", KEPT, None, 1), LabelCount("owl", None, KEPT, None, 2),
        LabelCount("dog", None, FAILED, Reason.HTTP_404, 7), LabelCount(None, None, KEPT, None, 50),
    ]  # fmt: skip
    searches = {"srch_owl": "owl", "srch_elk": "elk", "srch_list": None}
    assert short_labels(counts, searches, JobSpec(min_images_per_label=4)) == [
        {"label": "dog", "kept": 0, "wanted": 4}, {"label": "elk", "kept": 0, "wanted": 4}, {"label": "owl", "kept": 3, "wanted": 4}
    ]  # fmt: skip
    assert short_labels(counts, searches, JobSpec()) == []
    (one,) = short_labels(counts, searches, JobSpec(label="animal", min_images_per_label=59))
    assert one == {"label": "animal", "kept": 58, "wanted": 59}
    labels = [{"label": f"class {number}", "kept": 0, "wanted": 4} for number in range(7)]
    enough = Funnel((SourceCount("list", KEPT, None, 5), SourceCount("list", FAILED, Reason.HTTP_404, 9)))
    ending = plan_end(JobSpec(max_images=5), enough, [], rounds=0, max_rounds=20, dead=[], labels=labels)
    assert (ending.state, ending.shortfall) == (
        JobState.PARTIAL,
        {
            "missing": 0,
            "causes": [*(f"label class {number}: 0 kept, 4 wanted" for number in range(5)), "and 2 more labels"],
            "labels": labels,
        },
    )


def test_a_shortfall_names_its_causes() -> None:
    """What is missing, which source had a problem, and what the images failed for."""
    ending = plan_end(
        JobSpec(max_images=9),
        funnel(kept=2, failed=3),
        [search(is_exhausted=True, note="RateLimitError"), search(is_exhausted=True)],
        rounds=20,
        max_rounds=20,
        dead=[],
    )
    assert ending.shortfall is not None
    assert ending.shortfall["missing"] == 7
    text = " ".join(ending.shortfall["causes"])
    assert all(word in text for word in ("RateLimitError", "every source was searched to its end", "20 times", "http_404: 3"))


def test_an_unmet_minimum_is_a_cause_and_data() -> None:
    """Of the target is said how much is missing; a minimum that is met is not named."""
    few = Funnel((SourceCount("list", KEPT, None, 4),))
    short = plan_end(JobSpec(max_images=30, min_images=10), few, [], rounds=0, max_rounds=20, dead=[])
    assert short.shortfall == {"missing": 26, "causes": ["fewer than --min-images 10: 4 kept"], "min_images": 10}
    met = plan_end(JobSpec(max_images=30, min_images=4), few, [], rounds=0, max_rounds=20, dead=[])
    assert met.shortfall == {"missing": 26, "causes": []}


def test_a_build_that_was_finished_before_it_began_had_nothing() -> None:
    """No search was planned, and a list that was read in part is another case."""
    never = plan_end(JobSpec(), Funnel(()), [], rounds=0, max_rounds=20, dead=[], finished_early=True)
    assert (never.state, never.shortfall) == (JobState.FAILED, {"missing": 0, "causes": ["it was finished before it began, as asked"]})


def test_what_the_target_did_not_need_is_no_cause() -> None:
    """Spare candidates are many, and nothing is wrong with them."""
    spare = (SourceCount("list", ImageState.SPARE, Reason.NOT_REQUESTED, 90), SourceCount("list", REJECTED, Reason.OVER_TARGET, 2))
    counts = Funnel((SourceCount("list", KEPT, None, 5), SourceCount("list", FAILED, Reason.HTTP_404, 1), *spare))
    ending = plan_end(JobSpec(max_images=9), counts, [], rounds=20, max_rounds=20, dead=[])
    assert ending.shortfall == {"missing": 4, "causes": ["the sources were asked 20 times (jobs.max_rounds)", "http_404: 1"]}


def test_what_limits_of_labels_left_out_is_a_cause() -> None:
    """A target that they do not fill has no other."""
    counts = Funnel((SourceCount("list", KEPT, None, 5), SourceCount("list", REJECTED, Reason.OVER_TARGET, 7)))
    ending = plan_end(JobSpec(max_images=9, balance=True), counts, [], rounds=1, max_rounds=20, dead=[])
    assert ending.shortfall == {"missing": 4, "causes": ["over_target: 7, by balance"]}
    both = plan_end(JobSpec(max_images=9, balance=True, max_per_label=3), counts, [], rounds=1, max_rounds=20, dead=[])
    assert both.shortfall is not None
    assert both.shortfall["causes"] == ["over_target: 7, by max_per_label and balance"]


def test_a_source_that_gave_up_is_not_called_exhausted() -> None:
    """Nothing was searched, so nothing is known of what it has."""
    gave_up = [search(is_exhausted=True, note="RateLimitError: refused")]
    ending = plan_end(JobSpec(max_images=9), funnel(kept=0), gave_up, rounds=1, max_rounds=20, dead=[])
    assert ending.shortfall is not None
    assert ending.shortfall["causes"][0] == "wikimedia: RateLimitError: refused"
    assert "exhausted" not in " ".join(ending.shortfall["causes"])


@pytest.mark.parametrize(("cancelled", "state"), [(0, JobState.SUCCEEDED), (3, JobState.PARTIAL)])
def test_a_build_that_was_finished_early_is_partial_where_that_left_something_out(cancelled: int, state: JobState) -> None:
    """The list of a build without a target has as many images as it has."""
    counts = [SourceCount("list", ImageState.KEPT, None, 2)]
    if cancelled:
        counts.append(SourceCount("list", ImageState.FAILED, Reason.CANCELLED, cancelled))
    cut = Funnel(tuple(counts))
    ending = plan_end(JobSpec(), cut, [], rounds=0, max_rounds=20, dead=[], finished_early=True)
    assert ending.state is state
    causes = ["it was finished with what it had, as asked", "cancelled: 3"]
    assert (ending.shortfall or {"causes": []})["causes"] == (causes if cancelled else [])
