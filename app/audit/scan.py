"""What is logged, read from the sources: every call on a logger with its event, its levels and its fields. Pure."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from app.audit.sources import Module, Node, Sources
from app.audit.syntax import called, dotted, function_around, last, root

__all__ = ["LEVELS", "LogCall", "fields_by_event", "files_by_event", "log_calls", "loggers", "strings_of"]

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
METHODS = {**{level.lower(): level for level in LEVELS}, "exception": "ERROR", "trace": "DEBUG", "success": "INFO"}

SAMPLES = frozenset({"app.audit.costs"})
"""Modules whose lines reach nobody: they time what a line costs."""


@dataclass(frozen=True, slots=True)
class LogCall:
    """One call on a logger.

    Attributes:
        event: the constant; None where it is none.
        levels: all that it may be said at, least severe first.
        fields: keywords of the call, and what was bound in front of it.
    """

    module: Module
    call: ast.Call
    event: str | None
    levels: tuple[str, ...]
    fields: frozenset[str]


def log_calls(sources: Sources) -> list[LogCall]:
    """Every call that writes a line for somebody to read."""
    return [found for name, module in sources.items() if name not in SAMPLES for found in _of_module(module)]


@lru_cache(maxsize=1024)
def _of_module(module: Module) -> tuple[LogCall, ...]:
    names = loggers(module)
    return tuple(found for here in module.nodes if (found := _log_call(module, names, here)))


def loggers(module: Module) -> frozenset[str]:
    """Names of a module's loggers: what ``get_logger`` made, or in ``logging_setup`` itself a bound logger of loguru's."""
    assigned = [here.node for here in module.nodes if isinstance(here.node, ast.Assign) and _makes_logger(here.node.value)]
    return frozenset(dotted(target) for node in assigned for target in node.targets)


def _makes_logger(value: ast.expr) -> bool:
    maker = called(value)
    return last(maker) == "get_logger" or dotted(maker) == "loguru.logger.bind"


def files_by_event(sources: Sources) -> Mapping[str, frozenset[str]]:
    """Event -> the files that say it."""
    found = log_calls(sources)
    return {said.event: frozenset(other.module.path for other in found if other.event == said.event) for said in found if said.event}


def fields_by_event(sources: Sources) -> Mapping[str, frozenset[str]]:
    """Event -> the fields that are passed with it, over all of its calls."""
    found = log_calls(sources)
    events = {said.event for said in found if said.event}
    return {event: frozenset().union(*(said.fields for said in found if said.event == event)) for event in events}


def _log_call(module: Module, names: frozenset[str], here: Node) -> LogCall | None:
    call = here.node
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
        return None
    method, begin = call.func.attr, root(call.func)
    if method not in METHODS and method != "log":
        return None
    if dotted(begin) not in names and last(called(begin)) != "get_logger":
        return None
    position = 1 if method == "log" else 0
    given = call.args[position] if len(call.args) > position else None
    event = given.value if isinstance(given, ast.Constant) and isinstance(given.value, str) else None
    levels = (METHODS[method],) if method in METHODS else _levels(call.args[0] if call.args else None, here)
    return LogCall(module, call, event, levels, frozenset(_fields(call, here)))


def _levels(given: ast.expr | None, here: Node) -> tuple[str, ...]:
    found = set(strings_of(given, here))
    return tuple(level for level in LEVELS if level in found)


def strings_of(given: ast.AST | None, here: Node) -> Iterator[str]:
    """The constants that an expression, or a name that its function assigns, can be."""
    around = function_around(here)
    if isinstance(given, ast.Name) and around is not None:
        for value in _assigned(around, given.id):
            yield from strings_of(value, here) if not isinstance(value, ast.Name) else ()
    elif given is not None:
        yield from (node.value for node in ast.walk(given) if isinstance(node, ast.Constant) and isinstance(node.value, str))


def _assigned(function: ast.AST, name: str) -> Iterator[ast.expr]:
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and name in [dotted(target) for target in node.targets]:
            yield node.value


def _fields(call: ast.Call, here: Node) -> Iterator[str]:
    """Keywords, those of a ``bind`` in front, and the keys of a dict that is spread into either."""
    link: ast.AST = call
    while isinstance(link, ast.Call | ast.Attribute):
        if isinstance(link, ast.Call):
            is_said = link is call or last(link.func) == "bind" or (isinstance(link.func, ast.Attribute) and link.func.attr == "bind")
            for keyword in link.keywords if is_said else ():
                yield from [keyword.arg] if keyword.arg else _keys(keyword.value, here)
        link = link.func if isinstance(link, ast.Call) else link.value


def _keys(given: ast.expr, here: Node) -> Iterator[str]:
    around = function_around(here)
    values = list(_assigned(around, given.id)) if isinstance(given, ast.Name) and around is not None else [given]
    for value in values:
        if isinstance(value, ast.Dict):
            yield from (key.value for key in value.keys if isinstance(key, ast.Constant) and isinstance(key.value, str))
