"""Rules that the sources keep and no linter knows. Each is a function from sources to breaches, and each is shown to fail.

Who may import what is held by ruff and import-linter, see test_import_rules.py.
"""

import ast
import re
from collections.abc import Callable, Iterator

import pytest

from app.job_states import UnitKind
from app.queue import JOB_NAMES
from errors.decisions import DECISION_TABLE
from tests.log_events import JOB_EVENTS, PROCESS_EVENTS, events_of, main
from tests.sources import (
    FUNCTIONS,
    LogCall,
    Module,
    Sources,
    dotted,
    function_around,
    last,
    log_calls,
    parents,
    parse,
    project,
)
from workers import builder, sweeper, validator
from workers.job import INFRASTRUCTURE, JOBS

Rule = Callable[[Sources], Iterator[str]]
"""Yields one line for each breach: the file, then what is wrong."""

JOB_FUNCTIONS = (*builder.__all__, *validator.__all__)


# --- jobs

STRATEGY = ("MemoryError", "DatabaseConnectionError", "3 times", "60 s apart")

WRITE_LOOPS = {
    "_while_leased": "writes outcomes again until the database accepts them, within the lease; runs no job again",
    "_flush_regularly": "writes outcomes every second; runs no job again",
}
"""Functions of job modules with a loop that tries and sleeps, which are no retry of a job."""


def jobs_state_their_retry(sources: Sources) -> Iterator[str]:
    """Every function under ``@job`` has ``retry_on=``, describes it in its docstring, and catches nothing itself."""
    for module in sources.values():
        for function, decorator in _jobs(module):
            where = f"{module.path}: {function.name}"
            if not isinstance(decorator, ast.Call) or "retry_on" not in {keyword.arg for keyword in decorator.keywords}:
                yield f"{where} has no retry_on="
            if not all(word in (ast.get_docstring(function) or "").partition("Retry: ")[2] for word in STRATEGY):
                yield f"{where} does not describe its retries"
            if any(isinstance(node, ast.Try) for node in ast.walk(function)):
                yield f"{where} has a try of its own"


def _jobs(module: Module) -> list[tuple[ast.AsyncFunctionDef, ast.expr]]:
    """The functions of a module under ``@job``, with the decorator."""
    functions = [node for node in module.nodes if isinstance(node, ast.AsyncFunctionDef)]
    return [(f, line) for f in functions for line in f.decorator_list if last(line.func if isinstance(line, ast.Call) else line) == "job"]


def only_the_decorator_retries(sources: Sources) -> Iterator[str]:
    """arq's Retry is raised by the module of the decorator alone."""
    for module in sources.values():
        for node in module.nodes:
            raised = node.exc if isinstance(node, ast.Raise) else None
            if last(raised.func if isinstance(raised, ast.Call) else raised) in ("Retry", "RetryJob") and module.name != "workers.job":
                yield f"{module.path}: raises Retry"


def no_job_module_retries(sources: Sources) -> Iterator[str]:
    """No module that a job module imports within ``workers`` has a loop that tries and sleeps."""
    waiting = [module.name for module in sources.values() if _jobs(module)]
    seen = {"workers.job"}
    while waiting:
        name = waiting.pop()
        if name in sources and name.startswith("workers.") and name not in seen:
            seen.add(name)
            waiting += _imports(sources[name])
            yield from (
                f"{sources[name].path}: {function.name} tries again in a loop"
                for function in sources[name].nodes
                if isinstance(function, FUNCTIONS) and any(map(_tries_and_sleeps, ast.walk(function))) and function.name not in WRITE_LOOPS
            )


def _imports(module: Module) -> Iterator[str]:
    for node in module.nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names))


def _tries_and_sleeps(loop: ast.AST) -> bool:
    inside = list(ast.walk(loop)) if isinstance(loop, ast.For | ast.While | ast.AsyncFor) else []
    sleeps = any(isinstance(node, ast.Call) and last(node.func) == "sleep" for node in inside)
    return sleeps and any(isinstance(node, ast.Try) for node in inside)


