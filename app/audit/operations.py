"""The five critical operations and the context that each line of theirs carries, looked for in the code and in the lines of a run."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.audit.jobs import decorated
from app.audit.rule import Breach, Rule
from app.audit.sources import Module, Sources
from app.audit.syntax import last

__all__ = ["OPERATIONS", "RULES", "Operation", "gaps"]

NOT_CONTEXT = frozenset({"default", "exception"})


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation.

    Attributes:
        context: field -> where it is given: a module, or a job function whose ids the decorator puts into the context.
        events: event -> the fields that its line has.
    """

    name: str
    context: Mapping[str, str]
    events: Mapping[str, frozenset[str]]


_DOWNLOAD = frozenset({"job_id", "chunk_id", "url", "attempt_number"})
_EXPORT = frozenset({"user_id", "job_id", "export_format", "storage_tier"})

OPERATIONS = (
    Operation(
        "job creation",
        {"user_id": "app.jobs.submit", "job_id": "app.jobs.submit", "keywords": "workers.stages.plan", "max_images": "workers.stages.plan"},
        {
            "job.accepted": frozenset({"user_id", "job_id"}),
            "job.planning": frozenset({"user_id", "job_id", "keywords", "max_images"}),
        },
    ),
    Operation(
        "image download",
        {"job_id": "process_chunk", "chunk_id": "process_chunk", "url": "downloader.client", "attempt_number": "downloader.client"},
        {"download.fetched": _DOWNLOAD, "download.retry": _DOWNLOAD},
    ),
    Operation(
        "validation",
        {"job_id": "validate_chunk", "image_id": "workers.stages.validate", "validation_level": "workers.stages.validate"},
        {"image.judged": frozenset({"job_id", "image_id", "validation_level"})},
    ),
    Operation(
        "compression",
        {"job_id": "compress_chunk", **dict.fromkeys(("format", "compression_level", "file_count"), "workers.stages.compress")},
        {"chunk.compressed": frozenset({"job_id", "format", "compression_level", "file_count"})},
    ),
    Operation(
        "export",
        {"job_id": "export_dataset", **dict.fromkeys(("user_id", "export_format", "storage_tier"), "workers.stages.export")},
        {"export.written": _EXPORT, "export.verified": _EXPORT},
    ),
)


def gaps(operation: Operation, lines: Iterable[Mapping[str, Any]]) -> tuple[int, list[str]]:
    """How many lines of an operation a run has, and which fields are missing from which of its events; an event nobody said is one."""
    mine = [line for line in lines if line["event"] in operation.events]
    absent = [f"no {event}" for event in operation.events if event not in {line["event"] for line in mine}]
    missing = {f"{line['event']} without {field}" for line in mine for field in operation.events[line["event"]] - set(line)}
    return len(mine), absent + sorted(missing)


def _contexts(sources: Sources) -> Iterator[Breach]:
    jobs = decorated(sources)
    for operation in OPERATIONS:
        for field, place in operation.context.items():
            path = jobs[place][0].path if place in jobs else f"{place.replace('.', '/')}.py"
            given = _ids(jobs[place][1]) if place in jobs else _given(sources.get(place))
            if field not in given:
                what = f"{operation.name}: {place} does not give {field} to the context"
                yield Breach(path, 1, what, f"with log.contextualize({field}=...)")


def _ids(function: ast.AsyncFunctionDef) -> set[str]:
    return {argument.arg for argument in function.args.kwonlyargs}


def _given(module: Module | None) -> set[str]:
    """Fields of every ``contextualize`` and log call of a module."""
    found: set[str] = set()
    for here in module.nodes if module else ():
        if isinstance(here.node, ast.Call) and last(here.node.func) in ("contextualize", "info", "debug", "warning", "error"):
            found |= {keyword.arg for keyword in here.node.keywords if keyword.arg} - NOT_CONTEXT
    return found


RULES = (Rule("operations-context", "the five critical operations give their fields to the log's context", _contexts),)
