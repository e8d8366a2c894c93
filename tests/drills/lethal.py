"""``python -m tests.drills.lethal`` runs :mod:`workers.isolated_process` in a process that certain images or an export kill.

The environment names them: the digest of an image that kills the process that stores it, the digest of one that kills the process that
validates it, and whether an export kills the process that begins it. The fault ``lethal`` arms workers in the same way.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from app.images.pool.pool import DecoderPool
from app.storage import Store, paths
from tests.drills.mutants import _put
from workers import isolated_process
from workers.stages import export

__all__ = ["COMMAND", "EXPORT", "FETCH", "JUDGE", "arm", "die"]

FETCH, JUDGE, EXPORT = "LETHAL_FETCH", "LETHAL_JUDGE", "LETHAL_EXPORT"
"""Environment variables: two digests, and any value."""

COMMAND = (sys.executable, "-m", "tests.drills.lethal")


def die() -> None:
    """Kill this process."""
    os.kill(os.getpid(), signal.SIGKILL)


def arm() -> None:
    """Let what the environment names kill this process."""
    put, answers, write_export = Store.put_many, DecoderPool.run_batch, export.write_export

    async def put_many(self: Any, objects: Any) -> Any:
        if any(paths.blob_digest(key) == os.environ.get(FETCH, "none") for key, _ in objects):
            die()
        return await put(self, objects)

    def judge(self: Any, sources: Any, rules: Any, compression: Any = None) -> Any:
        if any(isinstance(source, Path) and source.name == os.environ.get(JUDGE) for source in sources):
            die()
        return answers(self, sources, rules, compression)

    async def write(ctx: Any, unit: Any) -> None:
        if EXPORT in os.environ:
            die()
        await write_export(ctx, unit)

    _put("app.storage.Store.put_many", put_many)
    _put("app.images.pool.pool.DecoderPool.run_batch", judge)
    _put("workers.stages.export.write_export", write)


if __name__ == "__main__":
    arm()
    isolated_process.main()
