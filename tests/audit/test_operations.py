"""The five critical operations: their context in the code, and in the lines of a run."""

from collections.abc import Mapping
from typing import Any

import pytest

from app.audit.operations import OPERATIONS, RULES, gaps
from app.audit.rule import judge
from app.audit.sources import PACKAGES, Module, installed
from tests.audit.bad import found_in


def texts() -> dict[str, str]:
    """The modules of the operations as they are."""
    import ast

    wanted = ("app/jobs/submit.py", "downloader/client.py", "workers/")
    modules: Mapping[str, Module] = installed()
    return {module.path: ast.unparse(module.tree) for module in modules.values() if module.path.startswith(wanted)}


def test_ours_give_every_field() -> None:
    """All five, as the logging guide lists them."""
    assert [str(breach) for verdict in judge(RULES, installed()) for breach in verdict.breaches] == []
    assert found_in(RULES, texts()) == []
    assert [operation.name for operation in OPERATIONS] == ["job creation", "image download", "validation", "compression", "export"]
    assert "app" in PACKAGES


@pytest.mark.parametrize(
    ("path", "old", "new", "words"),
    [
        ("app/jobs/submit.py", "user_id=caller.user_id, request_id", "request_id", "job creation: app.jobs.submit does not give user_id"),
        ("workers/stages/plan.py", "max_images=", "most=", "job creation: workers.stages.plan does not give max_images"),
        ("downloader/client.py", "contextualize(url=shown)", "contextualize()", "image download: downloader.client does not give url"),
        ("workers/builder.py", "job_id: str, chunk_id: str", "job_id: str", "image download: process_chunk does not give chunk_id"),
        ("workers/stages/validate.py", "image_id=image.id, ", "", "validation: workers.stages.validate does not give image_id"),
        ("workers/stages/compress.py", "file_count=len(todo)", "", "compression: workers.stages.compress does not give file_count"),
        ("workers/stages/export.py", "storage_tier=row.storage_tier", "", "export: workers.stages.export does not give storage_tier"),
    ],
)
def test_a_field_that_is_not_given_is_found(path: str, old: str, new: str, words: str) -> None:
    """Whichever of the five it is of."""
    sources = texts()
    assert old in sources[path]
    breaches = found_in(RULES, sources | {path: sources[path].replace(old, new)})
    assert any(words in breach and breach.startswith(path) for breach in breaches), breaches


def test_lines_of_a_run_are_held_against_the_fields() -> None:
    """Counted where they are; a field that is missing and an event that nobody said are gaps."""
    creation = OPERATIONS[0]
    accepted: dict[str, Any] = {"event": "job.accepted", "user_id": "local", "job_id": "job_1"}
    planning = accepted | {"event": "job.planning", "keywords": [], "max_images": None}
    assert gaps(creation, [accepted, planning, {"event": "worker.started"}]) == (2, [])
    assert gaps(creation, [accepted]) == (1, ["no job.planning"])
    del planning["keywords"]
    assert gaps(creation, [accepted, planning]) == (2, ["job.planning without keywords"])
