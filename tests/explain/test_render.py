"""An image's story in words: what a whole job seldom shows at once."""

from dataclasses import replace
from typing import Any

import pytest

from app.db.rows import Dataset, Event, Export, Job, Review
from app.domain import ImageState, Reason, StoredImage
from app.explain.image import EVENT_NAMES, ImageHistory, RequestRecord
from app.explain.permission import decision_lines, decisions_document
from app.explain.render import attempt_lines, attempt_words, clock, event_line, evidence_words, image_lines, verdict_words
from app.job_states import JobKind, JobState
from app.rules import ValidationRules
from downloader import Decisions, OptOutVerdict, RobotsDecision, RobotsVerdict
from downloader.models import Attempt

IMAGE = StoredImage(7, "ds_1", "job_1", "chunk_1", "http://h/a.jpg", "wikimedia", ImageState.PENDING, rank=4)
JOB = Job(
    "job_1",
    "local",
    "ds_1",
    JobKind.BUILD,
    JobState.RUNNING,
    JobState.RUNNING,
    None,
    {},
    10,
    0,
    0,
    0,
    0,
    None,
    None,
    None,
    None,
    0.0,
    None,
    None,
)


def history(image: dict[str, Any], **facts: Any) -> ImageHistory:
    """The story of an image with these values."""
    empty: dict[str, Any] = {"search": None, "requests": (), "events": (), "checks": (), "duplicate": None, "exports": ()}
    return ImageHistory(
        image=replace(IMAGE, **image),
        job=JOB,
        dataset=Dataset("ds_1", "local", "birds", 0.0, "ds_1"),
        rules=ValidationRules(),
        **empty | facts,
    )


def told(image: dict[str, Any], **facts: Any) -> dict[str, str]:
    """The words by their topic."""
    return {line.topic: line.words for line in image_lines(history(image, **facts))}


def test_an_image_that_waits_tells_what_for() -> None:
    """Pending, or deferred with the time since the first deferral; an image without a request is not shown as refused."""
    assert verdict_words(IMAGE) == "pending: not fetched yet"
    deferred = {"state": ImageState.DEFERRED, "reason": Reason.RATE_LIMITED, "not_before": 1090.0, "deferred_at": 1000.0}
    assert verdict_words(replace(IMAGE, **deferred)) == "deferred: rate_limited, to be fetched later"
    words = told(deferred)
    assert (words["requests"], words["deferred"]) == ("none yet", "not requested again before this time, first deferred 1m30s earlier")
    assert told({})["found"] == "by wikimedia, rank 4"
    assert told(deferred | {"deferred_at": None})["deferred"] == "not requested again before this time"


def test_bytes_that_were_stored_before_are_told() -> None:
    """From which job, when, and whether the origin was asked."""
    stored = {"state": ImageState.KEPT, "reused_from": "job_0", "fetched_at": 1.0}
    words = told(stored | {"reuse": "stored"})
    assert words["reused"] == "no request: the bytes are those that job job_0 fetched at this time"
    assert "requests" not in words
    assert told(stored | {"reuse": "not_modified"})["reused"].startswith("304: the origin confirmed")
    (line,) = [line for line in image_lines(history(stored | {"reuse": "stored"})) if line.topic == "reused"]
    assert line.at == 1.0


def test_what_was_decided_of_the_dataset_is_told() -> None:
    """A target that was met, an original that was deleted."""
    over = told({"state": ImageState.REJECTED, "reason": Reason.OVER_TARGET, "detail": "valid, but the target was already met"})
    assert over["target"] == "of 10: searches take turns, each in its source's order, and it ranked 4"
    limited = {"state": ImageState.REJECTED, "reason": Reason.OVER_TARGET, "detail": "valid, but its label has 3 images without it"}
    assert "target" not in told(limited)
    assert told({"state": ImageState.DUPLICATE, "duplicate_of": 3})["duplicate"] == "of image 3, which was deleted"


def test_captions_and_labels_of_a_list_are_told() -> None:
    """How many there are, and what the labels are."""
    words = told({"state": ImageState.KEPT, "captions": ["a cat", "a dog"], "label": "cat", "labels": ["cat", "dog"]})
    assert words["captions"] == "2 in its list; the first: a cat"
    assert words["labels"] == "2 in its list: cat, dog"


