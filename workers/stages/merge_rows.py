"""Merges the rows of a list that name one URL into its image: captions, labels, boxes, the further columns. Finds labels that differ.

Retry: none here. A run that is repeated reads the same rows and merges the same.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from app.boxes import MAX_BOXES
from app.db import images, jobs, list_rows
from app.db.list_rows import ListRow
from app.domain import ImageState, Reason
from logging_setup import get_logger
from workers.unit import ClaimedUnit

__all__ = ["MergedImage", "find_label_conflicts", "merge_rows"]

log = get_logger(__name__)

MAX_TEXTS = 1_000
"""Different captions, or labels, of one image; a hostile list may give millions."""

SHOWN_LABELS = 5
WRITE_BATCH = 1_000
STATES = (ImageState.VALID, ImageState.KEPT, ImageState.DUPLICATE)


@dataclass(slots=True)
class MergedImage:
    """What the rows of one URL say together.

    Attributes:
        lines: for each set of labels that a row gives, the labels and the first line that gives them. Case makes no difference.
        extra: of each further column the first value.
        boxes: those of all rows, each once, up to 1,000.
        dropped: captions beyond the first 1,000.
    """

    image_id: int
    state: ImageState
    captions: dict[str, None] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    lines: dict[frozenset[str], tuple[str, int]] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    boxes: list[dict[str, Any]] = field(default_factory=list)
    dropped: int = 0

    def add(self, row: ListRow) -> None:
        """Add the next row of the list."""
        for caption in row.captions:
            if len(self.captions) < MAX_TEXTS or caption in self.captions:
                self.captions[caption] = None
            else:
                self.dropped += 1
        if row.labels and len(self.labels) < MAX_TEXTS:
            self.lines.setdefault(frozenset(map(str.casefold, row.labels)), ("+".join(row.labels), row.line))
            for label in row.labels:
                self.labels.setdefault(label.casefold(), label)
        for name, value in row.extra.items():
            self.extra.setdefault(name, value)
        for box in row.boxes:
            if len(self.boxes) < MAX_BOXES and box not in self.boxes:
                self.boxes.append(box)

    @property
    def conflict(self) -> str | None:
        """The labels that differ, in words; ``None`` if they agree. Several labels in one row are no conflict."""
        if len(self.lines) < 2:
            return None
        shown = [f"{labels} (line {line})" for labels, line in list(self.lines.values())[:SHOWN_LABELS]]
        more = f" and {len(self.lines) - SHOWN_LABELS} more" if len(self.lines) > SHOWN_LABELS else ""
        return f"the list gives its URL different labels: {', '.join(shown)}{more}"

    def change(self) -> dict[str, Any]:
        """The change of the image's row."""
        captions, labels = list(self.captions), list(self.labels.values())
        return {
            "id": self.image_id,
            "caption": captions[0] if captions else None,
            "captions": captions if len(captions) > 1 else None,
            "label": labels[0] if labels else None,
            "labels": labels if len(labels) > 1 else None,
            "extra": self.extra or None,
            "boxes": self.boxes or None,
        }


async def merge_rows(unit: ClaimedUnit) -> None:
    """Write what the rows of each URL say together into its image; reject images whose labels differ if the job wants it."""
    merged = dropped = conflicts = 0
    rejects = unit.spec.label is None and unit.spec.url_label_conflicts == "drop"
    batch: list[MergedImage] = []
    async for item in _merged_images(unit):
        batch.append(item)
        merged, dropped, conflicts = merged + 1, dropped + item.dropped, conflicts + bool(item.conflict)
        if len(batch) >= WRITE_BATCH:
            await _write(unit, batch, rejects=rejects)
            batch = []
    if batch:
        await _write(unit, batch, rejects=rejects)
    if merged:
        log.info("list.rows_merged", images=merged, label_conflicts=conflicts)
    if dropped:
        log.warning("list.captions_dropped", captions=dropped, limit=MAX_TEXTS)


async def _write(unit: ClaimedUnit, batch: list[MergedImage], *, rejects: bool) -> None:
    rejected = {"state": ImageState.REJECTED, "reason": Reason.LABEL_CONFLICT, "split": None, "duplicate_of": None}
    async with unit.transaction() as connection:
        await images.update_many(connection, [item.change() for item in batch])
        if rejects:
            dropped = [{"id": item.image_id, "detail": item.conflict} | rejected for item in batch if item.conflict]
            await images.update_many(connection, dropped)


async def find_label_conflicts(unit: ClaimedUnit) -> dict[int, str]:
    """Return the valid images of a job without a label of its own whose rows give different labels, with these labels in words."""
    if unit.spec.label is not None:
        return {}
    return {item.image_id: item.conflict async for item in _merged_images(unit) if item.conflict}


async def _merged_images(unit: ClaimedUnit) -> AsyncIterator[MergedImage]:
    """Yield the images that several rows name. One image is in memory, and one page of rows."""
    dataset_id, item = unit.job.dataset_id, None
    if not (await jobs.list_figures(unit.ctx.db, dataset_id)).merged_rows:
        return
    async for page in list_rows.of_dataset(unit.ctx.db, dataset_id, STATES):
        for row in page:
            if item is None or item.image_id != row.image_id:
                if item is not None:
                    yield item
                item = MergedImage(row.image_id, row.state)
            item.add(row)
    if item is not None:
        yield item
