"""Fixtures of the drills: one forking process and one pair of servers for each test process, and a lab for each drill."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.drills.invariants import InvariantBroken
from tests.drills.lab import Lab
from tests.drills.orders import Forge
from tests.services import PostgresServer, RedisServer


@pytest.fixture(scope="session")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    """The forking process of this test process."""
    if sys.platform != "linux":
        pytest.skip("drills look at processes through /proc")
    forge = Forge(tmp_path_factory.mktemp("forge"))
    yield forge
    forge.close()


@pytest.fixture
def lab(tmp_path: Path, forge: Forge, redis_server: RedisServer, postgres_server: PostgresServer) -> Lab:
    """The lab of one drill. Prints its seed."""
    lab = Lab(tmp_path, forge, redis_server, postgres_server)
    print(f"seed {lab.seed}")
    return lab


class Broken(AbstractContextManager[None]):
    """Expects the body to break one of these invariants: the proof that the drill can fail."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if error is None:
            pytest.fail(f"the mutant went unnoticed; expected to break: {', '.join(self._names)}")
        return isinstance(error, InvariantBroken) and error.name in self._names


@pytest.fixture
def breaks() -> type[Broken]:
    """``with breaks("finishes"): await drill_x(lab, mutant="no_sweeper")``"""
    return Broken
