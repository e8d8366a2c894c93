"""The files that stand beside the images of every format: ``ATTRIBUTION.md``, ``README.md``, ``SHA256SUMS`` and ``manifest.json``."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from app.exports import markdown, rows
from app.exports.base import ExportOptions
from app.exports.spool import Facts
from app.records import Sample
from app.storage import MANIFEST

if TYPE_CHECKING:
    from app.exports.card import CardParts

__all__ = ["ATTRIBUTION", "CARD", "MANIFEST", "SCHEMA_VERSION", "SUMS", "FileFacts", "Ledger", "needs_attribution", "write_sidecars"]
