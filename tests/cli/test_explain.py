"""``pictrawl explain``, ``jobs show`` and ``images show``."""

import re
from typing import Any

import pytest

from tests.cli.conftest import Built, Invoke, Result, Site, image_id

Explained = tuple[str, dict[str, Any]]


def explained(invoke: Invoke, what: object) -> Explained:
    """The explanation as text and as a document."""
    said = invoke("explain", what)
    assert said.code == 0, said.err
    assert all(line.isprintable() for line in said.out.splitlines())
    (item,) = invoke("explain", what, "--json").json["items"]
    return said.out, item


def test_a_kept_image_shows_its_whole_way(licensed: Built, invoke: Invoke) -> None:
    """Found, licence, robots.txt, request, headers, bytes, every check, label, split and export; no control character of a list's."""
    words, data = explained(invoke, f"{licensed.base}/kept.jpg")
    assert "kept: it is in the dataset" in words
    assert "found      by list list.jsonl, line 1" in words
    assert "licence    CC-BY-4.0" in words
    assert f"robots.txt allows it, {licensed.base}/robots.txt" in words
    assert "opt-out    none in the reply's headers" in words
    assert "label      none, split train" in words
    (export,) = data["exports"]
    assert export in words
    assert (data["verdict"], data["level"], data["keyword"]) == ("kept: it is in the dataset", "standard", "list.jsonl")
    outcomes = {check["outcome"] for check in data["checks"]}
    assert outcomes == {"passed", "not_asked"}
    assert [line["topic"] for line in data["lines"]][:2] == ["found", "part of"]


@pytest.mark.parametrize(
    ("name", "status", "error", "cause"),
    [("busy", 503, "ServiceUnavailableError", "backoff"), ("asks", 429, "RateLimitError", "retry_after")],
)
def test_a_retried_image_shows_each_attempt(licensed: Built, invoke: Invoke, name: str, status: int, error: str, cause: str) -> None:
    """Status, wait, and whether the host asked for it."""
    words, data = explained(invoke, f"{licensed.base}/{name}.jpg")
    first, second = data["attempts"]
    assert (first["status"], first["error"], first["wait_cause"], second["status"]) == (status, error, cause, 200)
    assert first["wait_s"] >= 1
    assert f"{status} {error} in " in words
    assert ("(as Retry-After asked)" if cause == "retry_after" else "(backoff)") in words


def test_images_that_never_came_show_why(licensed: Built, invoke: Invoke) -> None:
    """Gone, forbidden by robots.txt, refused for training: each with what decided."""
    words, data = explained(invoke, f"{licensed.base}/gone.jpg")
    assert (data["reason"], data["attempts"][0]["status"]) == ("http_404", 404)
    assert "404 NotFoundError in " in words
    assert "checks     none: there are no bytes" in words
    words, data = explained(invoke, f"{licensed.base}/private.jpg")
    assert (data["robots"], data["robots_txt"], data["attempts"]) == ("disallowed", f"{licensed.base}/robots.txt", [])
    assert "robots.txt disallows it" in words
    assert "line 2, user-agent *: Disallow: /private" in words
    assert "requests   none: it was decided without a request" in words
    words, data = explained(invoke, f"{licensed.base}/noai.jpg")
    assert (data["reason"], data["opt_out"]) == ("opt_out", "refused")
    assert "opt-out    refused by the reply's headers" in words


def test_images_that_were_judged_show_which_check_failed(licensed: Built, invoke: Invoke) -> None:
    """With value and limit, and what was not reached behind it."""
    words, data = explained(invoke, f"{licensed.base}/tiny.jpg")
    failed = [check for check in data["checks"] if check["outcome"] == "failed"]
    assert [(check["name"], check["passed"], check["limit"]) for check in failed] == [("width", False, "at least 64")]
    assert "not reached" in words
    _, data = explained(invoke, f"{licensed.base}/broken.jpg")
    assert data["reason"] == "corrupt"
    assert any(check["outcome"] == "failed" for check in data["checks"])


def test_a_duplicate_shows_of_which_and_why_the_other_was_kept(licensed: Built, invoke: Invoke) -> None:
    """The same bytes; who came first."""
    words, data = explained(invoke, f"{licensed.base}/double.jpg")
    _, original = explained(invoke, f"{licensed.base}/kept.jpg?size=large")
    assert data["duplicate"] == {"of": original["id"], "url": original["url"], "is_exact": True, "distance": 0, "limit": 6}
    assert "the same bytes; equal in pixels and bytes, the other was found first" in words
    words, data = explained(invoke, original["sha256"])
    assert [other["id"] for other in data["also"]] == [original["id"]]
    assert f"also       image {original['id']} of dataset" in words