def test_boxes_of_a_list_are_told() -> None:
    """How many there are, and their classes."""
    box = {"x": 1.0, "y": 1.0, "width": 2.0, "height": 2.0}
    words = told({"state": ImageState.KEPT, "boxes": [box | {"label": name} for name in ("dog", "cat", "dog")]})
    assert words["boxes"] == "3 in its list: cat, dog"


def test_further_offers_are_told() -> None:
    """Each source with its licence and its page, or the address that was not requested."""
    offers = [
        {"source": "openverse", "url": "https://o/1.jpg", "page_url": "https://f/1", "license": "CC-BY-2.0"},
        {"source": "gbif", "url": "https://g/1.jpg"},
    ]
    lines = image_lines(history({"state": ImageState.KEPT, "offers": offers}))
    assert [line.words for line in lines if line.topic == "also by"] == [
        "openverse, CC-BY-2.0, https://f/1",
        "gbif, licence unknown, https://g/1.jpg",
    ]


def test_how_it_left_is_told() -> None:
    """Compressed to what, and with which exports; a redirect on the way; a digest that was promised."""
    out = {"out_sha256": "b" * 64, "out_media_type": "image/webp", "out_size_bytes": 900, "out_width": 256, "out_height": 192}
    digest = {"sha256": "a" * 64, "expected_sha256": "a" * 64, "final_url": "http://cdn/a.jpg", "page_url": "http://h/page"}
    export = Export("exp_1", "local", "ds_1", "job_1", "files", "standard", "ready", "p", 1, 1, None, None, None, 5.0, 6.0)
    words = told({"state": ImageState.KEPT} | out | digest, exports=(export,))
    assert words["compressed"] == f"256x192 image/webp, 900 B, sha256 {'b' * 64}"
    mended = told({"state": ImageState.KEPT, "changes": "removed the EXIF block: \x1b[1mgarbage"} | out)
    assert (mended["output"], mended["changed"]) == (words["compressed"], "removed the EXIF block:  [1mgarbage")
    assert words["bytes"] == f"0 B of an unknown type, sha256 {'a' * 64}, as the list states"
    changed = told({"state": ImageState.REJECTED, "reason": Reason.CORRUPT} | digest | {"expected_sha256": "c" * 64})
    assert changed["bytes"] == f"0 B of an unknown type, sha256 {'a' * 64}, not the {'c' * 64} of the list"
    assert (words["export"], words["redirect"], words["page"]) == ("exp_1, files", "http://cdn/a.jpg", "http://h/page")


def test_requests_of_an_earlier_job_are_told_apart() -> None:
    """A retry of the dataset gave the image to another job; a crash of its worker is part of the story."""
    tries = (
        RequestRecord("job_0", "lost", Attempt(1, 1.0, 0.0)),
        RequestRecord("job_1", "done", Attempt(1, 9.0, 0.5, 404, "NotFoundError")),
    )
    crash = Event(1, "job_1", 5.0, "WARNING", "unit.taken_back", {"crashes": 1, "suspects": 6})
    other = Event(2, "job_1", 5.0, "ERROR", "image.poison", {"image_id": 8})
    lines = image_lines(history({"state": ImageState.FAILED, "reason": Reason.HTTP_404}, requests=tries, events=(crash, other)))
    requests = [line.words for line in lines if line.topic == "request"]
    assert requests[0].endswith("no outcome: reserved when its process died, sent or not, for job job_0")
    assert requests[1].endswith("404 NotFoundError in 0.50s, no further attempt")
    words = [line.words for line in lines if line.topic == "unit"]
    assert words == ["work: its worker sent no more heartbeats (crash 1, with 6 images in hand): the unit was reclaimed"]
    assert not [line for line in lines if line.topic == "poison"]


