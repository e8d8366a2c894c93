"""The licence gate: pure decisions about candidates."""

from app.discovery import licence_gate, licences
from app.discovery.licence_policy import ANYTHING, LicencePolicy
from app.domain import Candidate
from app.spec import JobSpec

OPEN = LicencePolicy.of(["open"])
URL = "https://img.example/1.jpg"


def settled(policy: LicencePolicy = ANYTHING, **stated: object) -> Candidate:
    """The candidate of these statements, as it is stored."""
    found = licence_gate.sort(policy, [(URL, Candidate(URL, "list", **stated))])  # type: ignore[arg-type]
    return (found.taken or [entry[:2] for entry in found.refused])[0][1]


def test_sort_when_some_are_taken() -> None:
    """What the policy takes is fetched, what it does not take has the words of the decision."""
    known = {"a": "CC BY 4.0", "b": "CC BY-NC 4.0", "c": None, "d": "see below"}
    found = licence_gate.sort(OPEN, [(name, Candidate(name, "list", license=words)) for name, words in known.items()])
    assert [url for url, _ in found.taken] == ["a"]
    assert [(url, words) for url, _, words in found.refused] == [
        ("b", "CC-BY-NC-4.0: not taken by open"),
        ("c", "no licence is known, and unknown ones are dropped"),
        ("d", "no licence is known, and unknown ones are dropped"),
    ]


def test_sort_when_licence_is_understood() -> None:
    """The row has the id, its address, what was stated as it was stated, and that it was stated for this image."""
    found = settled(license="cc by 4.0")
    assert (found.license, found.license_url) == ("CC-BY-4.0", "https://creativecommons.org/licenses/by/4.0/")
    assert (found.license_raw, found.license_confidence, found.license_note) == ("cc by 4.0", "asserted", None)


def test_sort_when_licence_is_not_understood() -> None:
    """The source's own words stay, and nothing is claimed, whatever the source believes."""
    found = settled(license="ask us", license_confidence="asserted")
    assert (found.license, found.license_raw, found.license_confidence) == ("ask us", "ask us", "unknown")
    assert settled() == Candidate(URL, "list")


def test_sort_when_source_knows_more() -> None:
    """The source's own statement and confidence stay."""
    found = settled(license="CC-BY-4.0", license_raw="by | 4.0", license_confidence="derived", license_url="https://site.example/terms")
    assert (found.license_raw, found.license_confidence, found.license_url) == ("by | 4.0", "derived", "https://site.example/terms")


def test_sort_when_statements_disagree() -> None:
    """The stricter one holds, has its own address, and the row says so."""
    found = settled(license="CC-BY-4.0", license_url="https://creativecommons.org/licenses/by/4.0/", license_raw="CC BY 4.0 | CC BY-NC 4.0")
    assert (found.license, found.license_url) == ("CC-BY-NC-4.0", "https://creativecommons.org/licenses/by-nc/4.0/")
    assert found.license_note == "CC-BY-4.0 and CC-BY-NC-4.0 were stated; the stricter, CC-BY-NC-4.0, holds"


def test_sort_when_statement_is_long() -> None:
    """A stored statement has an end."""
    assert len(settled(license="x" * 2_000).license_raw or "") == licence_gate.MAX_RAW_CHARS


def test_policy_of_when_spec_is_of_an_older_version() -> None:
    """A job that was planned before there was a gate goes on without it."""
    assert licence_gate.policy_of(JobSpec()) == ANYTHING
    assert licence_gate.policy_of(JobSpec(license=["open"], license_unknown="drop")).allows(licences.RESERVED) is False
