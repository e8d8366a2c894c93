"""``pictrawl openapi``."""

import json
from pathlib import Path

from tests.cli.conftest import (
    Invoke,
)


def test_openapi_is_printed_or_written(invoke: Invoke) -> None:
    """The same document in all three ways."""
    document = invoke("openapi", "--json").json
    assert document["openapi"].startswith("3.")
    assert json.loads(invoke("openapi").out) == document
    assert invoke("openapi", "-o", "api.json").out == ""
    assert json.loads(Path("api.json").read_text()) == document
