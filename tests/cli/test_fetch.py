"""``pictrawl fetch``."""

from pathlib import Path

import pytest

from app.cli.demo.origin import cut_off, reply, reset
from app.cli.fetch import outcome_document, outcome_text
from downloader import FetchRequest, NotModified
from tests.cli.conftest import OPEN, Invoke, Site

CONTRACT = {"url", "outcome", "error", "reason", "status", "final_url", "media_type", "bytes", "sha256", "retry_after_s", "attempts"}


FETCHED = CONTRACT | {"evidence", "decisions"}


QUICK = [*OPEN, "--set", "retry.backoff_base_s=0.01", "--set", "retry.jitter=0"]


def wished(site: Site, bodies: list[bytes]) -> tuple[str, str]:
    """An image that robots.txt disallows and one whose headers refuse training."""
    site.add("/robots.txt", reply(body=b"User-agent: *\nDisallow: /private", kind="text/plain"))
    headers = {"X-Robots-Tag": "noindex, noai"}
    return site.add("/private.jpg", reply(body=bodies[0])), site.add("/noai.jpg", reply(body=bodies[1], headers=headers))


def test_fetch_shows_every_attempt_and_keeps_the_bytes(site: Site, bodies: list[bytes], invoke: Invoke) -> None:
    """The contract's shape; the wait that followed an attempt; the bytes where asked."""
    url = site.add("/a.jpg", reply(503), reply(body=bodies[0]))
    result = invoke("fetch", url, "-o", "a.jpg", "--json", *QUICK)
    document = result.json
    assert result.code == 0
    assert set(document) == FETCHED
    assert (document["outcome"], document["bytes"], document["media_type"]) == ("ok", len(bodies[0]), "image/jpeg")
    assert [set(attempt) for attempt in document["attempts"]] == [{"number", "status", "error", "wait_s", "elapsed_s"}] * 2
    assert [(attempt["status"], attempt["wait_s"]) for attempt in document["attempts"]] == [(503, 0.01), (200, 0.0)]
    assert Path("a.jpg").read_bytes() == bodies[0]


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([reply(404)], "failed: http_404"),
        ([reset()], "failed: network"),
        ([cut_off(b"\xff\xd8\xff" + b"x" * 100)], "failed: truncated_body"),
        ([reply(429, headers={"Retry-After": "60"})], "deferred: rate_limited, next request in 60 s"),
        ([reply(302, headers={"Location": "/gone.jpg"})], "redirected to"),
    ],
)
def test_fetch_of_what_does_not_come_is_4(site: Site, invoke: Invoke, steps: list[object], words: str) -> None:
    """Failed and deferred alike, with the reason's slug."""
    result = invoke("fetch", site.add("/a.jpg", *steps), "--no-robots", *QUICK)  # type: ignore[arg-type]
    assert result.code == 4
    assert words in result.out


def test_fetch_of_a_blocked_address_sends_nothing(invoke: Invoke) -> None:
    """The guard holds for this command too."""
    result = invoke("fetch", "http://127.0.0.1:9/a.jpg", "--json")
    assert (result.code, result.json["reason"]) == (4, "blocked_address")
    assert result.json["evidence"] == "port 9"
    wrong = invoke("fetch", "http://h.test:99999/", "--json").json
    assert (wrong["reason"], wrong["evidence"]) == ("invalid_url", "port 99999")
    assert "evidence    the URL's scheme 'ftp'" in invoke("fetch", "ftp://h.test/").out
    assert "evidence    10.0.0.1, which fetch.allow_networks and fetch.ports do not allow" in invoke("fetch", "http://10.0.0.1/").out


