"""Evidence and decisions in words and as data."""

import pytest

from app.explain.evidence import decision_lines, decisions_document, evidence_words
from downloader import Decisions, OptOutVerdict, RobotsDecision, RobotsVerdict
from errors import Reason

WHERE = "https://h.test/robots.txt"
GONE = "the origin answered 503 for https://h.test/robots.txt"


@pytest.mark.parametrize(
    ("reason", "evidence", "words"),
    [
        (Reason.ROBOTS, f"{WHERE} line 2, user-agent *: Disallow: /", f"the rule at {WHERE} line 2, user-agent *: Disallow: /"),
        (Reason.OPT_OUT, "tdm-reservation: 1", "the reply's header tdm-reservation: 1"),
        (Reason.BLOCKED_ADDRESS, "10.0.0.1", "10.0.0.1, which may not be dialled"),
        (Reason.INVALID_URL, "host label '-a'", "the URL's host label '-a'"),
        (Reason.REDIRECT, "scheme 'ftp'", "the scheme 'ftp' of the URL that the redirect leads to"),
        (Reason.HOST_UNAVAILABLE, GONE, f"no word from robots.txt, so nothing is allowed for now: {GONE}"),
        (Reason.HTTP_404, "{0}{x.y}", "{0}{x.y}"),
        (None, "a\x1b[31mb", "a [31mb"),
    ],
)
def test_evidence_words(reason: Reason | None, evidence: str, words: str) -> None:
    """What the evidence is of, by the reason; whatever it holds, it is only text."""
    assert evidence_words(reason, evidence) == words


@pytest.mark.parametrize(
    ("decisions", "lines"),
    [
        (Decisions(), []),
        (
            Decisions(RobotsVerdict.OFF, (), OptOutVerdict.OFF),
            ["robots.txt  not asked: fetch.robots is off", "opt-out     not read: fetch.opt_out is off"],
        ),
        (
            Decisions(RobotsVerdict.UNREACHABLE, (RobotsDecision(WHERE, RobotsVerdict.UNREACHABLE, GONE),)),
            [f"robots.txt  not to be had, {WHERE}: {GONE}"],
        ),
        (
            Decisions(RobotsVerdict.ALLOWED, (RobotsDecision(WHERE, RobotsVerdict.ALLOWED),) * 3, OptOutVerdict.NONE),
            [f"robots.txt  allows it, {WHERE}", "opt-out     none in the reply's headers"],
        ),
    ],
)
def test_decision_lines(decisions: Decisions, lines: list[str]) -> None:
    """One line for each thing that was decided, none for what it did not come to."""
    assert decision_lines(decisions) == lines


def test_every_verdict_has_its_words() -> None:
    """No verdict ends in a KeyError, and each is in the data by its name."""
    for robots in RobotsVerdict:
        for opt_out in OptOutVerdict:
            hops = () if robots in (RobotsVerdict.OFF, RobotsVerdict.NOT_ASKED) else (RobotsDecision(WHERE, robots, "why"),)
            decisions = Decisions(robots, hops, opt_out, None)
            assert isinstance(decision_lines(decisions), list)
            document = decisions_document(decisions)
            assert (document["robots"]["verdict"], document["robots"]["asked"]) == (robots.value, bool(hops))
            assert document["opt_out"]["verdict"] == opt_out.value
