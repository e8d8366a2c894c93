"""An image's story in words: what a whole job seldom shows at once."""

from dataclasses import replace
from typing import Any

from app.db.rows import Dataset, Event, Export, Job
from app.domain import ImageState, JobKind, JobState, Reason, StoredImage, ValidationRules
from app.explain.images import ImageStory, Try
from app.explain.telling import image_lines, verdict_words
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


def story(image: dict[str, Any], **facts: Any) -> ImageStory:
    """The story of an image with these values."""
    empty: dict[str, Any] = {"search": None, "tries": (), "happened": (), "checks": (), "duplicate": None, "exports": ()}
    return ImageStory(
        image=replace(IMAGE, **image), job=JOB, dataset=Dataset("ds_1", "local", "birds", 0.0), rules=ValidationRules(), **empty | facts
    )


def told(image: dict[str, Any], **facts: Any) -> dict[str, str]:
    """The words by their topic."""
    return {line.topic: line.words for line in image_lines(story(image, **facts))}


def test_an_image_that_waits_tells_what_for() -> None:
    """Pending, or deferred with how long it has been put off; no request is no refusal."""
    assert verdict_words(IMAGE) == "pending: not fetched yet"
    deferred = {"state": ImageState.DEFERRED, "reason": Reason.RATE_LIMITED, "not_before": 1090.0, "deferred_at": 1000.0}
    assert verdict_words(replace(IMAGE, **deferred)) == "deferred: rate_limited, to be fetched later"
    words = told(deferred)
    assert (words["requests"], words["deferred"]) == ("none yet", "not asked again before its time, first put off 1m30s before that")
    assert told({})["found"] == "by wikimedia, rank 4"
    assert told(deferred | {"deferred_at": None})["deferred"] == "not asked again before its time"


def test_what_was_decided_of_the_dataset_is_told() -> None:
    """A licence that was not asked for, a target that was met, an original that is gone."""
    licence = told({"state": ImageState.REJECTED, "reason": Reason.LICENCE, "license": "CC-BY-NC-4.0", "attribution": "J. \x1b[1mDoe"})
    assert licence["licence"] == "not accepted: not one that was asked for"
    over = told({"state": ImageState.REJECTED, "reason": Reason.OVER_TARGET, "detail": "valid, but the target was already met"})
    assert over["target"] == "of 10: searches take turns, each in its source's order, and it ranked 4"
    assert told({"state": ImageState.DUPLICATE, "duplicate_of": 3})["duplicate"] == "of image 3, which is gone"


def test_how_it_left_is_told() -> None:
    """Compressed to what, and with which exports; a redirect on the way; a digest that was promised."""
    out = {"out_sha256": "b" * 64, "out_media_type": "image/webp", "out_size_bytes": 900, "out_width": 256, "out_height": 192}
    digest = {"sha256": "a" * 64, "expected_sha256": "a" * 64, "final_url": "http://cdn/a.jpg", "page_url": "http://h/page"}
    export = Export("exp_1", "local", "ds_1", "job_1", "files", "standard", "ready", "p", 1, 1, None, None, None, 5.0, 6.0)
    words = told({"state": ImageState.KEPT} | out | digest, exports=(export,))
    assert words["compressed"] == f"256x192 image/webp, 900 B, sha256 {'b' * 64}"
    assert words["bytes"] == f"0 B of an unknown type, sha256 {'a' * 64}, as the list promised"
    assert (words["export"], words["redirect"], words["page"]) == ("exp_1, files", "http://cdn/a.jpg", "http://h/page")


def test_requests_of_an_earlier_job_are_told_apart() -> None:
    """A retry of the dataset gave the image to another job; a crash of its worker is part of the story."""
    tries = (Try("job_0", "lost", Attempt(1, 1.0, 0.0)), Try("job_1", "done", Attempt(1, 9.0, 0.5, 404, "NotFoundError")))
    crash = Event(1, "job_1", 5.0, "WARNING", "unit.taken_back", {"crashes": 1})
    other = Event(2, "job_1", 5.0, "ERROR", "image.poison", {"image_id": 8})
    lines = image_lines(story({"state": ImageState.FAILED, "reason": Reason.HTTP_404}, tries=tries, happened=(crash, other)))
    requests = [line.words for line in lines if line.topic == "request"]
    assert requests[0].endswith("no outcome: the process died meanwhile, for job job_0")
    assert requests[1].endswith("404 NotFoundError in 0.50s, gave up")
    assert [line.words for line in lines if line.topic == "unit"] == ["work: its worker fell silent (crash 1): the unit was taken back"]
    assert not [line for line in lines if line.topic == "poison"]


def test_words_of_strangers_cannot_forge_a_line() -> None:
    """Whatever a list or a site wrote."""
    evil = "x\n  kept: it is in the dataset\x1b[2J"
    values = {"license": evil, "creator": evil, "attribution": evil, "page_url": evil, "final_url": evil, "evidence": evil, "source": evil}
    lines = image_lines(story({"state": ImageState.KEPT, "label": evil, "split": evil, "robots": evil, "opt_out": evil} | values))
    assert all(line.words.isprintable() for line in lines)
