"""Every error class has its row: the classes of errors/taxonomy.py against the keys of the decision table in errors/decisions.py."""

import ast
from collections.abc import Iterator

from app.audit.rule import Breach, Rule
from app.audit.sources import Module, Sources
from app.audit.syntax import dotted, last

__all__ = ["RULES", "classes", "rows"]

TREE, TABLE = "errors.taxonomy", "errors.decisions"
ROOT = "PictrawlError"
"""Nobody raises it, so it has no row."""


def classes(sources: Sources) -> dict[str, ast.ClassDef]:
    """The classes of the tree by name."""
    nodes = [here.node for here in sources[TREE].nodes] if TREE in sources else []
    return {node.name: node for node in nodes if isinstance(node, ast.ClassDef)}


def rows(sources: Sources) -> dict[str, int]:
    """The classes that the decision table names, each with its line."""
    found: dict[str, int] = {}
    for here in sources[TABLE].nodes if TABLE in sources else ():
        node = here.node
        if isinstance(node, ast.AnnAssign) and dotted(node.target) == "DECISION_TABLE" and isinstance(node.value, ast.Dict):
            found |= {last(key): key.lineno for key in node.value.keys if key is not None}
    return found


def _decided(sources: Sources) -> Iterator[Breach]:
    known, table = classes(sources), rows(sources)
    for name, node in known.items():
        if name != ROOT and name not in table:
            yield Breach(sources[TREE].path, node.lineno, f"{name} has no row", "add it to DECISION_TABLE in errors/decisions.py")
    for name, line in table.items():
        if name not in known and name != "MemoryError":
            yield Breach(sources[TABLE].path, line, f"{name} is no class of the tree", "take its row out")


def _families(sources: Sources) -> Iterator[Breach]:
    """A leaf elsewhere stands below a class with a row: that row is its rule."""
    table = rows(sources)
    for module in sources.values():
        for node in _leaves(module):
            if not any(last(base) in table for base in node.bases):
                yield Breach(module.path, node.lineno, f"{node.name} is in no family of the table", "derive it from one that has a row")


def _leaves(module: Module) -> Iterator[ast.ClassDef]:
    if module.name == TREE:
        return
    for here in module.nodes:
        if isinstance(here.node, ast.ClassDef) and any(dotted(base).startswith("errors.") for base in here.node.bases):
            yield here.node


RULES = (
    Rule("errors-decided", "every error class has its row in the decision table", _decided),
    Rule("errors-in-families", "error classes of other packages stand below one that has a row", _families),
)
