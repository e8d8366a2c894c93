"""``pictrawl demo``: everything a host can do wrong, in one build that ends well."""

from pathlib import Path

from tests.cli.conftest import Invoke

REASONS = {
    "corrupt",
    "duplicate_exact",
    "duplicate_near",
    "empty_body",
    "http_403",
    "http_404",
    "low_information",
    "network",
    "not_an_image",
    "opt_out",
    "redirect",
    "retry_after_over_cap",
    "robots",
    "service_unavailable",
    "too_small",
    "truncated_body",
}


def test_demo_meets_every_misbehaviour_and_ends_well(invoke: Invoke) -> None:
    """Every reason it is made to show appears; what only needed patience was recovered; the dataset is there and whole."""
    result = invoke("demo", "--json")
    assert result.code == 0, result.err
    document = result.json
    assert set(document["reasons"]) == REASONS
    assert document["retries"]["retried"] > 12
    assert document["retries"]["recovered"] == document["retries"]["retried"] - 3
    assert document["funnel"]["kept"] > 240
    assert Path(document["exports"][0]["path"]) == Path("pictrawl-demo/dataset")
    assert invoke("datasets", "verify", "pictrawl-demo/dataset").code == 0
    assert invoke("jobs", "ls", "--workspace", "pictrawl-demo/workspace", "-q").out.strip() == document["job_id"]


def test_demo_of_keywords_takes_only_what_is_permitted(invoke: Invoke) -> None:
    """Both keywords have their share; what NC, ND with NC and no licence refuse is named; what is kept is credited."""
    result = invoke("demo", "--keywords", "--json")
    assert result.code == 0, result.err
    document = result.json
    assert document["funnel"]["kept"] == 80
    assert document["reasons"]["licence"] >= 20
    assert [entry["kept"] for entry in document["keywords"]] == [40, 40]
    ledger = invoke("datasets", "licences", "demo of keywords", "--json", "--workspace", "pictrawl-demo/workspace").json["licences"]
    assert {line["licence"] for line in ledger if line["kept"]} == {"CC-BY-4.0", "CC-BY-SA-4.0", "CC0-1.0"}
    assert {line["licence"] for line in ledger if not line["kept"]} == {"CC-BY-NC-4.0", "CC-BY-NC-ND-4.0", "LicenseRef-AllRightsReserved"}
    assert len(ledger[0]["sources"]) > 1
    assert "CC BY" in Path("pictrawl-demo/keywords/ATTRIBUTION.md").read_text().replace("\\-", " ").replace("-", " ")
