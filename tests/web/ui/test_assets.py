import hashlib
import json
from pathlib import Path

import httpx

from app.web import ui
from app.web.ui.assets import ASSETS, asset_url

VENDOR = Path(ui.__file__).parent / "static" / "vendor"


def test_what_is_vendored_is_what_its_record_says() -> None:
    """Each file with its version, its licence and the digests of both; nothing lies there without a record."""
    records = json.loads((VENDOR / "VENDOR.json").read_text())
    for record in records:
        for file, digest in ((record["file"], record["sha256"]), (record["license_file"], record["license_sha256"])):
            assert hashlib.sha256((VENDOR / file).read_bytes()).hexdigest() == digest
        assert record["version"] in record["source"]
    named = {record[key] for record in records for key in ("file", "license_file")}
    assert named | {"VENDOR.json"} == {file.name for file in VENDOR.iterdir()}


async def test_an_asset_under_its_digest_never_changes(client: httpx.AsyncClient) -> None:
    """A browser keeps it for a year, and asks for another URL once it is another file."""
    for name in ASSETS:
        answer = await client.get(asset_url(name))
        assert answer.status_code == 200
        assert answer.headers["cache-control"].endswith("immutable")
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_an_asset_without_its_digest_is_asked_for_each_time(client: httpx.AsyncClient) -> None:
    answer = await client.get("/static/app.css")
    assert answer.headers["cache-control"] == "no-cache"
    again = await client.get("/static/app.css", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_no_other_file_is_served(client: httpx.AsyncClient) -> None:
    """Names are looked up in a table; no path is opened."""
    for path in ("/static/../ui/forms.py", "/static/vendor/VENDOR.json", "/static/nope.css", "/static/%2e%2e/%2e%2e/server.py"):
        assert (await client.get(path)).status_code == 404
