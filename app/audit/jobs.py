"""Who may retry: every job says its rule above it and in its docstring, one module raises arq's Retry, no loop tries again."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from app.audit.rule import Breach, Rule
from app.audit.sources import Module, Sources
from app.audit.syntax import FUNCTIONS, called, dotted, imports, last

__all__ = ["EXPLICIT", "OWN_LOOPS", "RULES", "decorated", "explicit", "job_names", "registered"]

MECHANISM = "workers.job"
"""The module that holds the decorator, and with it arq's Retry."""

STRATEGY = ("MemoryError", "DatabaseConnectionError", "3 times", "60 s apart")
OWN_LOOPS: Mapping[str, str] = {
    "workers.stages.outcomes._while_leased": "keeps outcomes until the database takes them, within the lease; runs nothing again",
    "workers.stages.outcomes._flush_regularly": "writes outcomes down every second; runs nothing again",
}
"""Loops that try and sleep and are no retry."""

JobFunction = tuple[Module, ast.AsyncFunctionDef]


def job_names(sources: Sources) -> dict[str, tuple[str, int]]:
    """The jobs that the queue knows, each with its place: the values of ``JOB_NAMES``."""
    found: dict[str, tuple[str, int]] = {}
    for module in _of(sources, "app.queue"):
        for here in module.nodes:
            if isinstance(here.node, ast.AnnAssign) and dotted(here.node.target) == "JOB_NAMES" and isinstance(here.node.value, ast.Dict):
                values = [value for value in here.node.value.values if isinstance(value, ast.Constant)]
                found |= {str(value.value): (module.path, value.lineno) for value in values}
    return found


def registered(sources: Sources) -> dict[str, tuple[str, int]]:
    """What arq is given: the jobs, and each function in a ``cron(...)`` of the worker."""
    found = job_names(sources)
    for module in _of(sources, "workers.worker"):
        for here in module.nodes:
            if isinstance(here.node, ast.Call) and dotted(here.node.func) == "cron" and here.node.args:
                found[last(here.node.args[0])] = (module.path, here.node.lineno)
    return found


def decorated(sources: Sources) -> dict[str, JobFunction]:
    """Functions of ``workers`` under the decorator, with or without its arguments."""
    found: dict[str, JobFunction] = {}
    for module in _workers(sources):
        for here in module.nodes:
            if isinstance(here.node, ast.AsyncFunctionDef) and any(_is_job(line) for line in here.node.decorator_list):
                found[here.node.name] = (module, here.node)
    return found


def explicit(sources: Sources) -> tuple[int, int]:
    """How many of the queue's jobs state their rule as they should, and how many there are."""
    jobs, names = decorated(sources), job_names(sources)
    good = [name for name in names if name in jobs and not any(_of_job(*jobs[name]))]
    return len(good), len(names)


def _explicit_jobs(sources: Sources) -> Iterator[Breach]:
    jobs = decorated(sources)
    yield from chain.from_iterable(_of_job(*job) for job in jobs.values())
    for name, (path, line) in registered(sources).items():
        if name not in jobs:
            yield Breach(path, line, f"{name} is registered and has no @job", "put @job(retry_on=INFRASTRUCTURE) above it")


def _of_job(module: Module, function: ast.AsyncFunctionDef) -> Iterator[Breach]:
    def breach(what: str, way_out: str) -> Breach:
        return Breach(module.path, function.lineno, f"{function.name} {what}", way_out)

    [line, *_] = [line for line in function.decorator_list if _is_job(line)]
    if not isinstance(line, ast.Call) or "retry_on" not in {keyword.arg for keyword in line.keywords}:
        yield breach("does not say retry_on=", "write @job(retry_on=INFRASTRUCTURE)")
    strategy = (ast.get_docstring(function) or "").partition("Retry: ")[2]
    if not all(word in strategy for word in STRATEGY):
        yield breach("does not state its retry strategy", f"end its docstring with 'Retry: ...' that names {', '.join(STRATEGY)}")
    if any(isinstance(node, ast.Try) for node in ast.walk(function)):
        yield breach("has a try of its own", "let the error escape to the decorator")


def _one_retry(sources: Sources) -> Iterator[Breach]:
    way_out = f"only {MECHANISM} may; let the error escape to it"
    for module in sources.values():
        if module.name == MECHANISM:
            continue
        for name, line in imports(module):
            if name in ("arq.Retry", "arq.worker.Retry", "arq.worker.RetryJob"):
                yield Breach(module.path, line, "imports arq's Retry", way_out)
        for here in module.nodes:
            if isinstance(here.node, ast.Raise) and last(called(here.node.exc)) in ("Retry", "RetryJob"):
                yield Breach(module.path, here.node.lineno, "raises Retry", way_out)


def _no_own_loops(sources: Sources) -> Iterator[Breach]:
    for name in reachable(sources, {module.name for module, _ in decorated(sources).values()}):
        for function in _own_retries(sources[name].tree):
            if f"{name}.{function.name}" not in OWN_LOOPS:
                what = f"{name}.{function.name} has a retry of its own: a loop that tries and sleeps"
                yield Breach(sources[name].path, function.lineno, what, "leave it to the decorator, or to the downloader")


def reachable(sources: Sources, start: Iterable[str]) -> set[str]:
    """The modules of jobs and those of ``workers`` that they import, at any depth; the decorator's own is none of them."""
    found: set[str] = set()
    waiting = list(start)
    while waiting:
        name = waiting.pop()
        if name not in found and name in sources and name.startswith("workers.") and name != MECHANISM:
            found.add(name)
            waiting += [imported for imported, _ in imports(sources[name])]
    return found


def _own_retries(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for function in ast.walk(tree):
        if isinstance(function, FUNCTIONS) and any(_tries_and_sleeps(node) for node in ast.walk(function)):
            yield function


def _tries_and_sleeps(loop: ast.AST) -> bool:
    inside = list(ast.walk(loop)) if isinstance(loop, ast.For | ast.While | ast.AsyncFor) else []
    sleeps = any(isinstance(node, ast.Call) and last(node.func) == "sleep" for node in inside)
    return sleeps and any(isinstance(node, ast.Try) for node in inside)


def _is_job(line: ast.expr) -> bool:
    return dotted(called(line)) in ("job", "job.job")


def _of(sources: Sources, name: str) -> list[Module]:
    return [sources[name]] if name in sources else []


def _workers(sources: Sources) -> list[Module]:
    return [module for name, module in sources.items() if name.startswith("workers") and name != MECHANISM]


EXPLICIT = Rule("jobs-explicit", "every job and cron has @job(retry_on=...), states its strategy, and catches nothing", _explicit_jobs)
RULES = (
    EXPLICIT,
    Rule("one-arq-retry", f"only {MECHANISM} raises arq's Retry", _one_retry),
    Rule("no-own-loops", "no loop below a job tries again by itself", _no_own_loops, tuple(f"{k}: {v}" for k, v in OWN_LOOPS.items())),
)
