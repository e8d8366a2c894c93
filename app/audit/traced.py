"""What one run shows of retries and of the log: requests as the origin counted them, lines as they were written. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.audit.operations import OPERATIONS, gaps
from app.audit.pipeline import Built

__all__ = ["Evidence", "Injected"]

JOURNAL = frozenset({"INFO", "WARNING", "ERROR", "CRITICAL"})


@dataclass(frozen=True, slots=True)
class Injected:
    """A run into which errors of the job layer were put.

    Attributes:
        hits: requests by URL, as the origin counted them.
        retries: the errors after which the job layer announced another run.
        state: how the job ended.
        faults: the errors that were put in.
    """

    hits: Mapping[str, int]
    retries: tuple[str, ...]
    state: str
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """A run at level DEBUG against an origin that fails.

    Attributes:
        hits: requests by URL of an image, as the origin counted them.
        journal: rows in the database that `pictrawl jobs logs` reads.
    """

    built: Built
    hits: Mapping[str, int]
    journal: int

    @property
    def retried(self) -> int:
        """URLs that got more than one request, by the origin's count."""
        return sum(hits > 1 for hits in self.hits.values())

    @property
    def repeats(self) -> int:
        """Requests after the first for a URL, by the origin's count."""
        return sum(self.hits.values()) - len(self.hits)

    @property
    def retry_lines(self) -> list[Mapping[str, Any]]:
        """The lines that announce a retry."""
        return [line for line in self.built.lines if line["event"] == "download.retry"]

    @property
    def of_job(self) -> list[Mapping[str, Any]]:
        """Lines that were said while a job function ran."""
        return [line for line in self.built.lines if "job" in line]

    @property
    def traceable(self) -> int:
        """Those of them that carry the job's id."""
        return sum(line.get("job_id") == self.built.document["job_id"] for line in self.of_job)

    @property
    def journal_lines(self) -> int:
        """Lines with the job's id that the journal takes."""
        return sum(line.get("job_id") == self.built.document["job_id"] and line["level"] in JOURNAL for line in self.built.lines)

    def operations(self) -> Mapping[str, tuple[int, list[str]]]:
        """Each critical operation with its lines and what they lack."""
        return {operation.name: gaps(operation, self.built.lines) for operation in OPERATIONS}
