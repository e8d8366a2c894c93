"""Questions to a syntax tree that several rules ask. Pure."""

import ast
from collections.abc import Iterator

from app.audit.sources import Module, Node

__all__ = ["called", "calls", "dotted", "function_around", "imports", "last", "root"]

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def dotted(node: ast.AST | None) -> str:
    """``a.b.c`` of a name or an attribute, empty for anything else; a call in the middle leaves an empty part."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def last(node: ast.AST | None) -> str:
    """The last part of a dotted name."""
    return dotted(node).rpartition(".")[2]


def called(node: ast.AST | None) -> ast.AST | None:
    """What is called, or the node itself where it is no call."""
    return node.func if isinstance(node, ast.Call) else node


def root(node: ast.AST) -> ast.AST:
    """Where a chain of attributes and calls begins: ``log`` of ``log.opt(...).error``."""
    while isinstance(node, ast.Attribute | ast.Call):
        inner = node.value if isinstance(node, ast.Attribute) else node.func
        if isinstance(node, ast.Call) and isinstance(inner, ast.Name):
            return node
        node = inner
    return node


def calls(module: Module) -> Iterator[tuple[ast.Call, Node]]:
    """Every call of a module."""
    for here in module.nodes:
        if isinstance(here.node, ast.Call):
            yield here.node, here


def imports(module: Module) -> Iterator[tuple[str, int]]:
    """Every name that is imported, with its line: the module, and for ``from`` the module with each of its names as well."""
    for here in module.nodes:
        node = here.node
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module), node.lineno
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def function_around(here: Node) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """The innermost function that a node stands in."""
    return next((above.node for above in here.above() if isinstance(above.node, FUNCTIONS)), None)
