"""The API dies between the commit of a job and the message about it: the row is the outbox."""

import httpx
import pytest

from tests.drills import invariants
from tests.drills.api import Api
from tests.drills.conftest import Broken
from tests.drills.lab import FINISH_S, Lab


async def drill_unsent(lab: Lab, *, mutant: str | None = None, api_mutant: str | None = None, finish_s: float = FINISH_S) -> None:
    """The client gets no answer and repeats the request with the same key at the next server."""
    later = [api_mutant] if api_mutant else []
    async with lab.open(30) as scene, Api.serving(scene, mutants=["dies_before_it_sends", *later]) as api:
        scene.fleet.start_workers(1, mutants=[mutant] if mutant else [])
        await scene.ready(1)
        with pytest.raises(httpx.TransportError):
            await api.submit(scene.plan.urls, key="once")
        assert await api.process.ended() == -9
        [committed] = (await scene.rows()).jobs
        await api.again(mutants=later)
        assert await api.submit(scene.plan.urls, key="once") == committed.id or api_mutant
        invariants.only([committed.id], await scene.rows())
        await scene.finished(committed.id, finish_s)
        await scene.check(committed.id)


async def test_a_job_that_was_committed_and_not_sent_is_carried_out_once(lab: Lab) -> None:
    """The repeated request gets the same job, and the sweeper sends the message."""
    await drill_unsent(lab)


async def test_the_outbox_is_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """Without the sweeper no worker gets the job."""
    with breaks("finishes"):
        await drill_unsent(lab, mutant="no_sweeper", finish_s=6)


async def test_the_replay_is_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """An API that ignores idempotency keys makes a second job."""
    with breaks("only"):
        await drill_unsent(lab, api_mutant="forgets_keys")
