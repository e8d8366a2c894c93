"""The licence gate: pure decisions about candidates."""

import pytest

from app.discovery import licences
from app.discovery.licences import gate as licence_gate
from app.discovery.licences.policy import ANYTHING, LicencePolicy
from app.domain import Candidate, ImageState, StoredImage
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


def image(**columns: object) -> StoredImage:
    """A stored image with these columns."""
    return StoredImage(7, "ds_1", "job_1", "chunk_1", URL, "list", ImageState.FETCHED, **columns)  # type: ignore[arg-type]


BY = {"license": "CC-BY-4.0", "license_url": "https://creativecommons.org/licenses/by/4.0/", "license_raw": "CC BY 4.0"}
NC_IN_FILE = (("XMP cc:license", "https://creativecommons.org/licenses/by-nc/4.0/"),)


def test_read_file_when_it_is_stricter() -> None:
    """The stricter licence holds, with its address; note and statement say who said what, and the policy decides again."""
    found = licence_gate.read_file(OPEN, image(**BY), NC_IN_FILE)
    assert found == licence_gate.FileStatement(
        licence="CC-BY-NC-4.0",
        url="https://creativecommons.org/licenses/by-nc/4.0/",
        raw="CC BY 4.0 | XMP cc:license: https://creativecommons.org/licenses/by-nc/4.0/",
        note="the file itself states CC-BY-NC-4.0, its source CC-BY-4.0; the stricter, CC-BY-NC-4.0, holds",
        refusal="its file states another licence than its source: CC-BY-NC-4.0: not taken by open",
        evidence="XMP cc:license: https://creativecommons.org/licenses/by-nc/4.0/",
    )


def test_read_file_when_policy_takes_both() -> None:
    """The image stays, and what holds is on its row."""
    found = licence_gate.read_file(ANYTHING, image(**BY), NC_IN_FILE)
    assert found is not None
    assert (found.licence, found.refusal) == ("CC-BY-NC-4.0", None)


def test_read_file_when_it_is_looser() -> None:
    """The source's licence holds; a policy that takes it takes the image."""
    columns = {"license": "CC-BY-NC-4.0", "license_raw": "CC BY-NC 4.0"}
    found = licence_gate.read_file(LicencePolicy.of(["by-nc"]), image(**columns), (("XMP dc:rights", "CC BY 4.0"),))
    assert found is not None
    assert (found.licence, found.refusal) == ("CC-BY-NC-4.0", None)


def test_read_file_when_source_stated_nothing() -> None:
    """Then the file's statement is what is known."""
    found = licence_gate.read_file(ANYTHING, image(), (("EXIF Copyright", "Ann"), ("XMP dc:rights", "CC BY 4.0")))
    assert found is not None
    assert (found.licence, found.raw) == ("CC-BY-4.0", "XMP dc:rights: CC BY 4.0")
    assert found.note == "the file itself states CC-BY-4.0, its source nothing"


@pytest.mark.parametrize(
    "statements",
    [
        (),
        (("EXIF Copyright", "© Ann"), ("IPTC CopyrightNotice", "Copyright 2020 Ann")),
        (("XMP xmpRights:WebStatement", "https://ann.example/terms"),),
        (("XMP cc:license", "https://creativecommons.org/licenses/by/4.0/"),),
        (("XMP dc:rights", "Creative Commons Attribution"), ("XMP cc:license", "cc-by")),
    ],
)
def test_read_file_when_it_adds_nothing(statements: tuple[tuple[str, str], ...]) -> None:
    """A notice alone, an address of somewhere, and the same licence once more change nothing."""
    assert licence_gate.read_file(OPEN, image(**BY), statements) is None


def test_read_file_when_rights_are_reserved() -> None:
    """Unlike a notice this is a statement, and the strictest there is."""
    found = licence_gate.read_file(OPEN, image(**BY), (("IPTC CopyrightNotice", "© Ann, all rights reserved"),))
    assert found is not None
    assert (found.licence, found.url) == (licences.RESERVED, None)


def test_read_file_when_read_again() -> None:
    """Another validation of the same file adds nothing to the row."""
    found = licence_gate.read_file(ANYTHING, image(**BY), NC_IN_FILE)
    assert found is not None
    again = image(license=found.licence, license_url=found.url, license_raw=found.raw)
    assert licence_gate.read_file(ANYTHING, again, NC_IN_FILE) is None
