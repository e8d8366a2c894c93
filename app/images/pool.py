"""A pool of decoder processes: hostile bytes can kill one of them, and that costs one image its verdict.

Knows processes and deadlines; must not know what is asked of them, nor rows or jobs.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from app.domain import Compressed, CompressionRules, Reason, ValidationRules, Verdict
from app.images.process import Child, ChildDied, Overdue
from app.images.wire import Answer, Failure, Request, Rules
from errors import StorageError
from logging_setup.capture import log_remarks

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
    """Runs `validate` and `compress` in up to ``size`` long-lived child processes, each of which works at one image at a time.

    A process is started when it is first needed, or by `begin`. It is replaced when it dies, misses the deadline, runs out of memory, is
    cancelled while it works, or has answered for ``recycle_after`` images. Only the image it had in hand is affected.

    Args:
        size: processes; the number of usable cores by default.
        deadline_s: seconds for one image, from its beginning to its answer.
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
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._in_hand = self._started = self._restarts = self._crashes = self._timeouts = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    @property
    def size(self) -> int:
        """Processes at most."""
        return self._size

    async def begin(self) -> None:
        """Start every process ahead of its first image. They are on their way when this returns, and load for a while."""
        for _ in range(self._size):
            self._in_background(self._start_ahead())
        await asyncio.sleep(0)  # an event loop starts a process before it first waits for it

    async def _start_ahead(self) -> None:
        """Fill a slot. Where that fails the next image tries again, and hears of it."""
        child = await self._slots.get()
        try:
            with contextlib.suppress(StorageError, MemoryError):
                child = await self._living(child)
        finally:
            self._slots.put_nowait(child)

    async def validate(self, source: Source, rules: ValidationRules) -> Verdict:
        """Return the verdict on one image; one that kills its decoder gets ``decoder_crash``.

        Raises:
            errors.StorageError: the file can't be read, no process can be started, or the pool is closed.
        """
        return (await self._one(Request(rules, (_as_sent(source),)))).as_verdict()

    async def compress(self, source: Source, rules: CompressionRules) -> Compressed:
        """Return one image re-encoded.

        Raises:
            errors.ValidationError: the image can't be re-encoded; its reason is ``decoder_crash`` where it killed its decoder.
            errors.StorageError: the file can't be read, no process can be started, or the pool is closed.
        """
        return (await self._one(Request(rules, (_as_sent(source),)))).as_output()

    async def _one(self, request: Request) -> Answer:
        async with aclosing(self._answers(request)) as groups:
            async for (answer,) in groups:
                log_remarks(answer.remarks)
                return answer
        raise AssertionError("an image without an answer")

    async def answers(
        self, sources: Sequence[Source], rules: Rules, compression: CompressionRules | None = None
    ) -> AsyncGenerator[Sequence[Answer], None]:
        """Have one child work on several images, one after the other, and yield the answers as they come, in order (under ``aclosing``).

        An image that kills the child, or is overdue, is answered by a failure, and another child goes on with the next one. What was
        said over an image comes with its answer; whoever knows which image it is logs it.

        Args:
            sources: images.
            rules: for validation or for compression.
            compression: with rules for validation, how valid images leave; their output comes with the verdict.

        Raises:
            errors.StorageError: a file can't be read, no process can be started, or the pool is closed.
        """
        request = Request(rules, tuple(map(_as_sent, sources)), compression)
        async with aclosing(self._answers(request)) as groups:
            async for group in groups:
                yield group

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
        await asyncio.gather(*self._tasks)

    def _refill(self) -> None:
        """Make every slot an empty one; whoever waits for one goes on."""
        for _ in range(self._size):
            self._slots.put_nowait(None)

    async def _answers(self, request: Request) -> AsyncGenerator[list[Answer], None]:
        """Answer every image. A process that died before it began on one is nobody's fault: the next process gets that image."""
        done, idle_deaths, count = 0, 0, len(request.sources)
        while done < count:
            before = done
            async with aclosing(self._in_slot(request.part(done, count))) as groups:
                async for group in groups:
                    _raise_ours(group)
                    done += len(group)
                    yield group
            idle_deaths = 0 if done > before else idle_deaths + 1
            if idle_deaths == _TRIES:
                raise StorageError(f"{_TRIES} decoder processes ended before they began")

    async def _in_slot(self, request: Request) -> AsyncGenerator[list[Answer], None]:
        """Wait for a free slot and use it, for all images or the first of them. The child goes back only if it may answer again."""
        child, reusable = await self._slots.get(), False
        self._in_hand += 1
        try:
            child = await self._living(child)
            request = request.part(0, min(len(request.sources), self._recycle_after - child.answered))
            missing = len(request.sources)
            async with aclosing(self._ask(child, request)) as groups:
                async for group in groups:
                    missing -= len(group)
                    reusable = not missing and child.answered < self._recycle_after and not any(map(_is_crash, group))
                    yield group
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

    async def _ask(self, child: Child, request: Request) -> AsyncGenerator[list[Answer], None]:
        """Yield answers; the last one is a crash where the child is of no use any more. None are left out but those it never began."""
        try:
            async with aclosing(child.answers(request, self._deadline_s)) as groups:
                async for group in groups:
                    self._crashes += sum(map(_is_crash, group))
                    yield group
                    if _is_crash(group[-1]):
                        return
        except Overdue:
            self._timeouts += 1
            yield [_crash(f"no answer within {self._deadline_s:g} s")]
        except ChildDied as death:
            self._refuse_if_closed()
            if death.started:
                self._crashes += 1
                yield [_crash(f"the decoder ended by {death}")]

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
        self._in_background(child.reap())

    def _in_background(self, step: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(step)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _usable_cores() -> int:
    """Cores this process may run on; a container is often granted fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _as_sent(source: Source) -> bytes | str:
    return source if isinstance(source, bytes) else str(source)


def _raise_ours(group: Sequence[Answer]) -> None:
    """Raise `errors.StorageError` for a file that cannot be read."""
    for answer in group:
        if isinstance(answer.reply, Failure) and answer.reply.kind == "storage":
            raise StorageError(answer.reply.detail)


def _crash(detail: str) -> Answer:
    return Answer(Failure("crash", Reason.DECODER_CRASH, detail))


def _is_crash(answer: Answer) -> bool:
    """Whether the process that answered is not to be used again."""
    return isinstance(answer.reply, Failure) and answer.reply.kind == "crash"
