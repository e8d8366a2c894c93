"""The decisions of robots.txt and opt-outs about one request in words and as data."""

from typing import Any, Final

from app.formatting import clipped
from downloader.models import Decisions, OptOutVerdict, RobotsDecision, RobotsVerdict
from errors import EVIDENCE_CHARS

__all__ = ["decision_lines", "decisions_document"]

_ROBOTS: Final[dict[RobotsVerdict, str]] = {
    RobotsVerdict.ALLOWED: "allows it, {where}",
    RobotsVerdict.DISALLOWED: "disallows it, {evidence}",
    RobotsVerdict.NO_FILE: "none, so everything is allowed: {evidence}",
    RobotsVerdict.UNREACHABLE: "unreachable, {where}: {evidence}",
}

_OPT_OUT: Final[dict[OptOutVerdict, str]] = {
    OptOutVerdict.OFF: "not read: fetch.opt_out is off",
    OptOutVerdict.NONE: "none in the reply's headers",
    OptOutVerdict.REFUSED: "refused, {evidence}",
}


def decision_lines(decisions: Decisions) -> list[str]:
    """Return one line per decision that was made; hops with the same decision share a line."""
    lines = [f"robots.txt  {words}" for words in dict.fromkeys(_robots_words(hop) for hop in decisions.hops)]
    if decisions.robots is RobotsVerdict.OFF:
        lines.append("robots.txt  not read: fetch.robots is off")
    if decisions.opt_out in _OPT_OUT:
        lines.append(f"opt-out     {_OPT_OUT[decisions.opt_out].format(evidence=decisions.opt_out_evidence)}")
    return lines


def _robots_words(hop: RobotsDecision) -> str:
    return _ROBOTS[hop.verdict].format(where=clipped(hop.robots_txt, EVIDENCE_CHARS), evidence=hop.evidence)


def decisions_document(decisions: Decisions) -> dict[str, Any]:
    """Return the decisions as data. ``robots`` is the decision of the last hop; ``hops`` has those of all hops."""
    hops = [{"robots_txt": hop.robots_txt, "verdict": hop.verdict.value, "evidence": hop.evidence} for hop in decisions.hops]
    return {
        "robots": {
            "asked": bool(hops),
            "verdict": decisions.robots.value,
            "evidence": decisions.hops[-1].evidence if hops else None,
            "hops": hops,
        },
        "opt_out": {"verdict": decisions.opt_out.value, "evidence": decisions.opt_out_evidence},
    }
