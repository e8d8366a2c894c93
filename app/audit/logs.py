"""How the project may log: through logging_setup alone, constant events from the catalogue, data as keywords."""

import ast
import re
from collections.abc import Iterator

from app.audit import events
from app.audit.rule import Breach, Rule
from app.audit.scan import LogCall, log_calls
from app.audit.sources import Module, Sources
from app.audit.syntax import calls, dotted, imports

__all__ = ["RULES", "catalogue_breaches"]

OWNER = "logging_setup"
EVENT = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
FOREIGN = frozenset({"exc_info", "stack_info", "extra"})
"""Arguments of the standard library's loggers; loguru takes them for fields."""


def _one_logging(sources: Sources) -> Iterator[Breach]:
    for module in sources.values():
        if module.name.split(".")[0] == OWNER:
            continue
        for name, line in imports(module):
            if name.split(".")[0] in ("logging", "loguru"):
                yield Breach(module.path, line, f"imports {name}", f"from {OWNER} import get_logger")


def _no_print(sources: Sources) -> Iterator[Breach]:
    for module in sources.values():
        for call, _ in calls(module):
            if dotted(call.func) == "print":
                yield Breach(module.path, call.lineno, "prints", "a command's result goes through Cli.result, everything else is logged")


def _constant(sources: Sources) -> Iterator[Breach]:
    for said in log_calls(sources):
        yield from (Breach(said.module.path, said.call.lineno, what, way_out) for what, way_out in _faults(said))


def _faults(said: LogCall) -> Iterator[tuple[str, str]]:
    call = said.call
    if said.event is None or not EVENT.fullmatch(said.event):
        yield f"the event is no constant dotted name: {ast.unparse(call)[:100]}", 'log.info("thing.happened", key=value)'
    if any(isinstance(node, ast.JoinedStr) for node in _arguments(call)):
        yield "an f-string in a log call", "pass the data as keywords"
    if any(isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) and _is_text(node.left) for node in _arguments(call)):
        yield "a %-format in a log call", "pass the data as keywords"
    if any(isinstance(node, ast.Attribute) and node.attr == "format" and _is_text(node.value) for node in _arguments(call)):
        yield ".format in a log call", "pass the data as keywords"
    if len(call.args) > (2 if call.func.attr == "log" else 1):  # type: ignore[attr-defined]
        yield "positional data in a log call", "pass the data as keywords"
    if FOREIGN & said.fields:
        yield f"{', '.join(sorted(FOREIGN & said.fields))} is the standard library's", "log.opt(exception=error)"


def _arguments(call: ast.Call) -> Iterator[ast.AST]:
    for argument in (*call.args, *(keyword.value for keyword in call.keywords)):
        yield from ast.walk(argument)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _catalogued(sources: Sources) -> Iterator[Breach]:
    yield from catalogue_breaches(sources, frozenset(events.CATALOGUE))


def catalogue_breaches(sources: Sources, known: frozenset[str]) -> Iterator[Breach]:
    """Events that the catalogue lacks, and entries that nothing says any more."""
    said = log_calls(sources)
    for call in said:
        if call.event is not None and call.event not in known:
            yield Breach(call.module.path, call.call.lineno, f"{call.event} is not in the catalogue", "add its line to app/audit/events.py")
    catalogue = sources.get("app.audit.events")
    if catalogue is not None:
        for stale in sorted(known - {call.event for call in said}):
            yield Breach(catalogue.path, _line_of(catalogue, stale), f"nothing says {stale}", "take it out of the catalogue")


def _line_of(module: Module, event: str) -> int:
    lines = [here.node.lineno for here in module.nodes if isinstance(here.node, ast.Constant) and here.node.value == event]
    return lines[0] if lines else 1


RULES = (
    Rule("one-logging", f"no module but {OWNER} imports logging or loguru", _one_logging),
    Rule("no-print", "nothing prints", _no_print),
    Rule("constant-events", "events are constants; no f-string, no format, no exc_info in a log call", _constant),
    Rule("events-catalogued", "every event is in the catalogue, and nothing else is", _catalogued),
)
