"""``pictrawl datasets licences``: the licences of a dataset, and what a choice of them would leave."""

from dataclasses import asdict
from typing import Annotated, Literal

import typer

from app.cli.datasets import DatasetId
from app.cli.options import Cli
from app.cli.output import table
from app.cli.session import open_database, run
from app.cli.settings import load_settings
from app.db import lookup
from app.db.licences import count_by_licence
from app.discovery.licences.policy import LicencePolicy
from app.explain.licences import Answer, LedgerLine, answer, ledger
from app.formatting import clipped, count, listing, number

__all__ = ["licences", "show_licences"]

LICENSE = "Ask what these would leave: ids and families as in by,by-sa, or open, commercial, derivatives, any; may be repeated."
UNKNOWN = "What becomes of images without a known licence, for --license."

Licenses = Annotated[list[str] | None, typer.Option("--license", metavar="WORDS", help=LICENSE, show_default=False)]


def licences(
    cli: Cli,
    dataset: DatasetId,
    license_words: Licenses = None,
    license_unknown: Annotated[Literal["keep", "drop"], typer.Option("--license-unknown", help=UNKNOWN)] = "drop",
) -> int:
    """Show the licences of a dataset, and what a choice of them would leave."""
    return run(show_licences(cli, dataset, LicencePolicy.of(license_words, license_unknown) if license_words else None))


async def show_licences(cli: Cli, dataset_id: str, policy: LicencePolicy | None) -> int:
    """Show the ledger of a dataset, and with a policy what it would leave; return the exit code."""
    async with open_database(cli, load_settings(cli)) as db:
        dataset_id = await lookup.dataset_id(db, dataset_id)
        counts = await count_by_licence(db, dataset_id)
    lines = ledger(counts)
    found = answer(counts, policy) if policy is not None else None
    kept = sum(line.kept for line in lines)
    parts = [f"dataset {dataset_id}: {count(kept, 'image')}", _table(lines) if lines else ""]
    parts += [_contradictions(lines), _answer_words(found, policy.words) if found is not None and policy is not None else ""]
    document = {"dataset_id": dataset_id, "kept": kept, "licences": [asdict(line) for line in lines], "answer": found and asdict(found)}
    cli.result("\n".join(part for part in parts if part), document, brief="\n".join(line.licence or "" for line in lines))
    return 0


def _table(lines: list[LedgerLine]) -> str:
    rows = [
        (
            clipped(line.licence or "none stated", 34),
            number(line.kept),
            number(line.refused) if line.refused else "",
            clipped(listing(line.confidence), 26),
            clipped(line.terms, 40),
        )
        for line in lines
    ]
    return table(("licence", "kept", "refused", "known", "asks for"), rows, right=(1, 2))


def _contradictions(lines: list[LedgerLine]) -> str:
    contradicted = sum(line.contradicted for line in lines)
    return f"of {count(contradicted, 'image')} two statements disagree; the stricter holds" if contradicted else ""


def _answer_words(found: Answer, words: tuple[str, ...]) -> str:
    gone = sum(departure.count for departure in found.goes)
    lines = [f"--license {','.join(words)}: {count(found.stays, 'image')} would stay, {number(gone)} would go"]
    return "\n".join([*lines, *(f"  {number(departure.count):>6}  {departure.why}" for departure in found.goes)])
