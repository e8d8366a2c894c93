"""Sources that break a rule, shown to the rules as the audit shows them the real ones."""

from collections.abc import Iterable, Mapping

from app.audit.rule import Rule, judge
from app.audit.sources import parsed


def found_in(rules: Iterable[Rule], texts: Mapping[str, str]) -> list[str]:
    """Breaches of sources by path, as lines."""
    return [str(breach) for verdict in judge(rules, parsed(texts)) for breach in verdict.breaches]


def rule(rules: Iterable[Rule], name: str) -> list[Rule]:
    """The one rule of that name."""
    return [found for found in rules if found.name == name]
