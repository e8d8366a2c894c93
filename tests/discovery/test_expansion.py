"""Other words for a keyword."""

from typing import Any

import pytest

import errors
from app.discovery import expansion
from app.discovery.expansion import Expansion
from tests.discovery.fakes import ScriptedClient


def hit(qid: str, label: str, description: str = "animal", match: str | None = None) -> dict[str, Any]:
    return {"id": qid, "label": label, "description": description, "match": {"type": "label", "language": "en", "text": match or label}}


def named(value: str, language: str = "en") -> dict[str, str]:
    return {"language": language, "value": value}


ITEM = {
    "entities": {
        "Q146": {
            "id": "Q146",
            "labels": {"en": named("house cat"), "de": named("Hauskatze", "de")},
            "aliases": {
                "en": [named("Cat"), named("domestic cat"), named("HOUSE CAT"), named("x" * 200)],
                "de": [named("Katze", "de"), {"odd": 1}, "odd"],
            },
        }
    }
}


def claim(value: object, rank: str = "normal") -> dict[str, Any]:
    return {"mainsnak": {"snaktype": "value", "datavalue": {"value": value, "type": "string"}}, "type": "statement", "rank": rank}


def claims(*found: object) -> dict[str, Any]:
    return {"claims": {"P373": list(found)} if found else {}}


async def test_expand_when_keyword_is_known() -> None:
    """Names come first in the order of languages, then aliases in turn; never the keyword, no word twice."""
    client = ScriptedClient({"search": [hit("Q146", "house cat", match="cat")]}, ITEM, claims(claim("Domestic cats")))
    assert await expansion.expand(client, "cat", 10, ["en", "de"]) == [
        Expansion("house cat", "en", "label", "Q146", "Domestic cats"),
        Expansion("Hauskatze", "de", "translation", "Q146", "Domestic cats"),
        Expansion("Katze", "de", "alias", "Q146", "Domestic cats"),
        Expansion("domestic cat", "en", "alias", "Q146", "Domestic cats"),
    ]
    (_, search), (_, load), (_, category) = client.requests
    assert (search["action"], search["search"], search["language"]) == ("wbsearchentities", "cat", "en")
    assert (load["action"], load["ids"], load["languages"]) == ("wbgetentities", "Q146", "en|de")
    assert (category["action"], category["entity"], category["property"]) == ("wbgetclaims", "Q146", "P373")


async def test_expand_when_limit_is_small() -> None:
    """No more than asked for; nothing is requested for nothing."""
    client = ScriptedClient({"search": [hit("Q146", "Cat")]}, ITEM, claims())
    assert [word.term for word in await expansion.expand(client, "cat", 1, ["en"], base_url="http://127.0.0.1:1")] == ["house cat"]
    assert client.requests[0][0] == "http://127.0.0.1:1/w/api.php"
    assert await expansion.expand(ScriptedClient(), "cat", 0, ["en"]) == []


async def test_expand_when_only_near_matches() -> None:
    """A longer word, a name or a disambiguation page is not the keyword; the next language is tried."""
    near = [
        hit("Q1", "catfish"),
        hit("Q2", "Cat", "family name"),
        hit("Q3", "Cat", "Wikimedia disambiguation page"),
        "odd",
        hit("P4", "cat"),
    ]
    client = ScriptedClient({"search": near}, {"search": []})
    assert await expansion.expand(client, "cat", 5, ["en", "de"]) == []
    assert [params["language"] for _, params in client.requests] == ["en", "de"]


@pytest.mark.parametrize("reply", [{}, {"search": None}, {"search": [{}]}, {"search": [{"match": 3, "label": 4}]}])
async def test_expand_when_nothing_is_found(reply: dict[str, Any]) -> None:
    """An unknown keyword has no other words; that is no error."""
    assert await expansion.expand(ScriptedClient(reply), "qwxz", 5, ["en"]) == []


@pytest.mark.parametrize(
    "reply",
    [{}, {"entities": []}, {"entities": {"Q146": {"id": "Q146", "missing": ""}}}, {"entities": {"Q146": {"labels": [], "aliases": 3}}}],
)
async def test_expand_when_item_is_empty(reply: dict[str, Any]) -> None:
    """An item without names gives none."""
    assert await expansion.expand(ScriptedClient({"search": [hit("Q146", "cat")]}, reply), "cat", 5, ["en"]) == []


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (claims(), None),
        (claims(claim("Cats"), claim("Felis catus")), "Cats"),
        (claims(claim("Cats"), claim("Felis catus", "preferred")), "Felis catus"),
        (claims(claim("Old", "deprecated")), None),
        (claims({"mainsnak": {"snaktype": "novalue"}, "rank": "preferred"}, "odd", claim(3), claim("Cats")), "Cats"),
        (claims(claim("x" * 256)), None),
        ({"claims": []}, None),
        ({"claims": {"P373": {"odd": 1}}}, None),
    ],
)
async def test_expand_when_the_item_has_a_category(reply: dict[str, Any], expected: str | None) -> None:
    """Of several the preferred, never a deprecated one; whatever has another shape is none."""
    client = ScriptedClient({"search": [hit("Q146", "Cat")]}, ITEM, reply)
    assert [word.category for word in await expansion.expand(client, "cat", 1, ["en"])] == [expected]


async def test_expand_when_source_limits() -> None:
    """Errors are the caller's, as for a search."""
    with pytest.raises(errors.RateLimitError):
        await expansion.expand(ScriptedClient({"error": {"code": "ratelimited"}}), "cat", 5, ["en"])
