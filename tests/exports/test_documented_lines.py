"""The lines of docs/how-to/export-formats.md that load a format are run on an export of it."""

import ast
import contextlib
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.exports import formats
from tests.exports.builders import sample, write
from tests.exports.test_hugging_face import hf
from tests.sources import ROOT

__all__ = ["hf"]

TEXT = (ROOT / "docs/how-to/export-formats.md").read_text(encoding="utf-8")
NOT_INSTALLED = {"ultralytics", "tensorflow"}
"""Both need gigabytes. What they read is tested by their published rules."""


def blocks() -> Iterator[tuple[str, str]]:
    """The formats that a section is about, with each of its blocks of Python."""
    for section in re.split(r"^## ", TEXT, flags=re.M)[1:]:
        title = section.partition("\n")[0]
        for name in title.split(" and "):
            if name in formats.EXPORTERS:
                yield from ((name, code) for code in re.findall(r"```python\n(.*?)```", section, flags=re.S) if is_about(name, code))


def is_about(name: str, code: str) -> bool:
    """Whether a block of a section on several formats is about this one."""
    return name not in ("jsonl", "csv") or f"images.{name}" in code


def imported(code: str) -> set[str]:
    """The packages that some code imports."""
    nodes = list(ast.walk(ast.parse(code)))
    found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {name.partition(".")[0] for name in found | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}}


BLOCKS = list(blocks())


def test_every_format_has_lines_that_load_it() -> None:
    """At most two statements after the imports, for the first of its blocks."""
    first: dict[str, str] = {}
    for name, code in BLOCKS:
        first.setdefault(name, code)
    assert first.keys() == formats.EXPORTERS.keys()
    for name, code in first.items():
        statements = [node for node in ast.parse(code).body if not isinstance(node, ast.Import | ast.ImportFrom)]
        assert 1 <= len(statements) <= 2, name


@pytest.mark.parametrize(("name", "code"), [block for block in BLOCKS if not imported(block[1]) & NOT_INSTALLED])
async def test_the_lines_load_an_export(hf: Any, tmp_path: Path, name: str, code: str) -> None:
    """Whatever they name at their end is there and is not empty."""
    items = [sample(at, split=("train", "val", "test")[at % 3], caption=f"picture {at}") for at in range(9)]
    await write(name, tmp_path / "out", items)
    found: dict[str, Any] = {}
    with contextlib.chdir(tmp_path), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # open files and deprecations of the loaders are not what this is about
        exec(compile(code, f"{name}.py", "exec"), found)
    last = ast.parse(code).body[-1]
    assert isinstance(last, ast.Assign)
    for target in ast.walk(last.targets[0]):
        if isinstance(target, ast.Name):
            value = found[target.id]
            assert value is not None
            assert not hasattr(value, "__len__") or len(value)
