"""Which images are kept, under which label and in which split: decided over the whole dataset at once."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from app.db import images, jobs
from app.db.images import Fingerprint
from app.images import assign_all
from app.records import ImageState, Reason
from logging_setup import get_logger
from workers.work import Work

__all__ = ["choose", "label"]

log = get_logger(__name__)

WRITE_BATCH = 2_000
"""Rows changed in one transaction."""


async def label(work: Work) -> None:
    """Keep valid images up to the target, fairly among the searches; give each its label and a leak-free split."""
    spec = work.spec
    async with work.ctx.db.read() as connection:
        found = await images.fingerprints(connection, work.job.dataset_id, [ImageState.VALID, ImageState.KEPT])
    labels = await jobs.search_labels(work.ctx.db, work.job.dataset_id)
    kept, over = choose(found, spec.max_images)
    changes = await asyncio.to_thread(_changes, kept, over, labels, spec.label, spec.splits, spec.seed)
    for start in range(0, len(changes), WRITE_BATCH):
        async with work.transaction() as connection:
            await images.update_many(connection, changes[start : start + WRITE_BATCH])
    log.info("dataset.labelled", kept=len(kept), over_target=len(over), splits=list(spec.splits))


def choose(found: Sequence[Fingerprint], target: int | None) -> tuple[list[Fingerprint], list[Fingerprint]]:
    """The images that are kept, and those beyond the target. Searches take turns, each in its source's own order."""
    if target is None or len(found) <= target:
        return list(found), []
    turns: dict[str | None, int] = {}
    ranked = []
    for item in sorted(found, key=lambda item: (item.rank, item.id)):
        turn = turns[item.search_id] = turns.get(item.search_id, 0) + 1
        ranked.append((turn, item.rank, item.id, item))
    ranked.sort(key=lambda entry: entry[:3])
    order = [entry[3] for entry in ranked]
    return order[:target], order[target:]


def _changes(
    kept: Sequence[Fingerprint],
    over: Sequence[Fingerprint],
    labels: Mapping[str, str | None],
    fixed: str | None,
    splits: Mapping[str, float],
    seed: int,
) -> list[dict[str, Any]]:
    named = [fixed or item.label or labels.get(item.search_id or "") for item in kept]
    groups = [(name or "", item.group_id or item.sha256) for name, item in zip(named, kept, strict=True)]
    places = assign_all(groups, splits, seed)
    rows: list[dict[str, Any]] = [
        {"id": item.id, "state": ImageState.KEPT, "reason": None, "detail": None, "label": name, "split": split}
        for item, name, split in zip(kept, named, places, strict=True)
    ]
    beyond: dict[str, Any] = {
        "state": ImageState.REJECTED,
        "reason": Reason.OVER_TARGET,
        "detail": "valid, but the target was already met",
        "split": None,
    }
    return rows + [{"id": item.id, "label": item.label} | beyond for item in over]
