"""The sources that are audited: the five packages as installed, or a tree of them elsewhere, parsed once. Reads files, runs nothing."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

__all__ = ["PACKAGES", "Module", "Node", "Sources", "below", "installed", "parsed"]

PACKAGES = ("app", "workers", "downloader", "errors", "logging_setup")


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A node of a syntax tree, with the way up from it."""

    node: ast.AST
    parent: "Node | None"

    def above(self) -> Iterator["Node"]:
        """What it stands in, the nearest first."""
        current = self.parent
        while current is not None:
            yield current
            current = current.parent


@dataclass(frozen=True, slots=True, eq=False)
class Module:
    """One file: its dotted name, its path below the packages' folder, and all of its nodes."""

    name: str
    path: str
    tree: ast.Module
    nodes: tuple[Node, ...]


Sources = Mapping[str, Module]
"""Modules by their dotted names."""


def parsed(texts: Mapping[str, str]) -> Sources:
    """Parse sources by the paths of their files, as in ``workers/builder.py``."""
    modules = [_module(path, text) for path, text in sorted(texts.items())]
    return {module.name: module for module in modules}


def below(folder: Path) -> Sources:
    """All modules of the five packages in a folder; those that are not there are left out."""
    paths = [path for package in PACKAGES for path in (folder / package).rglob("*.py")]
    return parsed({path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in paths})


@cache
def installed() -> Sources:
    """The sources of this process."""
    return below(Path(str(import_module(PACKAGES[0]).__file__)).parents[1])


def _module(path: str, text: str) -> Module:
    tree = ast.parse(text, path)
    return Module(path.removesuffix(".py").removesuffix("/__init__").replace("/", "."), path, tree, _nodes(tree))


def _nodes(tree: ast.Module) -> tuple[Node, ...]:
    """All nodes, those that stand higher first: the list grows while it is read."""
    found = [Node(tree, None)]
    for here in found:
        found.extend([Node(child, here) for child in ast.iter_child_nodes(here.node)])
    return tuple(found)
