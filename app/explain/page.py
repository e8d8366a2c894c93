"""The story of a page of a crawl: by which page it was found, its requests, what was decided on it, and what was taken from it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import errors
from app.db import Database, crawl_pages, datasets, jobs
from app.db.crawl_pages import StoredPage
from app.db.rows import Dataset, Job
from app.domain import Reason
from app.explain.image import ExplanationLine, ImageHistory, explain_image, find_images
from app.explain.render import evidence_words, opt_out_words, robots_words
from app.formatting import clipped, count, number
from downloader.models import RobotsVerdict

__all__ = ["PageHistory", "explain_page", "explain_subject", "page_lines", "page_verdict"]

URL_CHARS = 300


@dataclass(frozen=True, slots=True)
class PageHistory:
    """A page and what led to it.

    Attributes:
        asked: the address that was asked for, where it is another one of the page.
        parent: the page that led to it; ``None`` for one that was named.
        others: rows of the same page in other jobs.
    """

    page: StoredPage
    job: Job
    dataset: Dataset
    parent: StoredPage | None = None
    asked: str | None = None
    others: Sequence[StoredPage] = ()


async def explain_subject(db: Database, what: str, *, user_id: str | None = None) -> ImageHistory | PageHistory:
    """Explain the image that a text names; a page of a crawl, where it names none.

    Raises:
        errors.NotFoundError, errors.ValidationError: it names neither; see `find_images`.
    """
    try:
        return await explain_image(db, await find_images(db, what, user_id=user_id))
    except (errors.NotFoundError, errors.ValidationError):
        history = await explain_page(db, what, user_id=user_id)
        if history is None:
            raise
        return history


async def explain_page(db: Database, url: str, *, user_id: str | None = None) -> PageHistory | None:
    """Read the history of the newest page with this address, in any of its spellings; ``None`` if no crawl knows it."""
    from app.discovery import urls  # with the parsers of pages it takes longer to import than an image takes to explain
    from app.discovery.pages import page_key

    try:
        key = page_key(urls.read(url))
    except errors.InvalidURLError:
        return None
    found = await crawl_pages.by_key(db, key, user_id=user_id)
    if not found:
        return None
    page, asked = found[0], None
    if page.state == crawl_pages.ALIAS and page.parent_id is not None:
        asked, page = url, await crawl_pages.find(db, page.parent_id) or page
    job = await jobs.get(db, page.job_id)
    return PageHistory(
        page=page,
        job=job,
        dataset=await datasets.get_dataset(db, job.dataset_id),
        parent=None if page.parent_id is None else await crawl_pages.find(db, page.parent_id),
        asked=asked,
        others=found[1:],
    )


def page_verdict(page: StoredPage, *, is_final: bool) -> str:
    """``failed: http_404, the origin answered 404``."""
    if page.state == crawl_pages.FAILED:
        return f"failed: {page.reason}" + (f", {clipped(page.detail, URL_CHARS)}" if page.detail else "")
    if page.state != crawl_pages.WAITING:
        return page.state
    if is_final:
        return "waiting: the job ended before it was read"
    return f"waiting: {count(page.tries, 'attempt')} failed, it is requested again" if page.tries else "waiting: not requested yet"


def page_lines(history: PageHistory) -> list[ExplanationLine]:
    """Return the whole history, in chronological order."""
    return [*_found(history), *_requested(history.page), *_taken(history), *_others(history)]


def _found(history: PageHistory) -> Iterator[ExplanationLine]:
    yield ExplanationLine("found", _found_words(history.page, history.parent))
    if history.asked:
        yield ExplanationLine("asked as", f"{clipped(history.asked, URL_CHARS)}, another address of this page")
    yield ExplanationLine("part of", f"page {history.page.id} of {clipped(history.dataset.name, 60)}, job {history.job.id}")


def _found_words(page: StoredPage, parent: StoredPage | None) -> str:
    """``linked by https://site.example/, 1 link from a page that was named``."""
    if parent is None:
        return f"{count(page.depth, 'link')} from a page that was named" if page.depth else "named by the job"
    how = "as a part of" if parent.depth == page.depth else "linked by"
    return f"{how} {clipped(parent.url, URL_CHARS)}, {count(page.depth, 'link')} from a page that was named"


def _requested(page: StoredPage) -> Iterator[ExplanationLine]:
    if page.robots and page.robots != RobotsVerdict.NOT_ASKED:
        yield ExplanationLine("robots.txt", robots_words(page.robots, page.url))
    if page.evidence:
        reason = Reason(page.reason) if page.reason else None
        yield ExplanationLine("evidence", evidence_words(reason, page.evidence))
    if page.requests or page.robots:
        yield ExplanationLine("requests", count(page.requests, "request") if page.requests else "none: it was decided without a request")
    if page.opt_out:
        yield ExplanationLine("opt-out", opt_out_words(page.opt_out, page.evidence))


def _taken(history: PageHistory) -> Iterator[ExplanationLine]:
    page = history.page
    if page.kind:
        yield ExplanationLine("kind", clipped(page.kind, 24))
    if page.images is not None:
        yield ExplanationLine("images", f"{number(page.images)} taken")
    if page.links is not None:
        yield ExplanationLine("links", _link_words(page, (history.job.spec.get("pages") or {}).get("depth")))
    if page.state == crawl_pages.READ and page.detail:
        yield ExplanationLine("note", clipped(page.detail, URL_CHARS))
    if page.state == crawl_pages.WAITING and page.tries:
        yield ExplanationLine("next try", "not before this time", page.not_before)


def _link_words(page: StoredPage, depth: int | None) -> str:
    if not page.links and depth is not None and page.depth >= depth:
        return f"none followed: the build goes {count(depth, 'link')} from the pages that were named"
    return f"{number(page.links or 0)} followed"


def _others(history: PageHistory) -> Iterator[ExplanationLine]:
    for other in history.others:
        yield ExplanationLine("also", f"page {other.id} of job {other.job_id}: {other.state}{f', {other.reason}' if other.reason else ''}")
