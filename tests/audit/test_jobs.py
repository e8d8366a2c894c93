"""Only the decorator retries: read from the sources of ``workers``, and shown that bad sources do not pass."""

from pathlib import Path

import pytest

import errors
from app.audit.jobs import OWN_LOOPS, RULES, explicit, job_names
from app.audit.jobs import registered as registered_in
from app.audit.rule import judge
from app.audit.sources import installed, parsed
from app.queue import JOB_NAMES
from tests.audit.bad import found_in
from tests.workers.bench import open_bench
from workers import builder, sweeper, validator
from workers.job import INFRASTRUCTURE, JOBS
from workers.worker import LeasedWorker, make_worker

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
LOOP = """
import asyncio

async def fetch(work):
    while True:
        try:
            return await work.get()
        except OSError:
            await asyncio.sleep(1)
"""


async def registered(folder: Path) -> set[str]:
    """What the workers of both kinds register with arq, crons too."""
    async with open_bench(folder) as bench:
        made: list[LeasedWorker] = [make_worker(kind, bench.context, slots=1) for kind in ("builder", "validator")]
        return {function.coroutine.__name__ for worker in made for function in worker.functions.values()}


async def test_every_registered_function_keeps_the_rules(tmp_path: Path) -> None:
    """12 jobs and 2 crons: each with its rule above it and its strategy in its docstring, and no other retry anywhere."""
    names = await registered(tmp_path)
    assert names == {*TWELVE, *(name for name in sweeper.__all__ if name in JOBS)} == set(registered_in(installed()))
    assert [str(breach) for verdict in judge(RULES, installed()) for breach in verdict.breaches] == []


def test_all_twelve_jobs_are_explicit() -> None:
    """12 of 12 functions carry the one retry rule, and every kind of unit has its function."""
    assert len(TWELVE) == 12
    assert set(JOB_NAMES.values()) == set(TWELVE) == set(job_names(installed()))
    assert explicit(installed()) == (12, 12)
    for name in TWELVE:
        assert JOBS[name].retry_on == INFRASTRUCTURE == (MemoryError, errors.DatabaseConnectionError)  # type: ignore[attr-defined]


QUEUE = 'JOB_NAMES: dict[str, str] = {"fetch": "process_chunk"}'


def found(sources: dict[str, str]) -> list[str]:
    """Breaches, where the queue knows one job; names are those of modules of ``workers``."""
    return found_in(RULES, {f"workers/{name}.py": text for name, text in sources.items()} | {"app/queue.py": QUEUE})


def test_a_good_module_passes() -> None:
    """The rules ask for nothing that a job has no need of."""
    assert found({"builder": GOOD}) == []


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        ({"builder": GOOD.replace("@job(retry_on=INFRASTRUCTURE)\n", "")}, "process_chunk is registered and has no @job"),
        ({"builder": GOOD.replace("(retry_on=INFRASTRUCTURE)", "()")}, "process_chunk does not say retry_on="),
        ({"builder": GOOD.replace("(retry_on=INFRASTRUCTURE)", "")}, "process_chunk does not say retry_on="),
        ({"builder": GOOD.replace("    Retry: MemoryError and DatabaseConnectionError, 3 times, 60 s apart.\n", "")}, "retry strategy"),
        ({"builder": GOOD.replace("3 times", "5 times")}, "process_chunk does not state its retry strategy"),
        ({"builder": GOOD.replace("await fetch(work)", TRY)}, "process_chunk has a try of its own"),
        ({"builder": GOOD + "    raise Retry(defer=5)\n"}, "workers/builder.py:12: raises Retry"),
        ({"builder": GOOD + "    raise arq.Retry(5) from None\n"}, "workers/builder.py:12: raises Retry"),
        ({"builder": GOOD + "    raise Retry\n"}, "workers/builder.py:12: raises Retry"),
        ({"builder": GOOD, "sending": "from arq import Retry\n"}, "workers/sending.py:1: imports arq's Retry"),
        ({"builder": GOOD, "sending": "from arq.worker import Retry as Again\n"}, "workers/sending.py:1: imports arq's Retry"),
        ({"builder": GOOD + LOOP}, "builder.fetch has a retry of its own"),
        ({"builder": "from workers import fetching\n" + GOOD, "fetching": LOOP}, "fetching.fetch has a retry of its own"),
        (
            {"builder": "from workers.stages.fetch import f\n" + GOOD, "fetching": "from workers import deep\n", "deep": LOOP},
            "deep.fetch has a retry of its own",
        ),
    ],
)
def test_a_bad_module_does_not_pass(sources: dict[str, str], words: str) -> None:
    """One breach each, named with its place."""
    (breach,) = found(sources)
    assert words in breach


def test_the_worker_itself_may_look_at_redis_again() -> None:
    """A loop that sleeps is no retry of a job where no job imports it: the poll loop outlives Redis."""
    assert found({"builder": GOOD, "runtime": LOOP}) == []
    assert found({"builder": GOOD, "job": "from arq import Retry\nraise Retry\n" + LOOP}) == []


def test_a_cron_without_the_decorator_does_not_pass() -> None:
    """What the worker gives arq as a cron is a job like the others."""
    crons = "from arq import cron\ncrons = [cron(sweeper.sweep, second={0})]"
    assert found({"builder": GOOD, "polling": crons}) == [
        "workers/worker.py:2: sweep is registered and has no @job; put @job(retry_on=INFRASTRUCTURE) above it"
    ]


def test_only_jobs_that_keep_the_rule_count() -> None:
    """The figure of the audit is not the length of a list."""
    sources = {"workers/builder.py": GOOD, "app/queue.py": QUEUE}
    assert explicit(parsed(sources)) == (1, 1)
    assert explicit(parsed(sources | {"workers/builder.py": GOOD.replace("3 times", "5 times")})) == (0, 1)
    assert explicit(parsed({})) == (0, 0)


def test_every_excused_loop_is_there() -> None:
    """An exception that nothing needs any more goes."""
    for name in OWN_LOOPS:
        module, _, function = name.rpartition(".")
        assert function in {getattr(here.node, "name", None) for here in installed()[module].nodes}
