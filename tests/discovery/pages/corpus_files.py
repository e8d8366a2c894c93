"""The hand-made documents of ``corpus/`` with what a person would list on each: read by tests and by ``benchmarks/pages.py``."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parent / "corpus"


@dataclass(frozen=True)
class Sample:
    """A document and its expectations.

    Attributes:
        expected: for each image the URLs of its forms, the best first.
        trackers: URLs of trackers, icons, sprites and placeholders, of which none may be taken.
        more: the other expectations, by name.
    """

    name: str
    body: bytes
    url: str
    media_type: str
    charset: str
    expected: list[list[str]]
    trackers: list[str]
    more: dict[str, Any] = field(default_factory=dict)


def load() -> list[Sample]:
    """Read all documents, by name."""
    return [_load(path) for path in sorted(CORPUS.glob("*.json"))]


def _load(path: Path) -> Sample:
    more = json.loads(path.read_text())
    (document,) = (other for other in CORPUS.glob(f"{path.stem}.*") if other != path)
    expected = [item if isinstance(item, list) else [item] for item in more.pop("expected")]
    return Sample(
        path.stem,
        document.read_bytes(),
        more.pop("url"),
        more.pop("media_type"),
        more.pop("charset", ""),
        expected,
        more.pop("trackers", []),
        more,
    )
