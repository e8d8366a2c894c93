"""Explanations as text: an image's history line by line, its requests, and the evidence of a refusal.

Pure. Text from sites and lists is clipped and made printable.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from app.db.funnel import PASSED_FETCH
from app.db.rows import Event, Review
from app.discovery.folders.place import Place
from app.domain import FOLDER_SOURCE, LOCK_SOURCE, ImageState, Reason, Reuse, StoredImage
from app.explain.image import ExplanationLine, ImageHistory, RequestRecord, robots_txt_of
from app.explain.image_licence import licence_lines
from app.formatting import clipped, count, duration, number, size
from app.quotas import TARGET_MET
from app.review_actions import Reviewed
from downloader.models import Attempt, OptOutVerdict, RobotsVerdict
from errors import EVIDENCE_CHARS

__all__ = [
    "attempt_lines",
    "attempt_words",
    "clock",
    "event_line",
    "evidence_words",
    "image_lines",
    "opt_out_words",
    "review_words",
    "robots_words",
    "verdict_words",
]

_STANDS = {
    ImageState.SPARE: "it is fetched only if the target needs it",
    ImageState.PENDING: "not fetched yet",
    ImageState.FETCHED: "stored, not validated yet",
    ImageState.VALID: "it passed its checks; duplicates and labels are decided later",
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


def image_lines(history: ImageHistory) -> list[ExplanationLine]:
    """Return the whole history, in chronological order."""
    return [
        *_found(history),
        *licence_lines(history.image, history.job.spec),
        *_robots(history),
        *_requests(history),
        *_happened(history),
        *_bytes(history.image),
        *_checks(history),
        *_decided(history),
        *_reviewed(history),
        *_left(history),
        *_others(history),
    ]


def _found(history: ImageHistory) -> Iterator[ExplanationLine]:
    image = history.image
    yield ExplanationLine("found", _source_words(history))
    if image.source == FOLDER_SOURCE:
        yield ExplanationLine("file", clipped(_local_words(Place.parse(image.url)), 300))
    if origin := (image.stated or {}).get("url"):
        yield ExplanationLine("origin", clipped(origin, 300))
    if image.page_url:
        yield ExplanationLine("page", clipped(image.page_url, 300))
    for offer in image.offers or ():
        yield ExplanationLine("also by", _offer_words(offer))
    chunk = f", {image.chunk_id}" if image.chunk_id else ""
    yield ExplanationLine("part of", f"image {image.id} of {clipped(history.dataset.name, 60)}, job {image.job_id}{chunk}")


def _offer_words(offer: Mapping[str, Any]) -> str:
    """``openverse, CC-BY-2.0, https://www.flickr.com/photos/a/53``: another source of the same picture, which was not requested."""
    licence = offer.get("license") or "licence unknown"
    return ", ".join(clipped(str(words), 300) for words in (offer["source"], licence, offer.get("page_url") or offer["url"]))


def _local_words(place: Place) -> str:
    if place.member is not None:
        return f"{place.path}, member {place.member}"
    return place.path if place.row is None else f"{place.path}, row {place.row + 1}"


def _source_words(history: ImageHistory) -> str:
    image = history.image
    if history.search and history.search.source == LOCK_SOURCE:
        return f"by {clipped(image.source, 40)}, rebuilt from lock {clipped(history.search.keyword, 80)}, line {image.line}"
    searched = f" {clipped(history.search.keyword, 80)}" if history.search else ""
    if image.line:
        return f"by {clipped(image.source, 40)}{searched}, line {image.line}"
    found = searched if image.source == FOLDER_SOURCE or not searched else f", searching{searched}"
    return f"by {clipped(image.source, 40)}{found}, rank {image.rank}"


def _robots(history: ImageHistory) -> Iterator[ExplanationLine]:
    image = history.image
    if image.robots:
        yield ExplanationLine("robots.txt", robots_words(image.robots, image.final_url or image.url))
    if image.evidence:
        yield ExplanationLine("evidence", evidence_words(image.reason, image.evidence))


def _requests(history: ImageHistory) -> Iterator[ExplanationLine]:
    image = history.image
    if image.reuse is None and not history.requests and image.source != FOLDER_SOURCE and history.image.state is not ImageState.PENDING:
        yield ExplanationLine(
            "requests", "none yet" if history.image.state is ImageState.DEFERRED else "none: it was decided without a request"
        )
    for job_id in dict.fromkeys(made.job_id for made in history.requests):
        tries = [made for made in history.requests if made.job_id == job_id]
        yield from _of_one_job(history.image, tries, is_another=job_id != history.image.job_id)
    if image.reuse:
        words = _REUSE.get(image.reuse, clipped(image.reuse, 24))
        yield ExplanationLine("reused", words.format(job=image.reused_from), image.fetched_at)
    if history.image.opt_out and history.image.opt_out != OptOutVerdict.NOT_READ:
        yield ExplanationLine("opt-out", opt_out_words(history.image.opt_out, history.image.evidence))


