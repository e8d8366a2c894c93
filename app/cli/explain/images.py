"""An image's story as a terminal shows it, and as ``--json`` has it."""

import time
from dataclasses import asdict
from typing import Any

from app.cli.documents import attempt_document, image_document
from app.domain import StoredImage
from app.explain import Duplicate, ImageStory, Line, Try, image_lines, verdict_words
from app.formatting import clipped

__all__ = ["story_document", "story_text"]

TIMELESS = frozenset({"request"})
"""Topics whose words have their time already."""


def story_text(story: ImageStory) -> str:
    """The URL, the verdict, and a line for each thing that is known. A topic that goes on is named once."""
    shown = [clipped(story.image.url, 300), f"  {verdict_words(story.image)}"]
    before = ""
    for line in image_lines(story):
        shown.append(f"  {line.topic if line.topic != before else '':<10} {_timed(line)}")
        before = line.topic
    return "\n".join(shown)


def _timed(line: Line) -> str:
    if line.at is None or line.topic in TIMELESS:
        return line.words
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(line.at))}  {line.words}"


def story_document(story: ImageStory) -> dict[str, Any]:
    """The image's row, and what it does not say."""
    image, duplicate = story.image, story.duplicate
    return image_document(image) | {
        "verdict": verdict_words(image),
        "dataset_name": story.dataset.name,
        "keyword": story.search.keyword if story.search else None,
        "robots_txt": story.robots_txt,
        "level": story.rules.level,
        "attempts": [_attempt(made) for made in story.tries],
        "checks": [asdict(line) | {"passed": line.passed} for line in story.checks],
        "duplicate": None if duplicate is None else _duplicate(duplicate),
        "exports": [export.id for export in story.exports],
        "also": [_other(other) for other in story.others],
        "lines": [asdict(line) for line in image_lines(story)],
    }


def _attempt(made: Try) -> dict[str, Any]:
    attempt = made.attempt
    more = {
        "job_id": made.job_id,
        "state": made.state,
        "started_at": attempt.started_at or None,
        "queued_s": round(attempt.queued_s, 3),
        "reason": attempt.reason.value if attempt.reason else None,
        "wait_cause": attempt.wait_cause,
    }
    return attempt_document(attempt) | more


def _duplicate(duplicate: Duplicate) -> dict[str, Any]:
    names = ("is_exact", "distance", "limit")
    original = duplicate.original
    return {"of": original.id, "url": original.url} | {name: getattr(duplicate, name) for name in names}


def _other(image: StoredImage) -> dict[str, Any]:
    return {"id": image.id, "dataset_id": image.dataset_id, "job_id": image.job_id, "url": image.url, "status": image.state.value}