# --- network

DIALS = {"socket.socket", "open_connection", "open_unix_connection", "create_connection", "sock_connect", "getaddrinfo", "gethostbyname"}
MAY_DIAL = ("downloader", "app.web.server", "app.cli.doctor")
"""The downloader, the API's own listening socket, and the check whether names resolve."""

REMOTE_STORES = ("from_url", "S3Store", "AzureStore", "GCSStore", "HTTPStore")


def requests_go_through_the_policy(sources: Sources) -> Iterator[str]:
    """Each ``requester.send(...)`` is inside the arguments of ``policy.run(...)``, or in a function whose every caller is.

    A method is found by the convention that an attribute is named after its class: ``self._robots.check`` is ``Robots.check``. A call
    that cannot be resolved counts as unguarded.
    """
    for module in _downloader(sources):
        for call in module.calls():
            if _is_call_of(call, "requester", "send") and not _is_guarded(sources, module, call, frozenset()):
                yield f"{module.path}:{call.lineno}: a request outside of the retry policy"


def _downloader(sources: Sources) -> list[Module]:
    return [module for module in sources.values() if module.name.split(".")[0] == "downloader"]


def _is_call_of(node: ast.AST, receiver: str, method: str) -> bool:
    func = node.func if isinstance(node, ast.Call) else None
    return isinstance(func, ast.Attribute) and func.attr == method and last(func.value).strip("_") == receiver


def _is_guarded(sources: Sources, module: Module, node: ast.AST, seen: frozenset[ast.AST]) -> bool:
    if any(_is_call_of(parent, "policy", "run") for parent in parents(node)):
        return True
    function = function_around(node)
    if function is None or function in seen:
        return False
    uses = [(other, use) for other in _downloader(sources) for use in other.nodes if _refers(other, use, module, function)]
    return bool(uses) and all(_is_guarded(sources, other, use, seen | {function}) for other, use in uses)


def _refers(here: Module, node: ast.AST, module: Module, function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    owner = _class_of(function)
    if isinstance(node, ast.Name):
        return not owner and node.id == function.name and here is module
    if not isinstance(node, ast.Attribute) or node.attr != function.name:
        return False
    receiver = last(node.value).strip("_")
    if receiver == "self":
        return owner in [parent.name for parent in parents(node) if isinstance(parent, ast.ClassDef)]
    return receiver.replace("_", "").lower() == (owner.lower() or module.name.rpartition(".")[2])


def _class_of(function: ast.AST) -> str:
    """The class of a method; a function within a method has none."""
    around = next((parent for parent in parents(function) if isinstance(parent, (*FUNCTIONS, ast.ClassDef))), None)
    return around.name if isinstance(around, ast.ClassDef) else ""


def only_the_downloader_dials(sources: Sources) -> Iterator[str]:
    """Nobody else opens a connection or looks a name up."""
    for module in sources.values():
        for call in module.calls():
            name = "socket.socket" if dotted(call.func) == "socket.socket" else last(call.func)
            if name in DIALS and not module.name.startswith(MAY_DIAL):
                yield f"{module.path}:{call.lineno}: calls {name}"


def stores_have_their_retry_rule(sources: Sources) -> Iterator[str]:
    """A remote object store is opened with ``retry_config=``: obstore alone repeats its requests."""
    for module in sources.values():
        for call in module.calls() if module.name.startswith("app.storage") else ():
            if last(call.func) in REMOTE_STORES and "retry_config" not in {keyword.arg for keyword in call.keywords}:
                yield f"{module.path}:{call.lineno}: {last(call.func)} without retry_config="


# --- errors


def error_classes_have_a_row(sources: Sources) -> Iterator[str]:
    """A class of the tree has a row in the decision table (tests/errors checks them all); a class elsewhere derives from one that has."""
    decided = {error.__name__ for error in DECISION_TABLE}
    for module in sources.values():
        for node in module.nodes:
            bases = [base for base in node.bases if dotted(base).startswith("errors.")] if isinstance(node, ast.ClassDef) else []
            if bases and not decided & set(map(last, bases)):
                yield f"{module.path}: {dotted(bases[0])} has no row, and a class derives from it"


# --- logs

EVENT = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
FOREIGN = {"exc_info", "stack_info", "extra"}
"""Arguments of the standard library's loggers, which loguru takes for fields."""


def log_calls_are_constant(sources: Sources) -> Iterator[str]:
    """A log call has a constant event and its data as keywords: no f-string, no %-format, no ``.format``."""
    for said in log_calls(sources):
        yield from (f"{said.path}:{said.call.lineno}: {fault}" for fault in _faults(said))


def _faults(said: LogCall) -> Iterator[str]:
    call = said.call
    arguments = [node for given in (*call.args, *(keyword.value for keyword in call.keywords)) for node in ast.walk(given)]
    if said.event is None or not EVENT.fullmatch(said.event):
        yield "the event is not a constant dotted name"
    if any(isinstance(node, ast.JoinedStr) for node in arguments):
        yield "an f-string in a log call"
    if any(isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) and _is_text(node.left) for node in arguments):
        yield "a %-format in a log call"
    if any(isinstance(node, ast.Attribute) and node.attr == "format" and _is_text(node.value) for node in arguments):
        yield ".format in a log call"
    if len(call.args) > (2 if last(call.func) == "log" else 1):
        yield "positional data in a log call"
    if FOREIGN & said.fields:
        yield f"{', '.join(FOREIGN & said.fields)}: use log.opt(exception=error)"


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


