"""``pictrawl fetch``: one URL through the whole downloader, with every attempt. Writes nothing but the file that ``-o`` names."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli import exit_codes
from app.cli.documents import attempt_document
from app.cli.options import Cli, parse_path
from app.cli.session import configure_logging, run
from app.cli.settings import load_settings
from app.discovery import urls
from app.explain.permission import decision_lines, decisions_document
from app.explain.render import attempt_lines, evidence_words
from app.formatting import clipped, size
from app.resources import make_downloader
from app.settings import Settings
from downloader import Deferred, Fetched, FetchFailed, NotModified, Outcome

__all__ = ["fetch"]

OUTCOMES: dict[type, str] = {Fetched: "ok", NotModified: "not_modified", FetchFailed: "failed", Deferred: "deferred"}


def fetch(
    cli: Cli,
    url: Annotated[str, typer.Argument(metavar="URL", help="The image to fetch.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", parser=parse_path, help="Write the bytes to this file.")
    ] = None,
    no_robots: Annotated[bool, typer.Option("--no-robots", help="Ignore robots.txt; only for your own hosts.")] = False,
) -> int:
    """Fetch one URL as a build would.

    Shows each request, the wait after it and the cause of the wait. Exit code 0 if the image was fetched, 4 if it failed or was deferred.
    """
    settings = load_settings(cli, {"fetch.robots": False} if no_robots else None)
    configure_logging(cli, settings, default="ERROR")
    return run(_fetch(cli, settings, url, output))


async def _fetch(cli: Cli, settings: Settings, url: str, output: Path | None) -> int:
    async with make_downloader(settings) as downloader:
        outcome = await downloader.fetch(urls.usable(url) or url)
    if output is not None and isinstance(outcome, Fetched):
        await asyncio.to_thread(output.write_bytes, outcome.body)
    document = outcome_document(outcome)
    cli.result(outcome_text(outcome), document, brief=document["outcome"])
    return exit_codes.OK if isinstance(outcome, Fetched) else exit_codes.NOTHING_KEPT


def outcome_document(outcome: Outcome) -> dict[str, Any]:
    """The document of ``--json``; its keys are contract."""
    return {
        "url": outcome.request.url,
        "outcome": OUTCOMES[type(outcome)],
        "error": getattr(outcome, "error", None),
        "reason": outcome.reason.value if isinstance(outcome, FetchFailed | Deferred) else None,
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


def outcome_text(outcome: Outcome) -> str:
    """The outcome as lines for people."""
    lines = [clipped(outcome.request.url, 300)]
    lines += [f"  {line}" for line in attempt_lines([("done", attempt) for attempt in outcome.attempts], ended="")]
    if not outcome.attempts:
        lines.append("  no request was sent")
    lines += [f"  {line}" for line in decision_lines(outcome.decisions)]
    lines += _verdict(outcome)
    final_url = getattr(outcome, "final_url", None)
    if final_url and final_url != outcome.request.url:
        lines.append(f"  redirected to {clipped(final_url, 300)}")
    return "\n".join(lines)


def _verdict(outcome: Outcome) -> list[str]:
    if isinstance(outcome, Fetched):
        return [f"ok: {size(len(outcome.body))} {outcome.media_type}, sha256 {outcome.sha256}"]
    if isinstance(outcome, NotModified):
        return ["not modified"]
    if isinstance(outcome, FetchFailed):
        text = f"failed: {outcome.reason.value}, {clipped(outcome.message, 300)}"
    else:
        wait_s = outcome.retry_after_s
        text = f"deferred: {outcome.reason.value}" + (f", next request in {wait_s:.0f} s" if wait_s else "")
    shown = {outcome.decisions.opt_out_evidence, *(hop.evidence for hop in outcome.decisions.hops)}
    if outcome.evidence is None or outcome.evidence in shown:
        return [text]
    return [text, f"  evidence    {evidence_words(outcome.reason, outcome.evidence)}"]
