"""``python -m tests.workers.lethal``: :mod:`workers.isolated_process` in a process that a certain image, or its unit, kills.

The environment says which: ``LETHAL_BYTES`` (hex) kills whoever fetches or judges an image of exactly those bytes.
"""

import os
import signal
from typing import Any

from app.images.pool.pool import DecoderPool
from app.storage import Store
from workers import isolated_process


def die_over(body: bytes) -> None:
    """End this process as a crash would where these are the bytes."""
    if body == bytes.fromhex(os.environ["LETHAL_BYTES"]):
        os.kill(os.getpid(), signal.SIGKILL)


def arm() -> None:
    """Make the bytes lethal in this process: in the store's way in, and on the way to the decoders."""
    put, run_batch = Store.put_many, DecoderPool.run_batch

    async def put_many(self: Any, objects: Any) -> Any:
        for _, body in objects:
            die_over(body)
        return await put(self, objects)

    def look(self: Any, sources: Any, rules: Any, compression: Any = None) -> Any:
        for source in sources:
            die_over(source if isinstance(source, bytes) else source.read_bytes())
        return run_batch(self, sources, rules, compression)

    Store.put_many, DecoderPool.run_batch = put_many, look  # type: ignore[method-assign]


if __name__ == "__main__":
    arm()
    isolated_process.main()
