"""The faults of the soak: every kind, drawn from a seed, one after the other, against workers and servers."""

import asyncio
import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.drills.lab import LEASE_S, Scene
from tests.drills.matter import decoders_of
from tests.services import PostgresServer, RedisServer

__all__ = ["FULL", "SMALL", "Storm", "Strength", "choose_strength"]

VARIABLE = "DRILL_SOAK"
"""Environment variable: ``full`` selects the long soak."""


@dataclass(frozen=True, slots=True)
class Strength:
    """The size of a soak.

    Attributes:
        urls: URLs of the job.
        workers: processes.
        seconds: the time over which the faults are spread.
        faults: how many of each kind.
        latency_s: of the origin; long enough for the job to outlast the faults, short since units in quarantine run one after the other.
        finish_s: seconds in which the job must end after the last fault.
    """

    urls: int
    workers: int
    seconds: float
    faults: dict[str, int]
    latency_s: float
    finish_s: float


SMALL = Strength(
    urls=300,
    workers=3,
    seconds=25.0,
    faults={"kill": 4, "decoder": 3, "flush": 2, "redis": 1, "postgres": 1, "freeze": 2, "term": 1},
    latency_s=1.5,
    finish_s=180.0,
)

FULL = Strength(
    urls=2_000,
    workers=4,
    seconds=180.0,
    faults={"kill": 12, "decoder": 8, "flush": 5, "redis": 3, "postgres": 2, "freeze": 4, "term": 3},
    latency_s=2.2,
    finish_s=600.0,
)


def choose_strength() -> Strength:
    """The long soak if ``DRILL_SOAK`` asks for it."""
    return FULL if os.environ.get(VARIABLE) == "full" else SMALL


class Storm:
    """Draws faults and injects them.

    Attributes:
        done: number of injected faults of each kind.
    """

    def __init__(self, scene: Scene, redis: RedisServer, postgres: PostgresServer) -> None:
        self._scene = scene
        self._redis = redis
        self._postgres = postgres
        self._dice: random.Random = scene.dice
        self._thaws: set[asyncio.Task[None]] = set()
        self.done: Counter[str] = Counter()

    async def run(self, strength: Strength) -> None:
        """Inject all faults at random times. One that takes long delays the next ones."""
        names = [name for name, count in strength.faults.items() for _ in range(count)]
        self._dice.shuffle(names)
        began = time.monotonic()
        for name, at in zip(names, sorted(self._dice.uniform(0, strength.seconds) for _ in names), strict=True):
            await asyncio.sleep(max(0.0, began + at - time.monotonic()))
            await self._faults()[name]()
            self.done[name] += 1
        await asyncio.gather(*self._thaws)

    def _faults(self) -> dict[str, Callable[[], Awaitable[None]]]:
        return {
            "kill": self._kill,
            "decoder": self._kill_decoder,
            "flush": self._flush,
            "redis": self._restart_redis,
            "postgres": self._restart_postgres,
            "freeze": self._freeze,
            "term": self._term,
        }

    async def _kill(self) -> None:
        self._scene.fleet.pick(self._dice).kill()

    async def _term(self) -> None:
        self._scene.fleet.pick(self._dice).term()

    async def _kill_decoder(self) -> None:
        with contextlib.suppress(OSError):
            decoders = decoders_of(self._scene.fleet.pick(self._dice).pid)
            if decoders:
                os.kill(self._dice.choice(decoders), signal.SIGKILL)

    async def _flush(self) -> None:
        with contextlib.suppress(OSError):
            await asyncio.to_thread(self._redis.flush)

    async def _restart_redis(self) -> None:
        await asyncio.to_thread(self._redis.kill)
        await asyncio.sleep(self._dice.uniform(0.2, 2.0))
        await asyncio.to_thread(self._redis.start)

    async def _restart_postgres(self) -> None:
        await asyncio.to_thread(self._postgres.kill)
        await asyncio.sleep(self._dice.uniform(0.2, 2.0))
        await asyncio.to_thread(self._postgres.start)

    async def _freeze(self) -> None:
        victim = self._scene.fleet.pick(self._dice)
        victim.stop()
        self._thaws.add(asyncio.create_task(self._thaw(victim.cont, self._dice.uniform(0.5, 2 * LEASE_S))))

    async def _thaw(self, cont: Callable[[], None], after_s: float) -> None:
        await asyncio.sleep(after_s)
        cont()
