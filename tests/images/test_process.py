"""One child: its environment, and who is to blame when it doesn't come up."""

import os
from pathlib import Path

import pytest

from app.domain import ValidationRules, Verdict
from app.images import process
from app.images.process import Child, ChildDied
from app.images.wire import Request
from errors import StorageError

MEMORY_BYTES = 1 << 30


async def test_a_child_answers_and_is_reaped(jpeg: bytes) -> None:
    """Started, ready, asked, killed, gone."""
    child = await Child.start(MEMORY_BYTES)
    await child.ready()
    assert child.is_alive
    answers = [answer async for group in child.answers(Request(ValidationRules(), (jpeg, jpeg)), 20.0) for answer in group]
    assert [type(answer.reply) for answer in answers] == [Verdict, Verdict]
    assert child.answered == 2
    child.kill()
    await child.reap()
    assert not child.is_alive
    child.kill()


async def test_a_dead_child_has_not_started(jpeg: bytes) -> None:
    """A request that nobody took says so."""
    child = await Child.start(MEMORY_BYTES)
    await child.ready()
    os.kill(child.pid, 9)
    with pytest.raises(ChildDied, match="SIGKILL") as caught:
        await anext(child.answers(Request(ValidationRules(), (jpeg,)), 20.0))
    assert not caught.value.started
    await child.reap()


async def test_a_child_that_cannot_start_is_our_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """No interpreter, or one that ends at once."""
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with pytest.raises(StorageError, match="cannot start"):
        await Child.start(MEMORY_BYTES)
    monkeypatch.setattr("sys.executable", "/bin/false")
    child = await Child.start(MEMORY_BYTES)
    with pytest.raises(StorageError, match="exit code 1"):
        await child.ready()
    await child.reap()


async def test_a_child_that_is_never_ready_is_given_up() -> None:
    """A limit of nothing is over before the interpreter is up."""
    child = await Child.start(MEMORY_BYTES)
    with pytest.raises(StorageError, match="not ready within 0 s"):
        await child.ready(limit_s=0)
    child.kill()
    await child.reap()


async def test_a_child_has_no_secrets_and_only_its_own_descriptors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the environment but what it needs, and no file or socket of the parent."""
    monkeypatch.setenv("PICTRAWL_DB__URL", "postgresql://secret")
    with (tmp_path / "held").open("w") as held:
        child = await Child.start(MEMORY_BYTES)
        await child.ready()
        environment = Path(f"/proc/{child.pid}/environ").read_bytes()
        targets = [str(entry.readlink()) for entry in Path(f"/proc/{child.pid}/fd").iterdir()]
        child.kill()
        await child.reap()
        assert held.name not in targets
    assert b"secret" not in environment
    assert b"MALLOC_MMAP_THRESHOLD_=268435456" in environment
    assert len(targets) <= 6
    assert set(process._environment()) <= {*process._INHERITED, *process._TUNING, "PYTHONPATH"}


async def test_a_child_has_its_own_session() -> None:
    """Ctrl-C goes to the terminal's process group, which a child is no part of."""
    child = await Child.start(MEMORY_BYTES)
    assert os.getsid(child.pid) == child.pid != os.getsid(0)
    child.kill()
    await child.reap()
