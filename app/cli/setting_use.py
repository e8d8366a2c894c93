"""Which settings each command reads: ``--set`` of one that it would ignore is refused.

Knows only names: every command imports it.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from app.cli.failures import UsageError

__all__ = [
    "ALL",
    "BUILD",
    "DATABASE",
    "DECODERS",
    "DELIVERY",
    "DOWNLOADS",
    "FORGET",
    "NONE",
    "REVIEW",
    "SERVE",
    "SERVICES",
    "SOURCES",
    "SOURCE_CHECKS",
    "VIEW",
    "WORKERS",
    "refuse_ignored",
    "refuse_workers_own",
]

Names = frozenset[str]
"""Sections, and single settings of sections that are not read as a whole."""

_REQUEST: Final = frozenset({"validate", "compress", "export", "papers"})
"""What a job has in its row: read where it is submitted."""

NONE: Final[Names] = frozenset()
SOURCES: Final[Names] = frozenset({"fetch.contact", "sources"})
DOWNLOADS: Final[Names] = frozenset({"fetch", "hosts", "retry", "log"})
DATABASE: Final[Names] = frozenset({"db", "workspace", "log"})
SOURCE_CHECKS: Final[Names] = DATABASE | DOWNLOADS | {"sources"}
SERVICES: Final[Names] = DATABASE | {"queue", "storage", "trace", "jobs"}
DECODERS: Final[Names] = frozenset({"validate.children", "validate.child_memory_bytes", "validate.deadline_s"})
WORKERS: Final[Names] = SERVICES | DOWNLOADS | DECODERS | {"sources", "metrics", "hub"}
VIEW: Final[Names] = DATABASE | DECODERS | {"storage"}
FORGET: Final[Names] = SERVICES | {"validate.near_distance"}
DELIVERY: Final[Names] = WORKERS | {"export.report"}
REVIEW: Final[Names] = SERVICES | DECODERS
BUILD: Final[Names] = WORKERS | _REQUEST
SERVE: Final[Names] = BUILD | {"serve"}
ALL: Final[Names] = SERVE

_SUBMISSION: Final = SERVICES | _REQUEST | {"fetch.contact"}


def refuse_ignored(assignments: Iterable[str], command: str, reads: Names) -> None:
    """Refuse ``--set`` of a setting that the command does not read. What is no setting at all is found when the settings are loaded.

    Raises:
        UsageError: there is one; the hint has what is read instead.
    """
    for text in assignments:
        name = text.partition("=")[0].strip()
        if not (_is_read(name, reads) or (reads and name.partition(".")[0] not in _SECTIONS)):
            raise UsageError(f"--set {name}: `{command}` does not read it", _reads_instead(name, reads))


def refuse_workers_own(given: Mapping[str, str]) -> None:
    """Refuse settings of workers where the workers are other processes, which have settings of their own.

    Args:
        given: the option that gave each setting: ``{"fetch.per_host": "--per-host"}``.

    Raises:
        UsageError: there is one.
    """
    for name, option in given.items():
        if not _is_read(name, _SUBMISSION):
            raise UsageError(f"{option} has no effect here: the work is done by another process", f"set {name} where the workers run")


_SECTIONS: Final = frozenset(name.partition(".")[0] for name in ALL)


def _is_read(name: str, reads: Names) -> bool:
    return name in reads or name.partition(".")[0] in reads


def _reads_instead(name: str, reads: Names) -> str:
    if not reads:
        return "it reads no settings"
    section = name.partition(".")[0]
    near = sorted(read for read in reads if read.startswith(f"{section}."))
    job = "a job keeps the values that it was submitted with; " if section in _REQUEST and reads >= WORKERS else ""
    whole = sorted(f"{read}.*" for read in reads if "." not in read)
    return f"{job}it reads {', '.join(near or whole or reads)}"
