"""``pictrawl openapi``: the OpenAPI document of the API."""

import json
from pathlib import Path
from typing import Annotated

import typer

from app.cli.options import Cli, parse_path
from app.web import openapi_document

__all__ = ["openapi"]


def openapi(
    cli: Cli,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", parser=parse_path, help="Write it here instead of stdout.")
    ] = None,
) -> int:
    """Print the OpenAPI document of the API."""
    document = openapi_document()
    text = json.dumps(document, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    if output is None:
        cli.result(text, document)
    else:
        output.write_text(text, encoding="utf-8")
        cli.result("", {"path": str(output)})
        cli.note(f"written to {output}")
    return 0