def test_the_job_shows_where_its_time_went(licensed: Built, invoke: Invoke) -> None:
    """Kinds of work, hosts with their waits, failures, retries, and what to type next."""
    words = invoke("explain", licensed.job_id).out
    for part in ("where its time went", "stage      plan", "127.0.0.1", "backoff", "Retry-After", "2 URLs retried: 2 succeeded, 0 failed"):
        assert part in words
    assert f"look at    pictrawl jobs logs {licensed.job_id} --level warning" in words
    time = invoke("explain", licensed.job_id, "--json").json["time"]
    assert time["hosts"][0]["retry_after_s"] >= 1
    assert time["failures"]["service_unavailable"] == 1
    assert (time["exhausted"], time["waits_for"], time["troubled"]) == (0, [], [])


def test_explain_shows_attempts_with_wait_and_cause(mixed: Result, invoke: Invoke, mixed_site: Site) -> None:
    """A throttled URL: both requests, the wait and that the origin asked for it."""
    story = invoke("explain", f"{mixed_site.origin.base}/busy.jpg")
    assert story.code == 0
    assert "429 RateLimitError" in story.out
    assert "waited 1.0s (as Retry-After asked)" in story.out
    items = invoke("explain", f"{mixed_site.origin.base}/busy.jpg", "--json").json["items"]
    assert [attempt["status"] for attempt in items[0]["attempts"]] == [429, 200]


def test_explain_shows_checks_duplicates_and_redirects(mixed: Result, invoke: Invoke, mixed_site: Site) -> None:
    """Each check with value and limit; the original of a duplicate; where a redirect led; what was never asked for."""
    tiny = invoke("explain", f"{mixed_site.origin.base}/tiny.jpg").out
    assert "rejected: too_small" in tiny
    double = image_id(invoke, "/double.jpg")
    original = image_id(invoke, "/kept.jpg")
    told = invoke("images", "show", max(double, original)).out
    assert f"duplicate  of image {min(double, original)}" in told
    assert re.search(r"sharpness +- +at least 20 +not applied", told)
    assert "at least 64" in told
    assert "not applied" in told
    assert "redirect" in invoke("explain", f"{mixed_site.origin.base}/moved.jpg").out
    assert "no further attempt" in invoke("explain", f"{mixed_site.origin.base}/gone.jpg").out
    sha256 = invoke("images", "show", original, "--json").json["sha256"]
    (item,) = invoke("explain", sha256, "--json").json["items"]
    assert (item["id"], [other["id"] for other in item["also"]]) == (max(double, original), [min(double, original)])


def test_explain_shows_what_a_refusal_rests_on(mixed: Result, invoke: Invoke, mixed_site: Site) -> None:
    """Which rule of robots.txt, which header, which address; the same in images show and as data."""
    base = mixed_site.origin.base
    rule = f"{base}/robots.txt line 3, user-agent *: Disallow: /private"
    for name, evidence, words in (
        ("private", rule, f"evidence   the rule at {rule}"),
        ("noai", "x-robots-tag: noai", "evidence   the reply's header x-robots-tag: noai"),
        ("blocked", "10.0.0.1", "evidence   10.0.0.1, which fetch.allow_networks and fetch.ports do not allow"),
    ):
        assert words in invoke("explain", f"{base}/{name}.jpg").out
        shown = image_id(invoke, f"/{name}.jpg")
        assert words in invoke("images", "show", shown).out
        assert invoke("images", "show", shown, "--json").json["evidence"] == evidence
    assert "evidence" not in invoke("explain", f"{base}/gone.jpg").out


def test_explain_refuses_what_nobody_asked_for(mixed: Result, invoke: Invoke) -> None:
    """Unknown URLs, ids and nonsense are usage errors."""
    for what in ("https://example.org/none.jpg", "99999", "job_none", "nonsense", "f" * 64):
        assert invoke("explain", what).code == 2
    unknown = "http://h.invalid/a.jpg"
    assert invoke("explain", unknown).err == (
        f"error: no job has the URL {unknown} in workspace .pictrawl\n  hint: pictrawl images ls lists what is there; "
        "--workspace names another one\n"
    )
    assert "no image 999 in workspace .pictrawl" in invoke("images", "show", "999").err


def test_explain_of_a_job_shows_funnel_searches_and_where_it_is(mixed: Result, invoke: Invoke) -> None:
    """In words and as data."""
    job_id = mixed.json["job_id"]
    told = invoke("explain", job_id).out
    assert "not kept" in told
    assert "1 URL retried, 1 recovered (100 %)" in told
    assert "datasets/list" in told
    assert "list.txt" in told
    data = invoke("explain", job_id, "--json").json
    assert data["funnel"] == mixed.json["funnel"]
    assert data["bad_lines"] == 1
    assert data["exports"][0]["status"] == "ready"
    assert invoke("jobs", "show", job_id, "-q").out == "succeeded\n"
