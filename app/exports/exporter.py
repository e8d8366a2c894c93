"""The protocol of an exporter, which writes a folder and verifies it. Knows samples and bytes, no rows or jobs."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from app.domain import EXTENSIONS, Sample, Verdict
from app.exports.provenance import Provenance
from app.images.split_groups import LeakReport
from app.paper_texts import NO_TEXTS, PaperTexts

__all__ = ["PILLOW_EXTENSIONS", "ExportOptions", "ExportReport", "Exporter", "Load", "Read", "VerifyReport"]

PILLOW_EXTENSIONS = frozenset(EXTENSIONS.values()) - {"heif"}
"""Extensions of the images that Pillow reads by itself."""

Read = Callable[[Sequence[Sample]], Awaitable[Sequence[bytes]]]
"""Reads the bytes of a few samples, in their order."""

Load = Callable[[Sequence[bytes | Path]], Awaitable[Sequence[Verdict]]]
"""Loads a few images, bytes or files, as the documented loaders do: for each its size, or why one of them fails."""


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """Name and texts of an export, and the size of its shards and folders.

    Attributes:
        dataset_name: as the user wrote it; used in the card, never in a path.
        created_at: seconds since the epoch; the only time in an export, so that the same options give the same bytes.
        shard_samples, shard_bytes: a shard is closed before it would exceed either; a larger single sample gets its own shard. Where
            the names of shards say how many there are, the bytes are those of the images.
        folder_entries: files and folders in one folder, if more images would be in it: as many as the hub of Hugging Face takes
            ("Repository limitations and recommendations").
        asked: what was asked for besides the format, as the manifest says it; what is a default is absent.
        captions: which captions go where there is room for one text: the ``first``, or ``all``, one on a line.
        version: of the dataset, as in ``1.2.0``.
        texts: what people say of the dataset.
        provenance: where the version comes from; without one the papers say that it is unknown.
    """

    dataset_name: str
    dataset_id: str
    created_at: float
    shard_samples: int = 10_000
    shard_bytes: int = 1_000_000_000
    folder_entries: int = 10_000
    captions: str = "first"
    version: str = "1.0.0"
    texts: PaperTexts = NO_TEXTS
    provenance: Provenance | None = None
    asked: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an exporter wrote. ``splits`` and ``labels`` count samples; ``files`` maps a relative path to its size in bytes.
    ``split_report`` is the JSON of a :class:`app.images.split_groups.LeakReport`; empty in reports of earlier versions.
    """

    format: str
    samples: int
    size_bytes: int
    splits: Mapping[str, int]
    labels: Mapping[str, int]
    files: Mapping[str, int] = field(repr=False)
    split_report: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """Result of reading an export back. ``problems`` is empty if nothing is wrong; at most the first 100 are kept.
    ``split_report`` is counted anew from the rows of the export, as far as they could be read.
    """

    samples: int
    problems: tuple[str, ...] = ()
    split_report: LeakReport | None = None

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


class Exporter(Protocol):
    """One format. Memory stays constant however many samples there are."""

    @property
    def format(self) -> str:
        """Name of the format in settings and the API."""
        ...

    @property
    def extensions(self) -> frozenset[str] | None:
        """Extensions of the images that the loaders of the format read, without the dot; None for all. Others are converted before."""
        ...

    @property
    def holds_images(self) -> bool:
        """Whether the bytes of the images are in the export; where they are not, they are not read."""
        ...

    async def write(self, samples: AsyncIterator[Sample], read: Read, folder: Path, options: ExportOptions) -> ExportReport:
        """Write the export into ``folder``, which must be empty or absent. On failure it is left empty.

        Raises:
            errors.ValidationError: a sample's bytes are not those of its digest, or a sample breaks a rule of the format.
            errors.StorageError: the disk reports an error. Errors of ``read`` are not translated.
        """
        ...

    async def verify(self, folder: Path, report: ExportReport, load: Load | None = None) -> VerifyReport:
        """Read the whole export back by the rules of its format and report its problems; with ``load``, load every image too."""
        ...
