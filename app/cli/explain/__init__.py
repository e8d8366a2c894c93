"""``pictrawl explain``: why an image is or is not in a dataset, why a job is short or slow; in words, with every value and its limit."""

from typing import Annotated

import typer

from app.cli.state import Cli

__all__ = ["explain"]


def explain(
    cli: Cli, what: Annotated[str, typer.Argument(metavar="JOB|URL|IMAGE", help="A job's id, a URL, an image's id or its sha256.")]
) -> int:
    """Say what became of a job, a URL or an image.

    Each request with its wait and its cause, each check with its value and its limit, each decision; of a job, where its time went.
    """
    from app.cli.session import run

    return run(_explain(cli, what.strip()))


async def _explain(cli: Cli, what: str) -> int:
    from app.cli.session import reading

    settings = cli.settings()
    async with reading(cli, settings) as db:
        if what.startswith("job_"):
            from app.cli.explain.jobs import explained

            story = await explained(db, what)
            cli.result(story.text(cli.again), story.document(), brief=what)
            return 0
        from app.cli.explain.images import story_document, story_text
        from app.explain import find_images, image_story

        told = await image_story(db, await find_images(db, what))
    cli.result(story_text(told), {"items": [story_document(told)]}, brief=told.image.state.value)
    return 0
