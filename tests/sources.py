"""The sources of the five packages as syntax trees, and every log call in them. Reads files, imports nothing."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("app", "workers", "downloader", "errors", "logging_setup")
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
METHODS = {**{level.lower(): level for level in LEVELS}, "exception": "ERROR", "trace": "DEBUG", "success": "INFO"}


@dataclass(frozen=True, slots=True, eq=False)
class Module:
    """One file: its dotted name, its path below the project's folder, and its nodes, parents first."""

    name: str
    path: str
    nodes: tuple[ast.AST, ...]

    def calls(self) -> Iterator[ast.Call]:
        """Every call of the module."""
        return (node for node in self.nodes if isinstance(node, ast.Call))


Sources = Mapping[str, Module]
"""Modules by their dotted names."""


def parse(texts: Mapping[str, str]) -> Sources:
    """Parse sources by the paths of their files. Each node gets its parent as the attribute ``parent``."""
    found = {}
    for path, text in sorted(texts.items()):
        nodes: list[ast.AST] = [ast.parse(text, path)]
        for node in nodes:  # grows while it is read
            for child in ast.iter_child_nodes(node):
                child.parent = node  # type: ignore[attr-defined]
                nodes.append(child)
        name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        found[name] = Module(name, path, tuple(nodes))
    return found


@cache
def project() -> Sources:
    """The project's own sources, parsed once."""
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return parse({path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths})


# --- syntax


def parents(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes around a node, the nearest first."""
    while (parent := getattr(node, "parent", None)) is not None:
        yield parent
        node = parent


def function_around(node: ast.AST) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """The innermost function that a node is in."""
    return next((parent for parent in parents(node) if isinstance(parent, FUNCTIONS)), None)


def dotted(node: ast.AST | None) -> str:
    """``a.b.c`` of a name or an attribute, empty for anything else; a call in the middle leaves an empty part."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def last(node: ast.AST | None) -> str:
    """The last part of a dotted name."""
    return dotted(node).rpartition(".")[2]


# --- log calls


@dataclass(frozen=True, slots=True)
class LogCall:
    """One call on a logger.

    Attributes:
        event: the first argument where it is a constant, else None.
        levels: all levels it can have, least severe first.
        fields: keywords of the call and of a ``bind`` before it.
    """

    path: str
    call: ast.Call
    event: str | None
    levels: tuple[str, ...]
    fields: frozenset[str]


def log_calls(sources: Sources) -> list[LogCall]:
    """Every call that writes a log line."""
    return [found for module in sources.values() for call in module.calls() if (found := _log_call(module, call))]


def _log_call(module: Module, call: ast.Call) -> LogCall | None:
    method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    if (method not in METHODS and method != "log") or not _is_logger(module, call.func):
        return None
    position = 1 if method == "log" else 0
    given = call.args[position] if len(call.args) > position else None
    event = given.value if isinstance(given, ast.Constant) and isinstance(given.value, str) else None
    if method == "log":
        constants = {node.value for value in _values(call.args[0], call) for node in ast.walk(value) if isinstance(node, ast.Constant)}
        levels = tuple(level for level in LEVELS if level in constants)
    else:
        levels = (METHODS[method],)
    return LogCall(module.path, call, event, levels, frozenset(_fields(call)))


def _is_logger(module: Module, node: ast.AST) -> bool:
    """Whether a chain of attributes and calls begins at a logger: ``log.opt(...).error``, ``get_logger("x").info``."""
    *_, root = _chain(node)
    return "get_logger" in _called(node) or dotted(root) in _loggers(module)


@cache
def _loggers(module: Module) -> frozenset[str]:
    """The names that a module gives to loggers: of ``get_logger``, or in ``logging_setup`` itself of ``loguru.logger.bind``."""
    makers = {"get_logger", "loguru.logger.bind"}
    assigned = [node for node in module.nodes if isinstance(node, ast.Assign) and makers & _called(node.value)]
    return frozenset(dotted(target) for node in assigned for target in node.targets)


def _called(node: ast.AST) -> set[str]:
    """The functions that are called in a chain."""
    return {dotted(link.func).removeprefix("logging_setup.") for link in _chain(node) if isinstance(link, ast.Call)}


def _chain(node: ast.AST) -> Iterator[ast.AST]:
    """The links of a chain of attributes and calls, the outermost first."""
    yield node
    while isinstance(node, ast.Call | ast.Attribute):
        node = node.func if isinstance(node, ast.Call) else node.value
        yield node


def _values(given: ast.AST, call: ast.Call) -> list[ast.AST]:
    """An expression, or what its function assigns to it where it is a name."""
    if not isinstance(given, ast.Name):
        return [given]
    around = function_around(call)
    assigned = [node for node in ast.walk(around) if isinstance(node, ast.Assign)] if around else []
    return [node.value for node in assigned if given.id in map(dotted, node.targets)]


def _fields(call: ast.Call) -> Iterator[str]:
    """Keywords of a log call and of its ``bind``, and the keys of a dict that is spread into either."""
    for link in _chain(call):
        if isinstance(link, ast.Call) and (link is call or getattr(link.func, "attr", "") == "bind"):
            for keyword in link.keywords:
                yield from [keyword.arg] if keyword.arg else _keys(keyword.value, call)


def _keys(given: ast.expr, call: ast.Call) -> Iterator[str]:
    for value in _values(given, call):
        for key in value.keys if isinstance(value, ast.Dict) else ():
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value
