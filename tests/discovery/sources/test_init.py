"""Sources by name."""

import pytest

import errors
from app import discovery
from app.discovery import SourceOptions
from tests.discovery.fakes import ScriptedClient


def test_open_source_when_known() -> None:
    """A source says of itself what the registry says of it."""
    for name, info in discovery.SOURCES.items():
        source = discovery.open_source(name, ScriptedClient(), SourceOptions(info.base_url, key="k", contact="me@example.org"))
        assert source.info is info


@pytest.mark.parametrize(
    ("name", "words"), [("wikimeda", "did you mean wikimedia"), ("WIKIMEDIA", "did you mean wikimedia"), ("zzz", "there is .*wikimedia")]
)
def test_open_source_when_unknown(name: str, words: str) -> None:
    """The error names the sources there are and the nearest."""
    with pytest.raises(errors.ValidationError, match=words):
        discovery.open_source(name, ScriptedClient(), SourceOptions("https://a.test", contact="me@example.org"))


@pytest.mark.parametrize("contact", ["", "  "])
def test_open_source_when_contact_is_missing(contact: str) -> None:
    """The error names the setting and its environment variable."""
    with pytest.raises(errors.ConfigurationError, match=r"fetch\.contact.*PICTRAWL_FETCH__CONTACT"):
        discovery.open_source("wikimedia", ScriptedClient(), SourceOptions("https://a.test", contact=contact))


def test_facade_when_all_is_imported() -> None:
    """Every public name is there."""
    assert all(hasattr(discovery, name) for name in discovery.__all__)
