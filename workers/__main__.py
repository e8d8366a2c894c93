"""``python -m workers builder|validator|all``: the same as ``pictrawl worker``, for process managers that run a module."""

import asyncio
import sys

from app.queue import QUEUES
from app.resources import open_resources
from app.settings import load_settings
from logging_setup.config import configure
from workers.worker_pool import kinds_of, serve_until_signalled

__all__ = ["main"]


async def _run(name: str) -> int:
    settings = load_settings()
    configure(settings.log.level, settings.log.format, str(settings.log.file) if settings.log.file else None)
    async with open_resources(settings) as resources:
        return await serve_until_signalled(resources, kinds_of(name))


def main() -> None:
    """Run a worker and exit with its exit code."""
    name = sys.argv[1] if len(sys.argv) > 1 else "all"
    if name not in (*QUEUES, "all"):
        sys.exit(f"error: {name!r} is not a kind of worker; use builder, validator or all")
    sys.exit(asyncio.run(_run(name)))


if __name__ == "__main__":
    main()
