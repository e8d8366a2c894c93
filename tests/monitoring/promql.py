"""PromQL as far as the tests need it: which series an expression asks for, and with which labels."""

import re
from collections.abc import Iterator
from pathlib import Path

__all__ = ["FOLDER", "ROOT", "Selector", "faults_of", "selectors"]

from app.observability.metrics import FAMILIES as OWN
from app.observability.registry import Family
from app.web.metrics import FAMILIES as OF_THE_API

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs/operations/monitoring"

SELECTOR = re.compile(r"\b((?:pictrawl|process)_\w+|up\b)(?:\{([^}]*)\})?")
MATCHER = re.compile(r"(\w+)\s*(=~|!~|!=|=)\s*\"([^\"]*)\"")
GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
OF_PROMETHEUS = frozenset({"job", "instance"})
"""Labels that every series gets when it is scraped."""

PROCESS = frozenset(f"process_{name}" for name in ("resident_memory_bytes", "cpu_seconds_total", "open_fds", "max_fds"))

Selector = tuple[str, list[tuple[str, str, str]]]
"""A series' name, and its matchers as (label, operator, value)."""


def selectors(expr: str) -> Iterator[Selector]:
    """Every series that is asked for."""
    for name, matchers in SELECTOR.findall(expr):
        yield name, MATCHER.findall(matchers)


def faults_of(expr: str) -> list[str]:
    """What an expression asks for that the code does not tell."""
    faults: list[str] = []
    known = {label for name, _ in selectors(expr) for label in _labels_of(name)} | OF_PROMETHEUS
    for name, matchers in selectors(expr):
        if not _exists(name):
            faults.append(f"no metric {name}")
            continue
        faults += [fault for matcher in matchers if (fault := _fault_of(name, *matcher))]
    grouped = {label.strip() for group in GROUPING.findall(expr) for label in group.split(",")}
    return faults + [f"no label {label}" for label in sorted(grouped - known - {"le"})]


def _fault_of(name: str, label: str, operator: str, value: str) -> str:
    if label in OF_PROMETHEUS:
        return ""
    labels = {found.name: found for found in (_family(name).labels if _family(name) else ())}
    if label not in labels:
        return f"{name} has no label {label}"
    values = {*labels[label].values, "other"}
    if labels[label].limit:
        return ""
    wanted = value.split("|") if "~" in operator else [value]
    return "".join(f"{name} has no {label} {one!r}" for one in wanted if one not in values)


def _family(name: str) -> Family | None:
    for family in (*OWN, *OF_THE_API):
        if name == family.sample or (family.kind == "histogram" and name in {f"{family.name}_{end}" for end in ("bucket", "sum", "count")}):
            return family
    return None


def _labels_of(name: str) -> set[str]:
    family = _family(name)
    return set(family.label_names) if family else set()


def _exists(name: str) -> bool:
    return name == "up" or name in PROCESS or _family(name) is not None
