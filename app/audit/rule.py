"""What a rule is, and what it finds."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from app.audit.sources import Sources

__all__ = ["Breach", "Rule", "Verdict", "judge"]


@dataclass(frozen=True, slots=True, order=True)
class Breach:
    """One place where a rule is broken, and the way out."""

    path: str
    line: int
    what: str
    way_out: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}; {self.way_out}"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: ``name`` is stable, ``check`` is pure, ``excused`` says which exceptions it makes and why."""

    name: str
    says: str
    check: Callable[[Sources], Iterator[Breach]]
    excused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """A rule with what was found."""

    rule: Rule
    breaches: tuple[Breach, ...]

    @property
    def holds(self) -> bool:
        return not self.breaches


def judge(rules: Iterable[Rule], sources: Sources) -> tuple[Verdict, ...]:
    """Every rule, with its breaches by place."""
    return tuple(Verdict(rule, tuple(sorted(set(rule.check(sources))))) for rule in rules)