def test_fetch_shows_the_decisions(site: Site, bodies: list[bytes], invoke: Invoke) -> None:
    """robots.txt with its line, the opt-out with its header, in words and as data; nothing of what it did not come to."""
    private, noai = wished(site, bodies)
    where = f"{site.origin.base}/robots.txt"
    rule = f"{where} line 2, user-agent *: Disallow: /private"
    disallowed = {"robots_txt": where, "verdict": "disallowed", "evidence": rule}
    document = invoke("fetch", private, "--json", *QUICK).json
    assert (document["reason"], document["evidence"], document["attempts"]) == ("robots", rule, [])
    assert document["decisions"] == {
        "robots": {"asked": True, "verdict": "disallowed", "evidence": rule, "hops": [disallowed]},
        "opt_out": {"verdict": "not_read", "evidence": None},
    }
    told = invoke("fetch", private, *QUICK).out
    assert f"robots.txt  disallows it, {rule}" in told
    assert "opt-out" not in told
    assert "evidence" not in told

    document = invoke("fetch", noai, "--json", *QUICK).json
    assert (document["reason"], document["evidence"]) == ("opt_out", "x-robots-tag: noindex, noai")
    assert document["decisions"]["robots"]["verdict"] == "allowed"
    assert document["decisions"]["opt_out"] == {"verdict": "refused", "evidence": "x-robots-tag: noindex, noai"}
    told = invoke("fetch", noai, *QUICK).out
    assert f"robots.txt  allows it, {where}" in told
    assert "opt-out     refused, x-robots-tag: noindex, noai" in told


def test_fetch_shows_every_hop_and_a_missing_robots_txt(site: Site, bodies: list[bytes], invoke: Invoke) -> None:
    """Equal decisions on several hops are one line of text, and an entry each in the document."""
    site.add("/b.jpg", reply(body=bodies[0]))
    url = site.add("/a.jpg", reply(302, headers={"Location": "/b.jpg"}))
    assert [hop["verdict"] for hop in invoke("fetch", url, "--json", *QUICK).json["decisions"]["robots"]["hops"]] == ["no_file"] * 2
    told = invoke("fetch", url, *QUICK).out
    assert told.count("robots.txt  none, so everything is allowed: the origin answered 404") == 1
    assert "opt-out     none in the reply's headers" in told


def test_fetch_shows_an_unreachable_robots_txt(site: Site, bodies: list[bytes], invoke: Invoke) -> None:
    """Deferred, and why."""
    site.add("/robots.txt", reply(503))
    told = invoke("fetch", site.add("/a.jpg", reply(body=bodies[0])), *QUICK)
    assert told.code == 4
    assert f"robots.txt  unreachable, {site.origin.base}/robots.txt: the origin answered 503" in told.out
    assert "deferred: host_unavailable" in told.out


def test_a_confirmation_is_an_outcome_too() -> None:
    """The downloader's fourth outcome, which a fetch without stored bytes never gets, has its words."""
    confirmed = NotModified(FetchRequest("http://a/"), 304, "http://a/", ())
    assert outcome_text(confirmed).endswith("not modified")
    assert (outcome_document(confirmed)["outcome"], outcome_document(confirmed)["status"]) == ("not_modified", 304)


@pytest.mark.parametrize("way", ["environment", "flag"])
def test_robots_and_opt_outs_can_be_switched_off(
    site: Site, bodies: list[bytes], invoke: Invoke, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Each by its own setting, from wherever settings come; the image comes, and what was not asked is said."""
    private, noai = wished(site, bodies)
    for url, name, said in (
        (private, "robots", "robots.txt  not read: fetch.robots is off"),
        (noai, "opt_out", "opt-out     not read: fetch.opt_out is off"),
    ):
        assert invoke("fetch", url, *QUICK).code == 4
        with monkeypatch.context() as changed:
            flags = ["--set", f"fetch.{name}=false"] if way == "flag" else []
            if way == "environment":
                changed.setenv(f"PICTRAWL_FETCH__{name.upper()}", "false")
            result = invoke("fetch", url, *flags, *QUICK)
            decided = invoke("fetch", url, "--json", *flags, *QUICK).json["decisions"]
        assert result.code == 0
        assert said in result.out
        assert [name for name, word in decided.items() if word["verdict"] == "off"] == [name]
    assert "fetch.robots is off" in invoke("fetch", private, "--no-robots", *QUICK).out
