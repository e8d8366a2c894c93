"""``pictrawl fetch``: one URL through the whole downloader, every attempt shown. Writes nothing unless told where."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli import codes
from app.cli.state import Cli

if TYPE_CHECKING:
    from downloader import Outcome

__all__ = ["fetch"]


def fetch(
    cli: Cli,
    url: Annotated[str, typer.Argument(metavar="URL", help="The image to fetch.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the bytes here.")] = None,
    no_robots: Annotated[bool, typer.Option("--no-robots", help="Do not ask robots.txt; only for hosts of your own.")] = False,
) -> int:
    """Fetch one URL as a build would.

    Shows each request, its wait and its cause. Exit code 0 only where the image came, 4 where it failed or was deferred.
    """
    from app.cli.session import log_to, run

    settings = cli.settings({"fetch.robots": False} if no_robots else None)
    log_to(cli, settings, default="ERROR")
    return run(_fetch(cli, settings, url, output))


async def _fetch(cli: Cli, settings: Any, url: str, output: Path | None) -> int:
    from app.resources import make_downloader
    from downloader import Fetched

    async with make_downloader(settings) as downloader:
        outcome = await downloader.fetch(url)
    if output is not None and isinstance(outcome, Fetched):
        await asyncio.to_thread(output.write_bytes, outcome.body)
    document = outcome_document(outcome)
    cli.result(outcome_text(outcome, document), document, brief=document["outcome"])
    return codes.OK if isinstance(outcome, Fetched) else codes.NOTHING_KEPT


def outcome_document(outcome: "Outcome") -> dict[str, Any]:
    """The contract of ``--json``."""
    from app.cli.documents import attempt_document
    from app.explain.evidence import decisions_document
    from downloader import Deferred, Fetched, FetchFailed

    document: dict[str, Any] = {
        "url": outcome.request.url,
        "outcome": {Fetched: "ok", FetchFailed: "failed", Deferred: "deferred"}[type(outcome)],
        "error": getattr(outcome, "error", None),
        "reason": None if isinstance(outcome, Fetched) else outcome.reason.value,
        "status": outcome.status,
        "final_url": getattr(outcome, "final_url", None),
        "media_type": getattr(outcome, "media_type", None),
        "bytes": len(outcome.body) if isinstance(outcome, Fetched) else None,
        "sha256": getattr(outcome, "sha256", None),
        "retry_after_s": getattr(outcome, "retry_after_s", None),
        "attempts": [attempt_document(attempt) for attempt in outcome.attempts],
        "evidence": getattr(outcome, "evidence", None),
        "decisions": decisions_document(outcome.decisions),
    }
    return document


def outcome_text(outcome: "Outcome", document: dict[str, Any]) -> str:
    """The outcome in words."""
    from app.cli.words import clipped
    from app.explain.evidence import decision_lines
    from app.explain.requests import attempt_lines

    lines = [clipped(outcome.request.url, 300)]
    lines += [f"  {line}" for line in attempt_lines([("done", attempt) for attempt in outcome.attempts], ended="")]
    if not outcome.attempts:
        lines.append("  no request was sent")
    lines += [f"  {line}" for line in decision_lines(outcome.decisions)]
    lines += _ending(outcome, document)
    if document["final_url"] and document["final_url"] != outcome.request.url:
        lines.append(f"  redirected to {clipped(document['final_url'], 300)}")
    return "\n".join(lines)


def _ending(outcome: "Outcome", document: dict[str, Any]) -> list[str]:
    from app.cli.words import clipped, size
    from app.explain.evidence import evidence_words
    from downloader import Fetched, FetchFailed

    if isinstance(outcome, Fetched):
        return [f"ok: {size(len(outcome.body))} {outcome.media_type}, sha256 {outcome.sha256}"]
    if isinstance(outcome, FetchFailed):
        words = f"failed: {outcome.reason.value}, {clipped(outcome.message, 300)}"
    else:
        wait = document["retry_after_s"]
        words = f"deferred: {outcome.reason.value}" + (f", asked to come back in {wait:.0f} s" if wait else "")
    told = {outcome.decisions.opt_out_evidence, *(hop.evidence for hop in outcome.decisions.hops)}
    if outcome.evidence is None or outcome.evidence in told:
        return [words]
    return [words, f"  evidence    {evidence_words(outcome.reason, outcome.evidence)}"]
