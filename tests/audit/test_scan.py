"""What is logged, read from sources: events, levels, fields."""

from app.audit.scan import fields_by_event, files_by_event, log_calls, loggers
from app.audit.sources import parsed

SOURCE = """
from logging_setup import get_logger

log = get_logger(__name__)
_log = get_logger("x").bind(a=1)

def plain():
    log.info("thing.happened", ok=1)
    log.exception("thing.broke")

def computed(problems):
    level = "ERROR" if problems else "INFO"
    fields = {"user_id": 1, "route": 2}
    log.bind(**fields, method=3).log(level, "thing.judged", duration_ms=4)
    log.log("WARNING" if problems else "DEBUG", "thing.seen", **{"seen": 1})

def around(error, given):
    log.opt(exception=error, depth=1).error("thing.died", error=str(error), **given)
    log.log(given, "thing.anything")
    log.log(unknown(), "thing.unknown")

log.log(LEVEL, "thing.global", **{**GLOBAL})
"""
MODULES = parsed({"workers/x.py": SOURCE, "app/audit/costs.py": SOURCE, "app/y.py": "x = 1"})


def test_every_call_on_a_logger_is_found() -> None:
    """By whatever name; modules that only time a line are left out."""
    found = {call.event: call for call in log_calls(MODULES)}
    assert loggers(MODULES["workers.x"]) == {"log"}
    assert set(files_by_event(MODULES).values()) == {frozenset({"workers/x.py"})}
    assert set(found) == {
        *("thing.happened", "thing.broke", "thing.judged", "thing.seen", "thing.died"),
        *("thing.anything", "thing.unknown", "thing.global"),
    }


def test_levels_are_the_methods_or_the_constants_that_a_level_can_be() -> None:
    """Least severe first; none where the sources do not tell."""
    levels = {call.event: call.levels for call in log_calls(MODULES)}
    assert levels["thing.happened"] == ("INFO",)
    assert levels["thing.broke"] == ("ERROR",)
    assert levels["thing.judged"] == ("INFO", "ERROR")
    assert levels["thing.seen"] == ("DEBUG", "WARNING")
    assert levels["thing.anything"] == levels["thing.unknown"] == levels["thing.global"] == ()


def test_fields_are_those_of_the_call_and_of_a_bind_before_it() -> None:
    """Also out of a dict that is spread; not what ``opt`` takes."""
    fields = fields_by_event(MODULES)
    assert fields["thing.judged"] == {"user_id", "route", "method", "duration_ms"}
    assert fields["thing.seen"] == {"seen"}
    assert fields["thing.died"] == {"error"}