# --- the project keeps the rules

RULES: tuple[Rule, ...] = (
    jobs_state_their_retry,
    only_the_decorator_retries,
    no_job_module_retries,
    requests_go_through_the_policy,
    only_the_downloader_dials,
    stores_have_their_retry_rule,
    error_classes_have_a_row,
    log_calls_are_constant,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_project_keeps_the_rule(rule: Rule) -> None:
    """No breach in the five packages."""
    assert list(rule(project())) == []


def test_all_jobs_are_registered_with_the_same_rule() -> None:
    """All of them retry on infrastructure errors; each kind of unit has its job, and the crons are jobs too."""
    assert len(JOB_FUNCTIONS) == len(UnitKind) >= 13
    assert set(JOB_NAMES.values()) == set(JOB_FUNCTIONS)
    assert set(JOBS) == {*JOB_FUNCTIONS, *(name for name in sweeper.__all__ if name in JOBS)} >= {"sweep", "clean_up"}
    assert {JOBS[name].retry_on for name in JOBS} == {INFRASTRUCTURE}  # type: ignore[attr-defined]
    assert sorted(function.name for module in project().values() for function, _ in _jobs(module)) == sorted(JOBS)


def test_the_rules_have_something_to_look_at() -> None:
    """No rule holds only because the names that it looks for are gone."""
    sends = [call for module in _downloader(project()) for call in module.calls() if _is_call_of(call, "requester", "send")]
    assert len(sends) >= 3, "images, JSON of sources, robots.txt"
    calls = [last(call.func) for module in project().values() for call in module.calls()]
    assert set(calls) & set(REMOTE_STORES)
    assert len(log_calls(project())) > 60
    functions = {node.name for module in project().values() for node in module.nodes if isinstance(node, FUNCTIONS)}
    assert set(WRITE_LOOPS) <= functions


def test_every_event_has_its_sentence_and_the_reference_is_current() -> None:
    """Events of the code and of docs/reference/events.toml are the same; each has one sentence, in one of the two parts."""
    assert set(events_of(project())) == {*JOB_EVENTS, *PROCESS_EVENTS}
    assert not JOB_EVENTS.keys() & PROCESS_EVENTS.keys()
    assert all(sentence and not sentence.endswith(".") for sentence in (JOB_EVENTS | PROCESS_EVENTS).values())
    assert main(["--check"]) == 0


# --- each rule can fail

JOB = '''
@job(retry_on=INFRASTRUCTURE)
async def process_chunk(ctx, *, unit_id):
    """Fetch a chunk.

    Retry: MemoryError and DatabaseConnectionError, 3 times, 60 s apart.
    """
    await fetch(unit_id)
'''
TRY = "try:\n        pass\n    except OSError:\n        pass"
LOOP = """
async def fetch():
    while True:
        try:
            return await get()
        except OSError:
            await asyncio.sleep(1)
"""
CLIENT = """
class Downloader:
    async def fetch(self, url):
        async def attempt(number):
            return await self._get(url)
        return await self._policy.run(attempt, host="h")

    async def _get(self, url):
        return await self._requester.send(url, Terms(admit=self._robots.check))

    async def fetch_json(self, url):
        return await self._policy.run(lambda number: self._requester.send(url), host="h")
"""
ROBOTS = """
class Robots:
    async def check(self, target):
        return await self._requester.send(target)
"""
LOG = "from logging_setup import get_logger\nlog = get_logger(__name__)\n"
GOOD = {
    "workers/builder.py": JOB,
    "workers/worker_pool.py": LOOP,
    "workers/job.py": "raise Retry(defer=5)" + LOOP,
    "downloader/client.py": CLIENT,
    "downloader/robots.py": ROBOTS,
    "app/storage/backends.py": "x = from_url(url, retry_config=RETRIES)\ny = MemoryStore()",
    "app/db/exceptions.py": "class KeyReused(errors.PermanentError): ...",
    "app/x.py": LOG + "log.bind(**x).log(level, 'a.b')\nlog.opt(exception=e).error('a.b', share=a % b, error=str(e))\nmath.log(f(3), 2)",
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_good_sources_pass(rule: Rule) -> None:
    """A rule asks for nothing beyond what it says."""
    assert list(rule(parse(GOOD))) == []


BAD = [
    (jobs_state_their_retry, "workers/builder.py", JOB.replace("(retry_on=INFRASTRUCTURE)", "()"), "no retry_on="),
    (jobs_state_their_retry, "workers/builder.py", JOB.replace("(retry_on=INFRASTRUCTURE)", ""), "no retry_on="),
    (jobs_state_their_retry, "workers/builder.py", JOB.replace("3 times", "5 times"), "does not describe its retries"),
    (jobs_state_their_retry, "workers/builder.py", JOB.replace("await fetch(unit_id)", TRY), "has a try of its own"),
    (only_the_decorator_retries, "workers/builder.py", JOB + "    raise Retry(defer=5)", "raises Retry"),
    (only_the_decorator_retries, "workers/sending.py", "raise arq.Retry(5) from None", "raises Retry"),
    (only_the_decorator_retries, "workers/sending.py", "raise Retry", "raises Retry"),
    (no_job_module_retries, "workers/builder.py", JOB + LOOP, "fetch tries again"),
    (no_job_module_retries, "workers/builder.py", "from workers import worker_pool\n" + JOB, "fetch tries again"),
    (no_job_module_retries, "workers/builder.py", "from workers.worker_pool import f\n" + JOB, "fetch tries again"),
    (requests_go_through_the_policy, "downloader/client.py", CLIENT.replace("_policy.run(attempt", "_other(attempt"), "client.py:9:"),
    (requests_go_through_the_policy, "downloader/client.py", CLIENT.replace("_policy.run(lambda", "_other(lambda"), "client.py:12:"),
    (requests_go_through_the_policy, "downloader/x.py", "class X:\n    async def f(self): await self._robots.check(1)", "robots.py:4:"),
    (requests_go_through_the_policy, "downloader/client.py", CLIENT.replace("self._robots.check", "None"), "robots.py:4:"),
    (requests_go_through_the_policy, "downloader/loop.py", "async def again(): requester.send(1); await again()", "loop.py:1:"),
    (requests_go_through_the_policy, "downloader/loop.py", "requester.send(1)", "loop.py:1:"),
    (only_the_downloader_dials, "workers/x.py", "async def f(): await asyncio.open_connection('h', 80)", "open_connection"),
    (only_the_downloader_dials, "workers/x.py", "x = socket.socket()", "socket.socket"),
    (
        only_the_downloader_dials,
        "app/web/api/jobs.py",
        "async def f(loop): await loop().create_connection(p, 'h', 80)",
        "create_connection",
    ),
    (stores_have_their_retry_rule, "app/storage/backends.py", "x = from_url(url)", "from_url without"),
    (stores_have_their_retry_rule, "app/storage/backends.py", "x = S3Store('bucket')", "S3Store without"),
    (error_classes_have_a_row, "app/db/exceptions.py", "class KeyReused(errors.PictrawlError): ...", "errors.PictrawlError has no row"),
    (log_calls_are_constant, "app/x.py", LOG + "log.info(f'fetched {url}')", "an f-string"),
    (log_calls_are_constant, "app/x.py", LOG + "log.info('a.b', error=f'no {x}')", "an f-string"),
    (log_calls_are_constant, "app/x.py", LOG + "log.opt(exception=e).error(f'{x}')", "an f-string"),
    (log_calls_are_constant, "app/x.py", "get_logger('x').info(f'{x}')", "an f-string"),
    (log_calls_are_constant, "app/x.py", "_log = get_logger('x')\n_log.info(f'{x}')", "an f-string"),
    (log_calls_are_constant, "app/x.py", LOG + "log.info('a.b', error='%s' % x)", "a %-format"),
    (log_calls_are_constant, "app/x.py", LOG + "log.info('took {}'.format(x))", ".format"),
    (log_calls_are_constant, "app/x.py", LOG + "log.info('a.b', x)", "positional data"),
    (log_calls_are_constant, "app/x.py", LOG + "log.log('INFO', 'a.b', 3)", "positional data"),
    (log_calls_are_constant, "app/x.py", LOG + "log.warning(event)", "not a constant"),
    (log_calls_are_constant, "app/x.py", LOG + "log.warning('Fetched a chunk')", "not a constant"),
    (log_calls_are_constant, "app/x.py", LOG + "log.warning()", "not a constant"),
    (log_calls_are_constant, "app/x.py", LOG + "log.error('a.b', exc_info=True)", "exc_info"),
]


@pytest.mark.parametrize(("rule", "path", "text", "words"), BAD, ids=[f"{rule.__name__}-{n}" for n, (rule, *_) in enumerate(BAD)])
def test_a_bad_source_is_found(rule: Rule, path: str, text: str, words: str) -> None:
    """Put in place of the good one, or beside it."""
    found = list(rule(parse(GOOD | {path: text})))
    assert any(words in breach for breach in found), found


def test_fields_and_levels_of_log_calls_are_read() -> None:
    """Of the call, of its ``bind``, and of a dict that is spread; levels that are computed are all that they can be."""
    text = """
def f(problems, given):
    level = "ERROR" if problems else "INFO"
    fields = {"user_id": 1, "route": 2}
    log.bind(**fields, method=3).log(level, "a.judged", duration_ms=4)
    log.log("WARNING" if problems else "DEBUG", "a.seen", **{"seen": 1})
    log.opt(exception=given, depth=1).exception("a.died", error=1, **given)
    log.log(given, "a.unknown")
"""
    found = {call.event: (call.levels, set(call.fields)) for call in log_calls(parse({"app/x.py": LOG + text}))}
    assert found == {
        "a.judged": (("INFO", "ERROR"), {"user_id", "route", "method", "duration_ms"}),
        "a.seen": (("DEBUG", "WARNING"), {"seen"}),
        "a.died": (("ERROR",), {"error"}),
        "a.unknown": ((), set()),
    }
