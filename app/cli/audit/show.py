"""An audit as text and as a document."""

from collections.abc import Iterator, Mapping
from typing import Any

from app.audit.figures import Mark, Overhead
from app.audit.rule import Verdict
from app.cli.audit.inspecting import Audit
from app.cli.words import count, table

__all__ = ["document", "text"]


def text(found: Audit) -> str:
    """Rules with their breaches, the metrics, what the overheads are made of, and a last line that sums up."""
    parts = ["\n".join(_rules(found.verdicts)), _figures(found)]
    if found.overhead is not None:
        parts.append(_overhead(found.overhead))
    return "\n\n".join([*parts, _summary(found)])


def _rules(verdicts: tuple[Verdict, ...]) -> Iterator[str]:
    width = max(len(verdict.rule.name) for verdict in verdicts)
    for verdict in verdicts:
        yield f"{'ok' if verdict.holds else 'BROKEN':<7} {verdict.rule.name:<{width}}  {verdict.rule.says}"
        for breach in verdict.breaches:
            yield f"          {breach.path}:{breach.line}: {breach.what}"
            yield f"          {'':<4}{breach.way_out}"


def _figures(found: Audit) -> str:
    rows = [(_shown(figure.mark), figure.metric, figure.bound, figure.measured, figure.source) for figure in found.figures]
    return table(("", "success metric", "bound", "measured", "from"), rows)


def _shown(mark: Mark) -> str:
    return mark.value.upper() if mark in (Mark.MISSED, Mark.OVER) else mark.value


def _overhead(found: Overhead) -> str:
    rows = [
        (part.of, part.what, f"{part.calls:.2f}", f"{part.cost_us:.2f}", f"{part.us_per_image / found.cpu_us_per_image:.3%}")
        for part in found.parts
    ]
    return table(("part", "what", "calls an image", "us a call", "share"), rows, right=(2, 3, 4))


def _summary(found: Audit) -> str:
    over = [figure.metric for figure in found.figures if figure.mark is Mark.OVER]
    timing = f"; over its bound: {', '.join(over)}" if over else ""
    if not found.failures:
        return f"all {count(len(found.verdicts), 'rule')} hold, no metric is missed{timing}"
    return f"fails: {', '.join(found.failures)}{timing}"


def document(found: Audit) -> dict[str, Any]:
    """As JSON."""
    return {
        "ok": not found.failures,
        "failures": found.failures,
        "rules": [_rule(verdict) for verdict in found.verdicts],
        "metrics": [
            {
                "metric": figure.metric,
                "bound": figure.bound,
                "measured": figure.measured,
                "verdict": figure.mark.value,
                "from": figure.source,
            }
            for figure in found.figures
        ],
        "overhead": _overhead_document(found.overhead) if found.overhead else None,
    }


def _rule(verdict: Verdict) -> Mapping[str, Any]:
    breaches = [{"path": found.path, "line": found.line, "what": found.what, "way_out": found.way_out} for found in verdict.breaches]
    rule = verdict.rule
    return {"rule": rule.name, "says": rule.says, "ok": verdict.holds, "excused": list(rule.excused), "breaches": breaches}


def _overhead_document(found: Overhead) -> Mapping[str, Any]:
    parts = [
        {"of": p.of, "what": p.what, "calls_per_image": p.calls, "us_per_call": p.cost_us, "us_per_image": p.us_per_image}
        for p in found.parts
    ]
    return {"cpu_us_per_image": found.cpu_us_per_image, "parts": parts}
