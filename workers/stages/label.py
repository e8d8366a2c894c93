"""Which images are kept, under which label and in which split: decided over the whole dataset at once."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.db import jobs
from app.db.fingerprints import Choice, choices
from app.domain import ImageState, Reason
from app.images.splits import assign_all
from logging_setup import get_logger
from workers.stages.deduplicate import write_all
from workers.unit import Work

__all__ = ["choose", "label"]

log = get_logger(__name__)


async def label(work: Work) -> None:
    """Keep valid images up to the target, fairly among the searches; give each its label and a leak-free split."""
    spec = work.spec
    async with work.ctx.db.read() as connection:
        found = await choices(connection, work.job.dataset_id, [ImageState.VALID, ImageState.KEPT])
    labels = await jobs.search_labels(work.ctx.db, work.job.dataset_id)
    kept, over = await asyncio.to_thread(choose, found, spec.max_images)
    changes = await asyncio.to_thread(_changes, kept, over, labels, spec.label, spec.splits, spec.seed)
    await write_all(work, changes)
    log.info("dataset.labelled", kept=len(kept), over_target=len(over), splits=list(spec.splits))


def choose(found: Sequence[Choice], target: int | None) -> tuple[list[Choice], list[Choice]]:
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
    kept: Sequence[Choice],
    over: Sequence[Choice],
    labels: Mapping[str, str | None],
    fixed: str | None,
    splits: Mapping[str, float],
    seed: int,
) -> Iterator[dict[str, Any]]:
    """Decide over all at once; the changes are then made one after another."""
    names = [fixed or item.label or labels.get(item.search_id or "") for item in kept]
    places = assign_all([(name or "", item.group) for name, item in zip(names, kept, strict=True)], splits, seed)
    return _rows(kept, names, places, over)


def _rows(kept: Sequence[Choice], names: Sequence[str | None], places: Sequence[str], over: Sequence[Choice]) -> Iterator[dict[str, Any]]:
    for item, name, split in zip(kept, names, places, strict=True):
        yield {"id": item.id, "state": ImageState.KEPT, "reason": None, "detail": None, "label": name, "split": split}
    beyond = {"state": ImageState.REJECTED, "reason": Reason.OVER_TARGET, "detail": "valid, but the target was already met", "split": None}
    for item in over:
        yield {"id": item.id, "label": item.label} | beyond
