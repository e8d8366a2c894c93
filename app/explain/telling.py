"""An image's story in words, line by line. Pure; whatever a site or a list wrote comes out printable and clipped."""

from collections.abc import Iterator

from app.domain import ImageState, Reason, StoredImage
from app.explain.evidence import evidence_words, opt_out_words, robots_words
from app.explain.happenings import happening_line
from app.explain.images import ImageStory, Try
from app.explain.lines import Line
from app.explain.requests import attempt_lines
from app.formatting import clipped, duration, size
from downloader.models import OptOutVerdict

__all__ = ["image_lines", "verdict_words"]

_STANDS = {
    ImageState.PENDING: "not fetched yet",
    ImageState.FETCHED: "its bytes are here, not judged yet",
    ImageState.VALID: "it passed its checks; duplicates and labels are still to come",
    ImageState.KEPT: "it is in the dataset",
    ImageState.DEFERRED: "to be fetched later",
}


def verdict_words(image: StoredImage) -> str:
    """``failed: http_404, the origin answered 404``."""
    words = f"{image.state.value}: {image.reason.value}" if image.reason else image.state.value
    if image.detail:
        return f"{words}, {clipped(image.detail, 300)}"
    stands = _STANDS.get(image.state)
    return f"{words}: {stands}" if stands and not image.reason else f"{words}, {stands}" if stands else words


def image_lines(story: ImageStory) -> list[Line]:
    """Everything, in the order in which it happened."""
    return [
        *_found(story),
        *_licence(story.image),
        *_robots(story),
        *_requests(story),
        *_happened(story),
        *_bytes(story.image),
        *_checks(story),
        *_decided(story),
        *_left(story),
        *_others(story),
    ]


def _found(story: ImageStory) -> Iterator[Line]:
    image = story.image
    yield Line("found", _source_words(story))
    if image.page_url:
        yield Line("page", clipped(image.page_url, 300))
    chunk = f", {image.chunk_id}" if image.chunk_id else ""
    yield Line("part of", f"image {image.id} of {clipped(story.dataset.name, 60)}, job {image.job_id}{chunk}")


def _source_words(story: ImageStory) -> str:
    image = story.image
    searched = f" {clipped(story.search.keyword, 80)}" if story.search else ""
    if image.line:
        return f"by {clipped(image.source, 40)}{searched}, line {image.line}"
    return f"by {clipped(image.source, 40)}{f', searching{searched}' if searched else ''}, rank {image.rank}"


def _licence(image: StoredImage) -> Iterator[Line]:
    if image.license or image.creator or image.attribution:
        words = [clipped(image.license or "licence unknown", 80), clipped(image.creator or "creator unknown", 80)]
        words += [f"credit: {clipped(image.attribution, 200)}"] if image.attribution else []
        yield Line("licence", ", ".join(words))
    if image.reason is Reason.LICENCE:
        yield Line("licence", f"not accepted: {clipped(image.detail or 'not one that was asked for', 200)}")


def _robots(story: ImageStory) -> Iterator[Line]:
    image = story.image
    if image.robots:
        yield Line("robots.txt", robots_words(image.robots, image.final_url or image.url))
    if image.evidence:
        yield Line("evidence", evidence_words(image.reason, image.evidence))


def _requests(story: ImageStory) -> Iterator[Line]:
    if not story.tries and story.image.state is not ImageState.PENDING:
        yield Line("requests", "none yet" if story.image.state is ImageState.DEFERRED else "none: it ended before any was sent")
    for job_id in dict.fromkeys(made.job_id for made in story.tries):
        tries = [made for made in story.tries if made.job_id == job_id]
        yield from _of_one_job(story.image, tries, is_another=job_id != story.image.job_id)
    if story.image.opt_out and story.image.opt_out != OptOutVerdict.NOT_READ:
        yield Line("opt-out", opt_out_words(story.image.opt_out))


def _of_one_job(image: StoredImage, tries: list[Try], *, is_another: bool) -> Iterator[Line]:
    ended = "" if is_another else _ended(image)
    of = f", for job {tries[0].job_id}" if is_another else ""
    lines = attempt_lines([(made.state, made.attempt) for made in tries], ended=ended)
    for made, words in zip(tries, lines, strict=True):
        yield Line("request", words + of, made.attempt.started_at or None)


def _ended(image: StoredImage) -> str:
    if image.state is ImageState.FAILED:
        return "gave up"
    return "asked to come back later" if image.state is ImageState.DEFERRED else ""


def _happened(story: ImageStory) -> Iterator[Line]:
    yield from filter(None, (happening_line(event, story.image.id) for event in story.happened))
    image = story.image
    if image.state is ImageState.DEFERRED and image.not_before:
        waited = f", first put off {duration(max(0.0, image.not_before - image.deferred_at))} before that" if image.deferred_at else ""
        yield Line("deferred", f"not asked again before its time{waited}", image.not_before)


def _bytes(image: StoredImage) -> Iterator[Line]:
    if image.final_url and image.final_url != image.url:
        yield Line("redirect", clipped(image.final_url, 300))
    if image.sha256:
        promised = ", as the list promised" if image.expected_sha256 == image.sha256 else ""
        words = f"{size(image.size_bytes or 0)} {clipped(image.media_type or 'of an unknown type', 40)}, sha256 {image.sha256}{promised}"
        yield Line("bytes", words, image.fetched_at)


def _checks(story: ImageStory) -> Iterator[Line]:
    if story.checks:
        yield Line("level", story.rules.level)
        yield from (Line("check", check.words()) for check in story.checks)
    elif story.image.state is ImageState.FAILED:
        yield Line("checks", "none reached: there are no bytes")


def _decided(story: ImageStory) -> Iterator[Line]:
    image = story.image
    if story.duplicate is not None:
        yield Line("duplicate", story.duplicate.words())
    elif image.state is ImageState.DUPLICATE:
        yield Line("duplicate", f"of image {image.duplicate_of}, which is gone")
    if image.reason is Reason.OVER_TARGET:
        yield Line("target", f"of {story.job.target}: searches take turns, each in its source's order, and it ranked {image.rank}")
    if image.state is ImageState.KEPT:
        yield Line("label", f"{clipped(image.label or 'none', 100)}, split {clipped(image.split or 'none', 32)}")


def _left(story: ImageStory) -> Iterator[Line]:
    image = story.image
    if image.out_sha256:
        shape = f"{image.out_width}x{image.out_height} {clipped(image.out_media_type or '', 40)}, {size(image.out_size_bytes or 0)}"
        yield Line("compressed", f"{shape}, sha256 {image.out_sha256}")
    for export in story.exports:
        yield Line("export", f"{export.id}, {clipped(export.format, 24)}", export.verified_at)


def _others(story: ImageStory) -> Iterator[Line]:
    for other in story.others:
        same = "" if other.url == story.image.url else f", {clipped(other.url, 200)}"
        yield Line("also", f"image {other.id} of dataset {other.dataset_id}, job {other.job_id}: {verdict_words(other)}{same}")
