"""``pictrawl datasets ls|show``."""

from tests.cli.conftest import Invoke, Result


def test_datasets_are_listed(mixed: Result, invoke: Invoke) -> None:
    """With the number of their images; as data the same."""
    assert "list" in invoke("datasets", "ls").out
    (item,) = invoke("datasets", "ls", "--json").json["items"]
    assert (item["name"], item["kept"], item["version"], item["lineage_id"]) == ("list", 3, "1.0.0", item["id"])


def test_a_dataset_is_shown_with_reasons_and_exports(mixed: Result, invoke: Invoke) -> None:
    """In words and as data."""
    dataset = invoke("datasets", "ls", "-q").out.strip()
    shown = invoke("datasets", "show", dataset).out
    assert "3 kept of 9 candidates" in shown
    assert "1.0.0, made by build" in shown
    document = invoke("datasets", "show", dataset, "--json").json
    assert document["kept"] == 3
    assert document["reasons"]["http_404"] == 1
    assert (document["version"], len(document["digest"])) == ("1.0.0", 64)
    assert [(export["status"], export["version"]) for export in document["exports"]] == [("ready", "1.0.0")]