def test_words_of_strangers_cannot_forge_a_line() -> None:
    """Whatever a list or a site wrote."""
    evil = "x\n  kept: it is in the dataset\x1b[2J"
    values: dict[str, Any] = {"offers": [{"source": evil, "url": evil, "license": evil}]}
    values |= {"license": evil, "creator": evil, "attribution": evil, "page_url": evil, "final_url": evil, "evidence": evil, "source": evil}
    lines = image_lines(history({"state": ImageState.KEPT, "label": evil, "split": evil, "robots": evil, "opt_out": evil} | values))
    assert all(line.words.isprintable() for line in lines)


FAILED = Attempt(1, 1000.0, 0.31, 503, "ServiceUnavailableError", wait_s=2.0, wait_cause="backoff")


def test_an_attempt_tells_status_time_wait_and_cause() -> None:
    """And how long it stood in line, where that was long enough to matter."""
    assert attempt_words("done", FAILED) == "503 ServiceUnavailableError in 0.31s, then waited 2.0s (backoff)"
    queued = Attempt(1, 0.0, 0.5, 429, "RateLimitError", wait_s=90.0, wait_cause="retry_after", queued_s=1.24)
    assert attempt_words("done", queued) == "queued 1.2s, 429 RateLimitError in 0.50s, then waited 1m30s (as Retry-After asked)"
    assert attempt_words("done", Attempt(1, 0.0, 0.5, 200, queued_s=0.09)) == "200 in 0.50s"
    assert attempt_words("done", Attempt(1, 0.0, 0.5, wait_s=1.0, wait_cause="")) == "no reply in 0.50s, then waited 1.0s"


def test_lost_and_open_attempts_have_no_outcome() -> None:
    """Said as what they are."""
    assert attempt_words("lost", FAILED) == "no outcome: reserved when its process died, sent or not"
    assert attempt_words("reserved", FAILED) == "in progress"


def test_a_gap_without_a_recorded_wait_is_a_deferral() -> None:
    """The next attempt of a deferred URL belongs to a later run."""
    first = Attempt(1, 1000.0, 0.5, 429, "RateLimitError")
    lines = attempt_lines([("done", first), ("done", Attempt(2, 1601.0, 0.2, 200, queued_s=0.5))], ended="")
    assert lines[0].endswith("429 RateLimitError in 0.50s, then deferred for 10m00s")
    soon = attempt_lines([("done", first), ("done", Attempt(2, 1001.0, 0.2, 200))], ended="no further attempt")
    assert soon[0].endswith("in 0.50s")
    assert soon[1].endswith(", no further attempt")
    assert attempt_lines([], ended="no further attempt") == []


def test_clock_has_milliseconds() -> None:
    """A time that is not known is a dash."""
    assert clock(0.0) == "-"
    assert clock(1000.25).endswith(":40.250")


WHERE = "https://h.test/robots.txt"
GONE = "the origin answered 503 for https://h.test/robots.txt"


@pytest.mark.parametrize(
    ("reason", "evidence", "words"),
    [
        (Reason.ROBOTS, f"{WHERE} line 2, user-agent *: Disallow: /", f"the rule at {WHERE} line 2, user-agent *: Disallow: /"),
        (Reason.OPT_OUT, "tdm-reservation: 1", "the reply's header tdm-reservation: 1"),
        (Reason.OPT_OUT, "http://h.test/robots.txt line 2", "the reservation at http://h.test/robots.txt line 2"),
        (Reason.BLOCKED_ADDRESS, "10.0.0.1", "10.0.0.1, which fetch.allow_networks and fetch.ports do not allow"),
        (Reason.INVALID_URL, "host label '-a'", "the URL's host label '-a'"),
        (Reason.REDIRECT, "scheme 'ftp'", "the scheme 'ftp' of the URL that the redirect leads to"),
        (Reason.HOST_UNAVAILABLE, GONE, f"robots.txt is unreachable, so the whole host is disallowed for now: {GONE}"),
        (Reason.HTTP_404, "{0}{x.y}", "{0}{x.y}"),
        (None, "a\x1b[31mb", "a [31mb"),
    ],
)
def test_evidence_words(reason: Reason | None, evidence: str, words: str) -> None:
    """What the evidence is of, by the reason; whatever it holds, it is only text."""
    assert evidence_words(reason, evidence) == words


