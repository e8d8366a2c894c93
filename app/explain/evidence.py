"""What a refusal rests on, in words: which rule of robots.txt, which header, which address. Pure."""

from typing import Any, Final
from urllib.parse import urlsplit

from app.formatting import clipped
from downloader.models import Decisions, OptOutVerdict, RobotsDecision, RobotsVerdict
from errors import EVIDENCE_CHARS, Reason

__all__ = ["decision_lines", "decisions_document", "evidence_words", "opt_out_words", "robots_txt_of", "robots_words"]

_WHAT: Final[dict[Reason, str]] = {
    Reason.ROBOTS: "the rule at {}",
    Reason.OPT_OUT: "the reply's header {}",
    Reason.BLOCKED_ADDRESS: "{}, which may not be dialled",
    Reason.INVALID_URL: "the URL's {}",
    Reason.REDIRECT: "the {} of the URL that the redirect leads to",
    Reason.HOST_UNAVAILABLE: "no word from robots.txt, so nothing is allowed for now: {}",
}

_ROBOTS: Final[dict[RobotsVerdict, str]] = {
    RobotsVerdict.ALLOWED: "allows it, {where}",
    RobotsVerdict.DISALLOWED: "disallows it, {evidence}",
    RobotsVerdict.NO_FILE: "none, so all is allowed: {evidence}",
    RobotsVerdict.UNREACHABLE: "not to be had, {where}: {evidence}",
}

_OPT_OUT: Final[dict[OptOutVerdict, str]] = {
    OptOutVerdict.OFF: "not read: fetch.opt_out is off",
    OptOutVerdict.NONE: "none in the reply's headers",
    OptOutVerdict.REFUSED: "refused, {evidence}",
}


def evidence_words(reason: Reason | None, evidence: str) -> str:
    """``the reply's header x-robots-tag: noai``."""
    words = _WHAT.get(reason, "{}") if reason else "{}"
    return words.format(clipped(evidence, EVIDENCE_CHARS))


def decision_lines(decisions: Decisions) -> list[str]:
    """What was decided, a line each; of hops that were decided alike one, and nothing of what it did not come to."""
    lines = [f"robots.txt  {words}" for words in dict.fromkeys(_robots_words(hop) for hop in decisions.hops)]
    if decisions.robots is RobotsVerdict.OFF:
        lines.append("robots.txt  not asked: fetch.robots is off")
    if decisions.opt_out in _OPT_OUT:
        lines.append(f"opt-out     {_OPT_OUT[decisions.opt_out].format(evidence=decisions.opt_out_evidence)}")
    return lines


def _robots_words(hop: RobotsDecision) -> str:
    return _ROBOTS[hop.verdict].format(where=clipped(hop.robots_txt, EVIDENCE_CHARS), evidence=hop.evidence)


def decisions_document(decisions: Decisions) -> dict[str, Any]:
    """What was decided, as data. ``robots`` is the last hop's word, which counted; ``hops`` has all of them."""
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


_ROBOTS_KEPT: Final[dict[str, str]] = {
    RobotsVerdict.OFF: "not asked: fetch.robots was off",
    RobotsVerdict.NOT_ASKED: "not asked: it ended before it came to that",
    RobotsVerdict.ALLOWED: "allows it",
    RobotsVerdict.DISALLOWED: "disallows it",
    RobotsVerdict.NO_FILE: "there is none, so all is allowed",
    RobotsVerdict.UNREACHABLE: "not to be had",
}

_OPT_OUT_KEPT: Final[dict[str, str]] = {
    OptOutVerdict.OFF: "not read: fetch.opt_out was off",
    OptOutVerdict.NOT_READ: "not read: there was no successful reply",
    OptOutVerdict.NONE: "none in the reply's headers",
    OptOutVerdict.REFUSED: "refused by the reply's headers",
}


def robots_words(verdict: str, url: str) -> str:
    """What an image's row keeps of robots.txt's word: ``allows it, https://h.test/robots.txt``."""
    words = _ROBOTS_KEPT.get(verdict, clipped(verdict, 24))
    where = robots_txt_of(url) if verdict not in (RobotsVerdict.OFF, RobotsVerdict.NOT_ASKED) else None
    return f"{words}, {clipped(where, EVIDENCE_CHARS)}" if where else words


def opt_out_words(verdict: str) -> str:
    """What an image's row keeps of the reply's headers."""
    return _OPT_OUT_KEPT.get(verdict, clipped(verdict, 24))


def robots_txt_of(url: str) -> str | None:
    """Where the rules for a URL lie, without its userinfo."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/robots.txt" if parts.netloc else None
