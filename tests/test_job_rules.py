"""Only the decorator retries: read from the sources of ``workers``, and shown that bad sources do not pass."""

from pathlib import Path

import pytest

import errors
import workers
from app.queue import JOB_NAMES
from tests.job_rules import breaches
from tests.workers.bench import open_bench
from workers import builder, sweeper, validator
from workers.job import INFRASTRUCTURE, JOBS
from workers.polling import LeasedWorker, make_worker

SOURCES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(Path(str(workers.__file__)).parent.glob("*.py"))}
OUTCOMES = {"ledger._while_leased", "ledger._flush_regularly"}
"""Loops that keep what is known until the database takes it, within the lease: they run nothing again."""

TWELVE = [*builder.__all__, *validator.__all__]

GOOD = '''
from workers.job import INFRASTRUCTURE, job

@job(retry_on=INFRASTRUCTURE)
async def process_chunk(ctx, *, unit_id):
    """Fetch a chunk.

    Retry: MemoryError and DatabaseConnectionError, 3 times, 60 s apart.
    """
    async with claim(ctx, unit_id) as work:
        await fetch(work)
'''

TRY = "try:\n            pass\n        except OSError:\n            pass"
LOOP = '''
import asyncio

async def fetch(work):
    while True:
        try:
            return await work.get()
        except OSError:
            await asyncio.sleep(1)
'''


async def registered(folder: Path) -> set[str]:
    """What the workers of both kinds register with arq, crons too."""
    async with open_bench(folder) as bench:
        made: list[LeasedWorker] = [make_worker(kind, bench.context, slots=1) for kind in ("builder", "validator")]
        return {function.coroutine.__name__ for worker in made for function in worker.functions.values()}


async def test_every_registered_function_keeps_the_rules(tmp_path: Path) -> None:
    """12 jobs and 2 crons: each with its rule above it and its strategy in its docstring, and no other retry anywhere."""
    names = await registered(tmp_path)
    assert names == {*TWELVE, *(name for name in sweeper.__all__ if name in JOBS)}
    assert breaches(SOURCES, names, excused=OUTCOMES) == []


def test_all_twelve_jobs_are_explicit() -> None:
    """12 of 12 functions carry the one retry rule, and every kind of unit has its function."""
    assert len(TWELVE) == 12
    assert set(JOB_NAMES.values()) == set(TWELVE)
    for name in TWELVE:
        assert JOBS[name].retry_on == INFRASTRUCTURE == (MemoryError, errors.DatabaseConnectionError)  # type: ignore[attr-defined]


def test_a_good_module_passes() -> None:
    """The rules ask for nothing that a job has no need of."""
    assert breaches({"builder": GOOD}, ["process_chunk"]) == []


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        ({"builder": GOOD.replace("@job(retry_on=INFRASTRUCTURE)\n", "")}, "process_chunk is registered and has no @job"),
        ({"builder": GOOD.replace("(retry_on=INFRASTRUCTURE)", "()")}, "process_chunk does not say retry_on="),
        ({"builder": GOOD.replace("(retry_on=INFRASTRUCTURE)", "")}, "process_chunk does not say retry_on="),
        ({"builder": GOOD.replace("    Retry: MemoryError and DatabaseConnectionError, 3 times, 60 s apart.\n", "")}, "retry strategy"),
        ({"builder": GOOD.replace("3 times", "5 times")}, "process_chunk does not state its retry strategy"),
        ({"builder": GOOD.replace("await fetch(work)", TRY)}, "process_chunk has a try of its own"),
        ({"builder": GOOD + "    raise Retry(defer=5)\n"}, "builder: raises Retry"),
        ({"builder": GOOD + "    raise arq.Retry(5) from None\n"}, "builder: raises Retry"),
        ({"builder": GOOD + "    raise Retry\n"}, "builder: raises Retry"),
        ({"builder": GOOD, "sending": "from arq import Retry\n"}, "sending: imports arq's Retry"),
        ({"builder": GOOD, "sending": "from arq.worker import Retry as Again\n"}, "sending: imports arq's Retry"),
        ({"builder": GOOD, "sending": "import tenacity\n"}, "sending: imports tenacity"),
        ({"builder": GOOD, "sending": "def f():\n    from tenacity.asyncio import AsyncRetrying\n"}, "sending: imports tenacity"),
        ({"builder": GOOD + LOOP}, "builder.fetch has a retry of its own"),
        ({"builder": "from workers import fetching\n" + GOOD, "fetching": LOOP}, "fetching.fetch has a retry of its own"),
        (
            {"builder": "from workers.fetching import f\n" + GOOD, "fetching": "from workers import deep\n", "deep": LOOP},
            "deep.fetch has a retry of its own",
        ),
    ],
)
def test_a_bad_module_does_not_pass(sources: dict[str, str], words: str) -> None:
    """One breach each, named with its place."""
    (found,) = breaches(sources, ["process_chunk"])
    assert words in found


def test_the_worker_itself_may_look_at_redis_again() -> None:
    """A loop that sleeps is no retry of a job where no job imports it: the poll loop outlives Redis."""
    assert breaches({"builder": GOOD, "runtime": LOOP}) == []
    assert breaches({"builder": GOOD, "job": "from arq import Retry\nraise Retry\n" + LOOP}) == []
