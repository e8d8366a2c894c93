"""``pictrawl datasets licences``: the ledger, and what a choice of licences would leave."""

from pathlib import Path

import pytest

from app.cli.demo import pictures
from app.cli.demo.origin import reply
from tests.cli.conftest import LOOPBACK, Invoke, Site

ROWS = (("by", "CC BY 4.0", 3), ("nc", "CC BY-NC 4.0", 2), ("none", "", 1))


@pytest.fixture
def dataset(site: Site, invoke: Invoke) -> str:
    """A dataset of six images under two licences and none."""
    lines, seed = ["url,license,creator"], 0
    for name, licence, number in ROWS:
        for at in range(number):
            seed += 1
            url = site.origin.script(f"/{name}{at}.jpg", reply(body=pictures.encoded(pictures.photograph(seed))))
            lines.append(f"{url},{licence},")
    Path("list.csv").write_text("\n".join(lines))
    assert invoke("build", "--urls", "list.csv", *LOOPBACK, "-o", "out").code == 0
    return invoke("datasets", "ls", "-q").out.strip()


def test_ledger_of_a_dataset(dataset: str, invoke: Invoke) -> None:
    """As a table and as data; by the dataset's name as well."""
    shown = invoke("datasets", "licences", dataset).out
    assert "6 images" in shown
    assert [line.split()[:2] for line in shown.splitlines()[2:]] == [["CC-BY-4.0", "3"], ["CC-BY-NC-4.0", "2"], ["none", "stated"]]
    document = invoke("datasets", "licences", "list", "--json").json
    assert [(line["licence"], line["kept"]) for line in document["licences"]] == [("CC-BY-4.0", 3), ("CC-BY-NC-4.0", 2), (None, 1)]
    assert document["answer"] is None


def test_questions_to_the_ledger(dataset: str, invoke: Invoke) -> None:
    """What would stay, what would go, and why; a word that is none names the nearest."""
    shown = invoke("datasets", "licences", dataset, "--license", "commercial").out
    assert "--license commercial: 3 images would stay, 3 would go" in shown
    kept = invoke("datasets", "licences", dataset, "--license", "commercial", "--license-unknown", "keep", "--json").json["answer"]
    assert (kept["stays"], [gone["count"] for gone in kept["goes"]]) == (4, [2])
    wrong = invoke("datasets", "licences", dataset, "--license", "comercial")
    assert wrong.code == 2
    assert "did you mean commercial" in wrong.err


def test_what_leaves_names_its_licence(dataset: str, invoke: Invoke) -> None:
    """Each row has the licence and the credit; ATTRIBUTION.md lists what asks for credit and counts the unknown."""
    rows = Path("out/metadata.jsonl").read_text()
    assert rows.count('"license":"CC-BY-4.0"') == 3
    credits = Path("out/ATTRIBUTION.md").read_text()
    assert credits.count("CC\\-BY\\-4\\.0") + credits.count("CC-BY-4.0") >= 3
    assert "No licence or creator is known for 1 images" in credits