_REUSE: Final[dict[str, str]] = {
    Reuse.STORED: "no request: the bytes are those that job {job} fetched at this time",
    Reuse.NOT_MODIFIED: "304: the origin confirmed at this time the bytes that job {job} fetched",
}


def _of_one_job(image: StoredImage, tries: list[RequestRecord], *, is_another: bool) -> Iterator[ExplanationLine]:
    ended = "" if is_another else _ended(image)
    of = f", for job {tries[0].job_id}" if is_another else ""
    lines = attempt_lines([(made.state, made.attempt) for made in tries], ended=ended)
    for made, words in zip(tries, lines, strict=True):
        yield ExplanationLine("request", words + of, made.attempt.started_at or None)


def _ended(image: StoredImage) -> str:
    if image.state is ImageState.FAILED:
        return "no further attempt"
    return "deferred" if image.state is ImageState.DEFERRED else ""


def _happened(history: ImageHistory) -> Iterator[ExplanationLine]:
    yield from filter(None, (event_line(event, history.image.id) for event in history.events))
    image = history.image
    if image.state is ImageState.DEFERRED and image.not_before:
        waited = f", first deferred {duration(max(0.0, image.not_before - image.deferred_at))} earlier" if image.deferred_at else ""
        yield ExplanationLine("deferred", f"not requested again before this time{waited}", image.not_before)


def _bytes(image: StoredImage) -> Iterator[ExplanationLine]:
    if image.final_url and image.final_url != image.url:
        yield ExplanationLine("redirect", clipped(image.final_url, 300))
    if image.sha256:
        words = f"{size(image.size_bytes or 0)} {clipped(image.media_type or 'of an unknown type', 40)}, sha256 {image.sha256}"
        if image.expected_sha256:
            agrees = image.expected_sha256 == image.sha256
            words += ", as the list states" if agrees else f", not the {image.expected_sha256} of the list"
        yield ExplanationLine("bytes", words, image.fetched_at)


def _checks(history: ImageHistory) -> Iterator[ExplanationLine]:
    if history.checks:
        yield ExplanationLine("level", history.rules.level)
        yield from (ExplanationLine("check", check.words()) for check in history.checks)
    elif history.image.state is ImageState.FAILED:
        yield ExplanationLine("checks", "none: there are no bytes")


def _decided(history: ImageHistory) -> Iterator[ExplanationLine]:
    image = history.image
    if history.duplicate is not None:
        yield ExplanationLine("duplicate", history.duplicate.words())
    elif image.state is ImageState.DUPLICATE:
        yield ExplanationLine("duplicate", f"of image {image.duplicate_of}, which was deleted")
    if image.reason is Reason.OVER_TARGET and image.detail == TARGET_MET:
        yield ExplanationLine(
            "target", f"of {history.job.target}: searches take turns, each in its source's order, and it ranked {image.rank}"
        )
    if image.captions:
        yield ExplanationLine("captions", f"{number(len(image.captions))} in its list; the first: {clipped(image.captions[0], 100)}")
    if image.labels:
        yield ExplanationLine("labels", f"{number(len(image.labels))} in its list: {clipped(', '.join(image.labels), 200)}")
    if image.boxes:
        classes = ", ".join(sorted({str(box["label"]) for box in image.boxes}))
        yield ExplanationLine("boxes", f"{number(len(image.boxes))} in its list: {clipped(classes, 200)}")
    if image.state is ImageState.KEPT:
        yield ExplanationLine("label", f"{clipped(image.label or 'none', 100)}, split {clipped(image.split or 'none', 32)}")


def _reviewed(history: ImageHistory) -> Iterator[ExplanationLine]:
    for review in history.reviews:
        yield ExplanationLine("reviewed", review_words(review), review.created_at)
    if history.image.reviewed == Reviewed.CHANGED:
        yield ExplanationLine("reviewed", "its origin has other bytes since: what was decided does not hold for them; review it again")


def review_words(review: Review) -> str:
    """``reject by ann: kept -> rejected, label cat -> dog; "watermark"``."""
    cause = review.before.get("reason")
    was = f"{review.before.get('state')} ({cause})" if cause else review.before.get("state")
    changes = [f"{was or 'unknown'} -> {review.after.get('state')}"]
    for name in ("label", "split"):
        old, new = review.before.get(name), review.after.get(name)
        changes += [f"{name} {clipped(old or 'none', 60)} -> {clipped(new or 'none', 60)}"] if old != new else []
    note = f'; "{clipped(review.note, 300)}"' if review.note else ""
    undone = ", taken back since" if review.undone_by else ""
    return f"{review.action} by {clipped(review.user_id or 'a reviewer', 100)}: {', '.join(changes)}{note}{undone}"


