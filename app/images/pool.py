"""A pool of decoder processes: hostile bytes can kill one of them, and that costs one image its verdict.

Knows processes and deadlines; must not know what is asked of them, nor rows or jobs.
"""

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from app.images.process import Child, ChildDied
from app.images.wire import Failure, Reply, Request
from app.records import Compressed, CompressionRules, Reason, ValidationRules, Verdict
from errors import StorageError, ValidationError

__all__ = ["DecoderPool", "PoolStats", "Source"]

Source = bytes | Path
"""An image's bytes, or a local file that the child reads itself."""

_MEMORY_BYTES: Final = 1 << 30
"""1 GiB of address space: 50 million pixels in RGBA are 200 MB, and a resize needs them about twice."""

_RECYCLE_AFTER: Final = 5_000
"""Images after which a process is replaced, a bound on what a codec may leak. None was seen to: 1,440 whole and truncated files of
six formats left the address space as it was after the first 48. A start costs 0.3 to 0.6 s of CPU, here 0.1 ms an image."""

_TRIES: Final = 3
"""Processes that may die before they began on an image: that is not the image's doing."""


@dataclass(frozen=True, slots=True)
class PoolStats:
    """Counts since the pool was opened.

    Attributes:
        size: processes at most.
        alive: processes running now.
        in_hand: images being worked on now.
        started: processes ever started.
        restarts: processes given up while the pool was open, of which the next image got a new one.
        crashes: images whose process died or ran out of memory.
        timeouts: images that took longer than the deadline.
    """

    size: int
    alive: int
    in_hand: int
    started: int
    restarts: int
    crashes: int
    timeouts: int


class DecoderPool:
    """Runs `validate` and `compress` in up to ``size`` long-lived child processes, one image each at a time.

    A process is started when it is first needed. It is replaced when it dies, misses the deadline, runs out of memory, is
    cancelled while it works, or has answered ``recycle_after`` times. Only the image it had in hand is affected.

    Args:
        size: processes; the number of usable cores by default.
        deadline_s: seconds for one image, from handing it over to its answer.
        memory_bytes: address space of one process; below about 300 MB a process has no room to work.
        recycle_after: images.
    """

    def __init__(
        self, size: int | None = None, *, deadline_s: float = 20.0, memory_bytes: int = _MEMORY_BYTES, recycle_after: int = _RECYCLE_AFTER
    ) -> None:
        self._size = size or _usable_cores()
        self._deadline_s, self._memory_bytes, self._recycle_after = deadline_s, memory_bytes, recycle_after
        self._slots = asyncio.LifoQueue[Child | None]()
        self._refill()
        self._children: set[Child] = set()
        self._reaping: set[asyncio.Task[None]] = set()
        self._closed = False
        self._in_hand = self._started = self._restarts = self._crashes = self._timeouts = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def validate(self, source: Source, rules: ValidationRules) -> Verdict:
        """Return the verdict on one image; one that kills its decoder gets ``decoder_crash``.

        Raises:
            errors.StorageError: the file can't be read, no process can be started, or the pool is closed.
        """
        reply = await self._call(source, rules)
        if isinstance(reply, Failure):
            return Verdict(reason=reply.reason, detail=reply.detail)
        assert isinstance(reply, Verdict)
        return reply

    async def compress(self, source: Source, rules: CompressionRules) -> Compressed:
        """Return one image re-encoded.

        Raises:
            errors.ValidationError: the image can't be re-encoded; its reason is ``decoder_crash`` where it killed its decoder.
            errors.StorageError: the file can't be read, no process can be started, or the pool is closed.
        """
        reply = await self._call(source, rules)
        if isinstance(reply, Failure):
            raise ValidationError(reply.detail, reason=reply.reason)
        assert isinstance(reply, Compressed)
        return reply

    def stats(self) -> PoolStats:
        """Counts for metrics."""
        alive = sum(child.is_alive for child in self._children)
        return PoolStats(self._size, alive, self._in_hand, self._started, self._restarts, self._crashes, self._timeouts)

    async def close(self) -> None:
        """End all processes and wait until they are gone. Calls without an answer yet raise `errors.StorageError`."""
        if self._closed:
            return
        self._closed = True
        for child in self._children:
            child.kill()
        for _ in range(self._size):
            await self._slots.get()
        self._refill()
        for child in tuple(self._children):
            self._discard(child)
        await asyncio.gather(*self._reaping)

    def _refill(self) -> None:
        """Make every slot an empty one; whoever waits for one goes on."""
        for _ in range(self._size):
            self._slots.put_nowait(None)

    async def _call(self, source: Source, rules: ValidationRules | CompressionRules) -> Reply:
        """Have one image worked on. A process that died before it began is nobody's fault: the next one gets the image."""
        request = Request(rules, str(source)) if isinstance(source, Path) else Request(rules, None, source)
        for _ in range(_TRIES):
            reply = await self._in_slot(request)
            if reply is not None:
                break
        else:
            raise StorageError(f"{_TRIES} decoder processes ended before they began")
        if isinstance(reply, Failure) and reply.kind == "storage":
            raise StorageError(reply.detail)
        return reply

    async def _in_slot(self, request: Request) -> Reply | None:
        """Wait for a free slot and use it. The child goes back into it only if it answered and may answer again."""
        child, reusable = await self._slots.get(), False
        self._in_hand += 1
        try:
            child = await self._living(child)
            reply = await self._ask(child, request)
            reusable = reply is not None and child.answered < self._recycle_after and not _is_crash(reply)
            return reply
        finally:
            self._in_hand -= 1
            if child is not None and not reusable:
                self._discard(child)
            self._slots.put_nowait(child if reusable else None)

    async def _living(self, child: Child | None) -> Child:
        """Return the slot's child, or a new one where there is none or it died meanwhile."""
        self._refuse_if_closed()
        if child is not None and child.is_alive:
            return child
        if child is not None:
            self._discard(child)
        return await self._start()

    async def _start(self) -> Child:
        child = await Child.start(self._memory_bytes)
        self._children.add(child)
        self._started += 1
        try:
            self._refuse_if_closed()
            await child.ready()
            self._refuse_if_closed()
        except BaseException:
            self._discard(child)
            raise
        return child

    async def _ask(self, child: Child, request: Request) -> Reply | None:
        """Return the answer, a crash, or None where the child died before it began."""
        try:
            async with asyncio.timeout(self._deadline_s):
                reply = await child.ask(request)
        except TimeoutError:
            self._timeouts += 1
            return _crash(f"no answer within {self._deadline_s:g} s")
        except ChildDied as death:
            self._refuse_if_closed()
            if not death.started:
                return None
            reply = _crash(f"the decoder ended by {death}")
        self._crashes += _is_crash(reply)
        return reply

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise StorageError("the decoder pool is closed")

    def _discard(self, child: Child) -> None:
        """Kill a child and see it off; safe to call twice."""
        if child not in self._children:
            return
        self._children.remove(child)
        self._restarts += not self._closed
        child.kill()
        task = asyncio.create_task(child.reap())
        self._reaping.add(task)
        task.add_done_callback(self._reaping.discard)


def _usable_cores() -> int:
    """Cores this process may run on; a container is often granted fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _crash(detail: str) -> Failure:
    return Failure("crash", Reason.DECODER_CRASH, detail)


def _is_crash(reply: Reply) -> bool:
    """Whether the process that answered is not to be used again."""
    return isinstance(reply, Failure) and reply.kind == "crash"
