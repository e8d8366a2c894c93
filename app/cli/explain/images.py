"""An image's story as a terminal shows it, and as ``--json`` has it."""

import time
from typing import Any

from app.cli.documents import image_document
from app.stories import ImageStory, Line, image_data, image_lines, verdict_words
from app.words import clipped

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
    """The image's row, and its story."""
    return image_document(story.image) | image_data(story)