def _left(history: ImageHistory) -> Iterator[ExplanationLine]:
    image = history.image
    if image.out_sha256 and image.state in PASSED_FETCH:  # a lock promises the form of an image before it is fetched
        shape = f"{image.out_width}x{image.out_height} {clipped(image.out_media_type or '', 40)}, {size(image.out_size_bytes or 0)}"
        yield ExplanationLine("output" if image.changes else "compressed", f"{shape}, sha256 {image.out_sha256}")
    if image.changes:
        yield ExplanationLine("changed", clipped(image.changes, 300))
    if image.warning:
        yield ExplanationLine("warning", image.warning)
    for export in history.exports:
        yield ExplanationLine("export", f"{export.id}, {clipped(export.format, 24)}", export.verified_at)


def _others(history: ImageHistory) -> Iterator[ExplanationLine]:
    for other in history.others:
        same = "" if other.url == history.image.url else f", {clipped(other.url, 200)}"
        yield ExplanationLine("also", f"image {other.id} of dataset {other.dataset_id}, job {other.job_id}: {verdict_words(other)}{same}")


CAUSES = {"retry_after": "as Retry-After asked", "backoff": "backoff"}

QUEUED_S = 0.1
"""Waits in the host's queue below this many seconds are not shown."""

GAP_S = 1.0
"""Seconds between two attempts, without a recorded wait, from which on the URL counts as deferred."""


def attempt_lines(attempts: Sequence[tuple[str, Attempt]], *, ended: str) -> list[str]:
    """Return one line per attempt (state, attempt); ``ended`` says what followed the last one."""
    ends = [_gap_words(one[1], other[1]) for one, other in itertools.pairwise(attempts)] + [ended]
    return [
        f"{attempt.number}  {clock(attempt.started_at)}  {attempt_words(state, attempt, end)}"
        for (state, attempt), end in zip(attempts, ends, strict=False)
    ]


def attempt_words(state: str, attempt: Attempt, ended: str = "") -> str:
    """``queued 1.2s, 503 ServiceUnavailableError in 0.31s, then waited 2.0s (backoff)``."""
    if state == "lost":
        return "no outcome: reserved when its process died, sent or not"
    if state == "reserved":
        return "in progress"
    got = " ".join(clipped(str(part), 60) for part in (attempt.status, attempt.error) if part is not None) or "no reply"
    queued = f"queued {_seconds(attempt.queued_s)}, " if attempt.queued_s >= QUEUED_S else ""
    words = f"{queued}{got} in {attempt.elapsed_s:.2f}s"
    if attempt.wait_s > 0:
        cause = CAUSES.get(attempt.wait_cause, clipped(attempt.wait_cause, 20))
        return f"{words}, then waited {_seconds(attempt.wait_s)}{f' ({cause})' if cause else ''}"
    return f"{words}, {ended}" if ended else words


def _gap_words(attempt: Attempt, following: Attempt) -> str:
    """Say how long the URL was deferred between two attempts; the second one belongs to a later run."""
    gap_s = following.started_at - following.queued_s - attempt.started_at - attempt.elapsed_s
    return f"then deferred for {_seconds(gap_s)}" if attempt.started_at and gap_s >= GAP_S else ""


def _seconds(value: float) -> str:
    return f"{value:.1f}s" if value < 60 else duration(value)


def clock(at: float) -> str:
    """Local time of day to the millisecond."""
    return time.strftime("%H:%M:%S", time.localtime(at)) + f".{int(at % 1 * 1000):03d}" if at else "-"


_WHAT: Final[dict[Reason, str]] = {
    Reason.ROBOTS: "the rule at {}",
    Reason.OPT_OUT: "the reply's header {}",
    Reason.LICENCE: "the statement {}",
    Reason.BLOCKED_ADDRESS: "{}, which fetch.allow_networks and fetch.ports do not allow",
    Reason.INVALID_URL: "the URL's {}",
    Reason.REDIRECT: "the {} of the URL that the redirect leads to",
    Reason.HOST_UNAVAILABLE: "robots.txt is unreachable, so the whole host is disallowed for now: {}",
}


def evidence_words(reason: Reason | None, evidence: str) -> str:
    """``the reply's header x-robots-tag: noai``."""
    words = _WHAT.get(reason, "{}") if reason else "{}"
    if reason is Reason.OPT_OUT and _is_of_a_file(evidence):
        words = "the reservation at {}"
    return words.format(clipped(evidence, EVIDENCE_CHARS))


