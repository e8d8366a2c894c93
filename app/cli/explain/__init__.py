"""``pictrawl explain``: why an image is or is not in a dataset, why a job is short; in words, with every value and its limit."""

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.state import Cli

if TYPE_CHECKING:
    from app.db import Database
    from app.records import StoredImage

__all__ = ["explain"]


def explain(
    cli: Cli, what: Annotated[str, typer.Argument(metavar="JOB|URL|IMAGE", help="A job's id, a URL, an image's id or its sha256.")]
) -> int:
    """Say what became of a job, a URL or an image.

    Each request with its wait and its cause, each check with its value and its limit.
    """
    from app.cli.session import run

    return run(_explain(cli, what.strip()))


async def _explain(cli: Cli, what: str) -> int:
    from app.cli.session import reading

    settings = cli.settings()
    async with reading(cli, settings) as db:
        if what.startswith("job_"):
            from app.cli.explain.jobs import job_story

            story = await job_story(db, what)
            cli.result(story.text(cli.again), story.document(), brief=what)
            return 0
        stories = await _image_stories(db, await _images(db, what))
    cli.result("\n\n".join(story.text() for story in stories), {"items": [story.document() for story in stories]})
    return 0


async def _images(db: "Database", what: str) -> "list[StoredImage]":
    from app.cli.failures import Refused
    from app.db import images
    from downloader import normalise
    from errors import InvalidURLError

    if what.isdigit():
        return [await images.get(db, int(what))]
    if re.fullmatch(r"[0-9a-f]{64}", what):
        found = await images.by_url(db, sha256=what)
    else:
        try:
            found = await images.by_url(db, url=what, url_key=images.url_digest(normalise(what)))
        except InvalidURLError:
            raise Refused(f"{what[:80]!r} is no job, URL, image id or sha256", "job_…, https://…, 17, or 64 hex digits") from None
    if not found:
        raise Refused(f"no job asked for {what[:200]}", "pictrawl images ls shows what is known; pictrawl fetch URL tries one")
    return found


async def _image_stories(db: "Database", found: "list[StoredImage]") -> list[Any]:
    from app.cli.explain.images import image_story

    return [await image_story(db, image) for image in found]
