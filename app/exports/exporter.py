"""The protocol of an exporter, which writes a folder and verifies it. Knows samples and bytes, no rows or jobs."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from app.domain import ExportReport, Sample, VerifyReport

__all__ = ["ExportOptions", "Exporter", "Read"]

Read = Callable[[Sequence[Sample]], Awaitable[Sequence[bytes]]]
"""Reads the bytes of a few samples, in their order."""


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """Name and texts of an export, and the size of its shards.

    Attributes:
        dataset_name: as the user wrote it; used in the card, never in a path.
        created_at: seconds since the epoch; the only time in an export, so that the same options give the same bytes.
        shard_samples, shard_bytes: a shard is closed before it would exceed either; a larger single sample gets its own shard.
        description: a paragraph for the card.
        licence_note: a paragraph for the card's licence section, such as the terms of a source.
    """

    dataset_name: str
    dataset_id: str
    created_at: float
    shard_samples: int = 10_000
    shard_bytes: int = 1_000_000_000
    description: str = ""
    licence_note: str = ""


class Exporter(Protocol):
    """One format. Memory stays constant however many samples there are."""

    @property
    def format(self) -> str:
        """Name of the format in settings and the API."""
        ...

    async def write(self, samples: AsyncIterator[Sample], read: Read, folder: Path, options: ExportOptions) -> ExportReport:
        """Write the export into ``folder``, which must be empty or absent. On failure it is left empty.

        Raises:
            errors.ValidationError: a sample's bytes are not those of its digest, or a sample breaks a rule of the format.
            errors.StorageError: the disk reports an error. Errors of ``read`` are not translated.
        """
        ...

    async def verify(self, folder: Path, report: ExportReport) -> VerifyReport:
        """Read the whole export back by the rules of its format and report its problems."""
        ...
