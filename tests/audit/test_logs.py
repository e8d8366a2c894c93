"""How the project may log: each rule goes red on a source that breaks it, and is green on ours."""

import pytest

from app.audit.events import CATALOGUE, JOBS, PROCESSES
from app.audit.logs import RULES, catalogue_breaches
from app.audit.rule import judge
from app.audit.scan import log_calls
from app.audit.sources import installed, parsed
from tests.audit.bad import found_in, rule

HEAD = "from logging_setup import get_logger\nlog = get_logger(__name__)\n"
SAID = "chunk.fetched"


def test_our_sources_keep_the_rules() -> None:
    """One logger, constant events, a catalogue that is complete and has nothing stale."""
    assert [str(breach) for verdict in judge(RULES, installed()) for breach in verdict.breaches] == []
    assert len(log_calls(installed())) > 60


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("one-logging", "import logging", "imports logging"),
        ("one-logging", "def f():\n    import logging.handlers", "imports logging.handlers"),
        ("one-logging", "from loguru import logger", "imports loguru"),
        ("no-print", "print('hello')", "prints"),
        ("constant-events", HEAD + "log.info(f'fetched {url}')", "an f-string in a log call"),
        ("constant-events", HEAD + "log.info(f'fetched {url}')", "the event is no constant"),
        ("constant-events", HEAD + f"log.info('{SAID}', error=f'no {{x}}')", "an f-string in a log call"),
        ("constant-events", HEAD + "log.info('took %s s' % seconds)", "a %-format"),
        ("constant-events", HEAD + f"log.info('{SAID}', error='%s' % x)", "a %-format"),
        ("constant-events", HEAD + "log.info('took {}'.format(seconds))", ".format in a log call"),
        ("constant-events", HEAD + "log.info('took %s s', seconds)", "positional data"),
        ("constant-events", HEAD + "log.log('INFO', 'chunk.fetched', 3)", "positional data"),
        ("constant-events", HEAD + "log.warning(event)", "the event is no constant"),
        ("constant-events", HEAD + "log.warning('Fetched a chunk')", "the event is no constant"),
        ("constant-events", HEAD + "log.warning()", "the event is no constant"),
        ("constant-events", HEAD + f"log.error('{SAID}', exc_info=True)", "exc_info is the standard library's"),
        ("constant-events", HEAD + "log.opt(exception=e).error(f'{x}')", "an f-string"),
        ("constant-events", "from logging_setup import get_logger\nget_logger('x').info(f'{x}')", "an f-string"),
        ("constant-events", HEAD.replace("log =", "_log =") + "_log.info(f'{x}')", "an f-string"),
        ("events-catalogued", HEAD + "log.info('pigs.fly')", "pigs.fly is not in the catalogue"),
    ],
)
def test_a_source_that_breaks_a_rule_is_found(name: str, text: str, words: str) -> None:
    """With its place and the way out."""
    breaches = found_in(rule(RULES, name), {"workers/stages/fetch.py": text})
    assert any(words in breach and breach.startswith("workers/stages/fetch.py:") for breach in breaches), breaches


@pytest.mark.parametrize(
    "text",
    [
        HEAD + f"log.info('{SAID}', ok=1, error=str(e) or why)",
        HEAD + f"log.opt(exception=e).error('{SAID}', share=a % b)",
        HEAD + f"log.bind(**fields).log(level, '{SAID}')",
        HEAD + "def f(console):\n    console.log(f'{x}')",
        "import math\nx = math.log(f(3))",
    ],
)
def test_what_is_allowed_is_left_alone(text: str) -> None:
    """Keywords of any kind, levels that are computed, and what is no logger at all."""
    assert found_in(RULES, {"workers/stages/fetch.py": text}) == []


def test_logging_setup_itself_may() -> None:
    """It is where the standard library's lines come in."""
    assert found_in(RULES, {"logging_setup/bridge.py": "import logging\nimport loguru"}) == []


def test_a_stale_entry_of_the_catalogue_is_found() -> None:
    """At its line, where the catalogue is among the sources."""
    sources = parsed({"app/audit/events.py": 'JOBS = {\n    "pigs.fly": "they do",\n}', "workers/x.py": HEAD + f"log.info('{SAID}')"})
    found = list(catalogue_breaches(sources, frozenset({"pigs.fly", "pigs.swim", SAID})))
    assert [(breach.line, breach.what) for breach in found] == [(2, "nothing says pigs.fly"), (1, "nothing says pigs.swim")]
    assert list(catalogue_breaches(parsed({}), frozenset({"pigs.fly"}))) == []


def test_every_event_has_one_sentence() -> None:
    """In one of the two parts, sorted, without a full stop."""
    assert set(JOBS).isdisjoint(PROCESSES)
    assert CATALOGUE == {**JOBS, **PROCESSES}
    assert all(says and not says.endswith(".") for says in CATALOGUE.values())
