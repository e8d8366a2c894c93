"""``pictrawl datasets merge``."""

import json
from pathlib import Path

from app.cli.demo.origin import reply
from tests.cli.conftest import LOOPBACK, Invoke, Site


def test_two_datasets_become_one(invoke: Invoke, site: Site, bodies: list[bytes]) -> None:
    """Delivered where it was asked for, with each URL once; the others are as they were."""
    urls = [site.add(f"/{at}.jpg", reply(body=body)) for at, body in enumerate(bodies[:5])]
    for name, part in (("one", urls[:3]), ("two", urls[2:])):
        Path(f"{name}.txt").write_text("\n".join(part))
        assert invoke("build", "--urls", f"{name}.txt", *LOOPBACK).code == 0
    merged = invoke("datasets", "merge", "one", "two", "-o", "both", "--json")
    assert merged.code == 0, merged.err
    assert (merged.json["status"], merged.json["funnel"]["kept"]) == ("succeeded", 5)
    rows = [json.loads(line) for line in Path("both/metadata.jsonl").read_text().splitlines()]
    assert sorted(row["url"] for row in rows) == sorted(urls)
    names = {item["name"]: item["kept"] for item in invoke("datasets", "ls", "--json").json["items"]}
    assert names == {"one": 3, "two": 3, "one + two": 5}
    assert [site.hits(f"/{at}.jpg") for at in range(5)] == [1] * 5
    assert "merged one 1.0.0, two 1.0.0" in invoke("datasets", "versions", "one + two").out
    (version,) = invoke("datasets", "versions", "one + two", "--json").json["items"]
    assert (version["merged"], version["changes"]["added"]) == (["one 1.0.0", "two 1.0.0"], 5)
    refused = invoke("datasets", "merge", "one")
    assert (refused.code, "a merge takes 2 to 100 datasets, 1 were given" in refused.err) == (2, True)
