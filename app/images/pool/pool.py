"""A pool of decoder processes: hostile bytes can kill one of them, and that costs one image its verdict.

Knows processes and deadlines; must not know what an image is checked for, nor rows or jobs.
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

from app import concurrency
from app.domain import Compressed, Reason, Verdict
from app.images.pool.process import DeadlineExceeded, DecoderProcess, ProcessDied, Stalled
from app.images.pool.protocol import Answer, Failure, LoaderRules, Request, Rules
from app.rules import CompressionRules, ValidationRules
from app.settings import Settings
from errors import StorageError
from logging_setup.capture import log_remarks

__all__ = ["DecoderPool", "PoolStats", "Source", "load_images"]

Source = bytes | Path
"""The bytes of an image, or a local file that the child reads itself."""

_MEMORY_BYTES: Final = 1 << 30
"""1 GiB of address space: 50 million pixels in RGBA are 200 MB, and a resize needs about twice as much."""

_RECYCLE_AFTER: Final = 5_000
"""Images after which a process is replaced, a bound on what a codec may leak. No leak was seen: 1,440 whole and truncated files of six
formats left the address space as it was after the first 48. A start costs 0.3 to 0.6 s of CPU, here 0.1 ms an image."""

_LOADED_TOGETHER: Final = 8
"""Images that one process loads in a row."""

_STALL_FACTOR: Final = 30
_MIN_STALL_S: Final = 300.0
"""Seconds by the clock in which an image is answered, at least, and as a multiple of its CPU limit: a verdict never depends on the load."""

_MAX_IDLE_DEATHS: Final = 3
"""Processes in a row that may die before they begin an image, which is not the image's fault."""


@dataclass(frozen=True, slots=True)
class PoolStats:
    """Counts since the pool was opened.

    Attributes:
        size: the largest number of processes.
        alive: processes running now.
        busy: processes that work now, each on one image.
        started: processes ever started.
        restarts: processes discarded while the pool was open; the next image starts a new one.
        crashes: images whose process died or ran out of memory.
        timeouts: images that exceeded their limit of CPU.
    """

    size: int
    alive: int
    busy: int
    started: int
    restarts: int
    crashes: int
    timeouts: int