def _is_of_a_file(evidence: str) -> bool:
    """Whether evidence of an opt-out is a line of robots.txt or an entry of tdmrep.json, not a header."""
    return evidence.startswith(("http://", "https://"))


_ROBOTS_KEPT: Final[dict[str, str]] = {
    RobotsVerdict.OFF: "not read: fetch.robots was off",
    RobotsVerdict.NOT_ASKED: "not read: the image was decided earlier",
    RobotsVerdict.ALLOWED: "allows it",
    RobotsVerdict.DISALLOWED: "disallows it",
    RobotsVerdict.NO_FILE: "none, so everything is allowed",
    RobotsVerdict.UNREACHABLE: "unreachable",
}

_OPT_OUT_KEPT: Final[dict[str, str]] = {
    OptOutVerdict.OFF: "not read: fetch.opt_out was off",
    OptOutVerdict.NOT_READ: "not read: there was no successful reply",
    OptOutVerdict.NONE: "none in the reply's headers",
    OptOutVerdict.REFUSED: "refused by the reply's headers",
}


def robots_words(verdict: str, url: str) -> str:
    """The verdict on robots.txt in an image's row: ``allows it, https://h.test/robots.txt``."""
    words = _ROBOTS_KEPT.get(verdict, clipped(verdict, 24))
    where = robots_txt_of(url) if verdict not in (RobotsVerdict.OFF, RobotsVerdict.NOT_ASKED) else None
    return f"{words}, {clipped(where, EVIDENCE_CHARS)}" if where else words


def opt_out_words(verdict: str, evidence: str | None = None) -> str:
    """The verdict on opt-outs in an image's row; ``evidence`` is that of its reason."""
    if verdict == OptOutVerdict.REFUSED and _is_of_a_file(evidence or ""):
        return "refused by a file of the site"
    return _OPT_OUT_KEPT.get(verdict, clipped(verdict, 24))


def _in_hand(data: Mapping[str, Any]) -> str:
    """The images that were in hand at each of these deaths of a worker, where that is known."""
    suspects = data.get("suspects")
    return f", with {count(suspects, 'image')} in hand" if isinstance(suspects, int) else ""


def _suspected(data: Mapping[str, Any]) -> str:
    """What an isolated process runs."""
    suspects = data.get("suspects")
    if not isinstance(suspects, int):
        return "one image at a time,"
    return f"{count(suspects, 'suspected image')}, one at a time," if suspects else "the unit itself"


_EVENT_WORDS: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "job.retry": lambda d: f"a run failed, {_event_error(d)}: next run after {_event_wait(d)}, retry {d.get('retry')} of {d.get('of')}",
    "job.retries_exhausted": lambda d: f"a run failed, {_event_error(d)}: failed after {d.get('retries')} retries",
    "unit.dead": lambda d: f"the unit was marked dead, {_event_error(d)}",
    "unit.rests": lambda d: f"storage or queue unavailable, {_event_error(d)}: released for {_event_wait(d)}, no retry counted",
    "unit.taken_back": lambda d: f"its worker sent no more heartbeats (crash {d.get('crashes')}{_in_hand(d)}): the unit was reclaimed",
    "unit.quarantined": lambda d: f"its workers died {d.get('crashes')} times{_in_hand(d)}: the unit was put into quarantine",
    "quarantine.began": lambda d: f"quarantine began: {_suspected(d)} in an isolated process",
    "quarantine.ended": lambda _: "quarantine ended",
    "unit.interrupted": lambda _: "its worker was stopped: the unit was released",
    "unit.lease_lost": lambda _: "its worker lost the lease: another worker continues",
    "unit.retried": lambda _: "the dead unit was retried by a user",
    "unit.discarded": lambda _: "the dead unit was discarded by a user",
}


def event_line(event: Event, image_id: int) -> ExplanationLine | None:
    """Return the line of one event; ``None`` if the event concerns another image of the chunk."""
    if event.event == "image.poison":
        if event.data.get("image_id") != image_id:
            return None
        return ExplanationLine(
            "poison", f"it killed the isolated process that ran it: {clipped(str(event.data.get('how')), 200)}", event.at
        )
    return ExplanationLine(
        "unit", f"{clipped(str(event.data.get('job') or 'work'), 40)}: {_EVENT_WORDS[event.event](event.data)}", event.at
    )


def _event_error(data: Mapping[str, Any]) -> str:
    return clipped(": ".join(str(data[name]) for name in ("error_type", "error") if data.get(name)) or "no error recorded", 200)


def _event_wait(data: Mapping[str, Any]) -> str:
    wait_s = data.get("wait_s")
    return duration(wait_s) if isinstance(wait_s, int | float) else "a while"
