"""``pictrawl datasets ls|show``."""

from tests.cli.conftest import Invoke, Result


def test_datasets_are_listed(mixed: Result, invoke: Invoke) -> None:
    """With the number of their images; as data the same."""
    assert "list" in invoke("datasets", "ls").out
    (item,) = invoke("datasets", "ls", "--json").json["items"]
    assert (item["name"], item["kept"]) == ("list", 3)


def test_a_dataset_is_shown_with_reasons_and_exports(mixed: Result, invoke: Invoke) -> None:
    """In words and as data."""
    dataset = invoke("datasets", "ls", "-q").out.strip()
    assert "3 kept of 9 candidates" in invoke("datasets", "show", dataset).out
    document = invoke("datasets", "show", dataset, "--json").json
    assert document["kept"] == 3
    assert document["reasons"]["http_404"] == 1
    assert [export["status"] for export in document["exports"]] == ["ready"]