@pytest.mark.parametrize(
    ("decisions", "lines"),
    [
        (Decisions(), []),
        (
            Decisions(RobotsVerdict.OFF, (), OptOutVerdict.OFF),
            ["robots.txt  not read: fetch.robots is off", "opt-out     not read: fetch.opt_out is off"],
        ),
        (
            Decisions(RobotsVerdict.UNREACHABLE, (RobotsDecision(WHERE, RobotsVerdict.UNREACHABLE, GONE),)),
            [f"robots.txt  unreachable, {WHERE}: {GONE}"],
        ),
        (
            Decisions(RobotsVerdict.ALLOWED, (RobotsDecision(WHERE, RobotsVerdict.ALLOWED),) * 3, OptOutVerdict.NONE),
            [f"robots.txt  allows it, {WHERE}", "opt-out     none in the reply's headers"],
        ),
    ],
)
def test_decision_lines(decisions: Decisions, lines: list[str]) -> None:
    """One line for each thing that was decided, none for what it did not come to."""
    assert decision_lines(decisions) == lines


def test_every_verdict_has_its_words() -> None:
    """No verdict ends in a KeyError, and each is in the data by its name."""
    for robots in RobotsVerdict:
        for opt_out in OptOutVerdict:
            hops = () if robots in (RobotsVerdict.OFF, RobotsVerdict.NOT_ASKED) else (RobotsDecision(WHERE, robots, "why"),)
            decisions = Decisions(robots, hops, opt_out, None)
            assert isinstance(decision_lines(decisions), list)
            document = decisions_document(decisions)
            assert (document["robots"]["verdict"], document["robots"]["asked"]) == (robots.value, bool(hops))
            assert document["opt_out"]["verdict"] == opt_out.value


def event(name: str, **data: object) -> Event:
    return Event(1, "job_1", 5.0, "WARNING", name, data)


@pytest.mark.parametrize("name", EVENT_NAMES)
def test_every_event_has_words_whatever_it_lacks(name: str) -> None:
    """A line of an older version, or one that was cut: no KeyError, no forged line."""
    line = event_line(event(name, image_id=7, how="\x1b[31m", error="a\nb", job="\x07"), 7)
    assert line is not None
    assert line.at == 5.0
    assert line.words.isprintable()


def test_a_retry_of_the_job_layer_is_told_with_its_cause() -> None:
    """Which of how many, and after what wait."""
    line = event_line(event("job.retry", job="process_chunk", error_type="MemoryError", error="", retry=1, of=3, wait_s=60.0), 7)
    assert line is not None
    assert line.words == "process_chunk: a run failed, MemoryError: next run after 1m00s, retry 1 of 3"


def test_poison_is_told_of_the_image_that_it_was() -> None:
    """Not of its neighbours in the chunk."""
    assert event_line(event("image.poison", image_id=8), 7) is None


def test_what_people_decided_stands_in_the_story() -> None:
    """Who, when, what changed and why; one that was taken back says so, and one from a lock names nobody."""
    out = {"state": "rejected", "label": "dog", "split": None}
    first = Review(
        1, "ds_1", 7, "ann", "rev_1", "reject", "a\nwatermark", {"state": "kept", "label": "cat", "split": "test"}, out, None, 2, 5.0
    )
    second = Review(2, "ds_1", 7, None, None, "keep", None, out | {"reason": "blurry"}, out | {"state": "kept"}, None, None, 6.0)
    lines = [line for line in image_lines(history({"state": ImageState.KEPT}, reviews=(first, second))) if line.topic == "reviewed"]
    assert [line.at for line in lines] == [5.0, 6.0]
    words = "reject by ann: kept -> rejected, label cat -> dog, split test -> none"
    assert lines[0].words == f'{words}; "a watermark", taken back since'
    assert lines[1].words == "keep by a reviewer: rejected (blurry) -> kept"


def test_a_decision_about_other_bytes_says_so() -> None:
    """It does not hold for those that the origin has now."""
    assert "other bytes" in told({"state": ImageState.KEPT, "reviewed": "changed"})["reviewed"]