class DecoderPool:
    """Runs `validate`, `compress` and `load` in up to ``size`` long-lived child processes, each of which works on one image at a time.

    A process is started when it is first needed, or by `prestart`. It is replaced when it dies, exceeds a limit, runs out of memory,
    is cancelled while it works, or has answered for ``recycle_after`` images. Only its current image is affected.

    Args:
        size: processes; by default the number of usable cores.
        deadline_s: seconds of CPU for one image.
        stall_s: seconds by the clock without an answer after which a process is given up, and the image judged another time.
        memory_bytes: address space of one process; below about 300 MB a process cannot work.
        recycle_after: images.
    """

    def __init__(
        self,
        size: int | None = None,
        *,
        deadline_s: float = 20.0,
        stall_s: float | None = None,
        memory_bytes: int = _MEMORY_BYTES,
        recycle_after: int = _RECYCLE_AFTER,
    ) -> None:
        self._size = size or _usable_cores()
        self._deadline_s, self._memory_bytes, self._recycle_after = deadline_s, memory_bytes, recycle_after
        self._stall_s = stall_s or max(_MIN_STALL_S, _STALL_FACTOR * deadline_s)
        self._slots = asyncio.LifoQueue[DecoderProcess | None]()
        self._fill_slots()
        self._processes: set[DecoderProcess] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._busy = self._started = self._restarts = self._crashes = self._timeouts = 0

    @classmethod
    def from_settings(cls, settings: Settings, *, at_most: int | None = None) -> Self:
        """A pool by the ``[validate]`` settings, of ``at_most`` so many processes."""
        section = settings.validate_
        size = section.children or _usable_cores()
        return cls(min(size, at_most or size), deadline_s=section.deadline_s, memory_bytes=section.child_memory_bytes)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    @property
    def size(self) -> int:
        """The largest number of processes."""
        return self._size

    async def prestart(self) -> None:
        """Start every process before its first image. This returns once they have been spawned; their imports take a while."""
        for _ in range(self._size):
            self._in_background(self._start_early())
        await asyncio.sleep(0)  # the tasks spawn the processes before they wait for anything

    async def _start_early(self) -> None:
        """Fill one slot. If that fails, the first image that needs the slot tries again and raises the error."""
        process = await self._slots.get()
        try:
            with contextlib.suppress(StorageError, MemoryError):
                process = await self._ensure_alive(process)
        finally:
            self._slots.put_nowait(process)

    async def validate(self, source: Source, rules: ValidationRules) -> Verdict:
        """Return the verdict on one image; an image that kills its decoder gets ``decoder_crash``.

        Raises:
            errors.StorageError: the file cannot be read, no process can be started or answers, or the pool is closed.
        """
        return (await self._run_one(Request(rules, (_to_protocol(source),)))).as_verdict()

    async def compress(self, source: Source, rules: CompressionRules) -> Compressed:
        """Return one image re-encoded.

        Raises:
            errors.ValidationError: the image cannot be re-encoded; its reason is ``decoder_crash`` where it killed its decoder.
            errors.StorageError: the file cannot be read, no process can be started or answers, or the pool is closed.
        """
        return (await self._run_one(Request(rules, (_to_protocol(source),)))).as_output()

    async def _run_one(self, request: Request) -> Answer:
        async with aclosing(self._run(request)) as groups:
            async for (answer,) in groups:
                log_remarks(answer.remarks)
                return answer
        raise AssertionError("an image without an answer")

    async def run_batch(
        self, sources: Sequence[Source], rules: Rules, compression: CompressionRules | None = None
    ) -> AsyncGenerator[Sequence[Answer], None]:
        """Have one process work on several images, one after the other; yield the answers as they come, in order (use ``aclosing``).

        An image that kills the process, or exceeds its limit of CPU, is answered by a failure, and another process continues with the next
        image. Remarks come with the answer of their image; the caller logs them with the image's context.

        Args:
            sources: images.
            rules: for validation, for compression, or for loading as loaders do.
            compression: with rules for validation, how valid images are re-encoded; their output comes with the verdict.

        Raises:
            errors.StorageError: a file cannot be read, no process can be started or answers, or the pool is closed.
        """
        request = Request(rules, tuple(map(_to_protocol, sources)), compression)
        async with aclosing(self._run(request)) as groups:
            async for group in groups:
                yield group

    def stats(self) -> PoolStats:
        """Counts for metrics."""
        alive = sum(process.is_alive for process in self._processes)
        return PoolStats(self._size, alive, self._busy, self._started, self._restarts, self._crashes, self._timeouts)

    async def close(self) -> None:
        """End all processes and wait until they have ended. Calls without an answer yet raise `errors.StorageError`."""
        if self._closed:
            return
        self._closed = True
        for process in self._processes:
            process.kill()
        for _ in range(self._size):
            await self._slots.get()
        self._fill_slots()  # callers that wait for a slot get one, and raise
        for process in tuple(self._processes):
            self._discard(process)
        await asyncio.gather(*self._tasks)

    def _fill_slots(self) -> None:
        """Add all slots, empty."""
        for _ in range(self._size):
            self._slots.put_nowait(None)

    async def _run(self, request: Request) -> AsyncGenerator[list[Answer], None]:
        """Answer every image. An image whose process died before beginning it goes to the next process."""
        done, idle_deaths, count = 0, 0, len(request.sources)
        while done < count:
            before = done
            async with aclosing(self._run_in_slot(request.slice(done, count))) as groups:
                async for group in groups:
                    _raise_storage_errors(group)
                    done += len(group)
                    yield group
            idle_deaths = 0 if done > before else idle_deaths + 1
            if idle_deaths == _MAX_IDLE_DEATHS:
                raise StorageError(f"{_MAX_IDLE_DEATHS} decoder processes ended before they began")

    async def _run_in_slot(self, request: Request) -> AsyncGenerator[list[Answer], None]:
        """Wait for a free slot and use it, for all images or the first of them. The process is reused only if it can answer again."""
        process, reusable = await self._slots.get(), False
        self._busy += 1
        try:
            process = await self._ensure_alive(process)
            request = request.slice(0, min(len(request.sources), self._recycle_after - process.answered))
            missing = len(request.sources)
            async with aclosing(self._run_in(process, request)) as groups:
                async for group in groups:
                    missing -= len(group)
                    reusable = not missing and process.answered < self._recycle_after and not any(map(_is_crash, group))
                    yield group
        finally:
            self._busy -= 1
            if process is not None and not reusable:
                self._discard(process)
            self._slots.put_nowait(process if reusable else None)

    async def _ensure_alive(self, process: DecoderProcess | None) -> DecoderProcess:
        """Return the slot's process, or a new one where there is none or it has died meanwhile."""
        self._refuse_if_closed()
        if process is not None and process.is_alive:
            return process
        if process is not None:
            self._discard(process)
        return await self._start()

    async def _start(self) -> DecoderProcess:
        process = await DecoderProcess.start(self._memory_bytes, self._deadline_s)
        self._processes.add(process)
        self._started += 1
        try:
            self._refuse_if_closed()
            await process.wait_ready()
            self._refuse_if_closed()
        except BaseException:
            self._discard(process)
            raise
        return process

    async def _run_in(self, process: DecoderProcess, request: Request) -> AsyncGenerator[list[Answer], None]:
        """Yield answers; a process that cannot continue gives a crash for its current image, and none for those it has not begun."""
        try:
            async with aclosing(process.run(request, self._stall_s)) as groups:
                async for group in groups:
                    self._crashes += sum(map(_is_crash, group))
                    yield group
                    if _is_crash(group[-1]):
                        return
        except DeadlineExceeded:
            self._timeouts += 1
            yield [_crash(f"decoding takes more than {self._deadline_s:g} s of CPU")]
        except Stalled as error:
            raise StorageError(f"a decoder process gave no answer within {self._stall_s:g} s") from error
        except ProcessDied as death:
            self._refuse_if_closed()
            if death.started:
                self._crashes += 1
                yield [_crash(f"the decoder ended by {death}")]

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise StorageError("the decoder pool is closed")

    def _discard(self, process: DecoderProcess) -> None:
        """Kill a process and reap it in the background; safe to call twice."""
        if process not in self._processes:
            return
        self._processes.remove(process)
        self._restarts += not self._closed
        process.kill()
        self._in_background(process.reap())

    def _in_background(self, step: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(step)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def load_images(decoders: DecoderPool, sources: Sequence[Source]) -> list[Verdict]:
    """Load images as the loaders of exports do (`app.images.loading`), on all decoders; the verdicts are in the order of the images."""
    starts = range(0, len(sources), _LOADED_TOGETHER)
    groups = await concurrency.gather_all(_load_some(decoders, sources[start : start + _LOADED_TOGETHER]) for start in starts)
    return [verdict for group in groups for verdict in group]


async def _load_some(decoders: DecoderPool, sources: Sequence[Source]) -> list[Verdict]:
    async with aclosing(decoders.run_batch(sources, LoaderRules())) as groups:
        return [answer.as_verdict() async for group in groups for answer in group]


def _usable_cores() -> int:
    """Cores on which this process may run; a container often has fewer than the machine."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _to_protocol(source: Source) -> bytes | str:
    return source if isinstance(source, bytes) else str(source)


def _raise_storage_errors(group: Sequence[Answer]) -> None:
    """Raise `errors.StorageError` for a file that cannot be read."""
    for answer in group:
        if isinstance(answer.reply, Failure) and answer.reply.kind == "storage":
            raise StorageError(answer.reply.detail)


def _crash(detail: str) -> Answer:
    return Answer(Failure("crash", Reason.DECODER_CRASH, detail))


def _is_crash(answer: Answer) -> bool:
    """Whether the process that answered must not be used again."""
    return isinstance(answer.reply, Failure) and answer.reply.kind == "crash"
