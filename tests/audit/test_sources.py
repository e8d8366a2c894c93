"""Sources as installed, or below a folder, parsed once."""

import ast
from pathlib import Path

from app.audit.rule import Breach, Rule, judge
from app.audit.sources import PACKAGES, below, installed, parsed
from app.audit.syntax import dotted, root


def test_all_five_packages_are_read_from_where_they_are_installed() -> None:
    """By dotted names, once in a process; tests and documents are none of them."""
    names = {name.split(".")[0] for name in installed()}
    assert names == set(PACKAGES)
    assert installed()["app.audit.sources"].path == "app/audit/sources.py"
    assert installed()["errors"].path == "errors/__init__.py"
    assert installed() is installed()


def test_a_folder_is_read_without_being_imported(tmp_path: Path) -> None:
    """What is missing there is left out; what it would do is not done."""
    (tmp_path / "workers" / "deep").mkdir(parents=True)
    (tmp_path / "workers" / "deep" / "x.py").write_text("raise SystemExit")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x.py").write_text("import logging")
    assert list(below(tmp_path)) == ["workers.deep.x"]
    assert below(tmp_path / "none") == {}


def test_a_rule_is_judged_by_its_breaches() -> None:
    """Sorted by place, each once."""
    second, first = Breach("b.py", 1, "what", "way out"), Breach("a.py", 2, "what", "way out")
    rule = Rule("name", "says", lambda sources: iter([second, first, first]))
    [verdict] = judge([rule], parsed({}))
    assert verdict.breaches == (first, second)
    assert not verdict.holds
    assert str(first) == "a.py:2: what; way out"


def test_names_are_read_from_nodes() -> None:
    """Dotted names, where a chain begins, and what a node stands in, the nearest first."""
    module = parsed({"app/x.py": "class A:\n    def f(self):\n        return a.b.c(1)\nd().e(2)\n[0].append(1)"})["app.x"]
    calls = sorted((here for here in module.nodes if isinstance(here.node, ast.Call)), key=lambda here: ast.unparse(here.node))
    assert [dotted(here.node.func) for here in calls] == [".append", "a.b.c", "d", ".e"]  # type: ignore[attr-defined]
    assert [type(above.node).__name__ for above in calls[1].above()] == ["Return", "FunctionDef", "ClassDef", "Module"]
    assert dotted(root(calls[1].node)) == "a"
