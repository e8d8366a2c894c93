"""What differs between the records of two datasets, whatever their lineages. Both are read in the order of their URLs, a page each."""

from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, fields
from typing import Any

from app.db import Database, kept_records
from app.db.kept_records import KeptRecord

__all__ = ["Changes", "Difference", "changes_between", "compare", "differences", "with_difference"]


@dataclass(frozen=True, slots=True)
class Changes:
    """How many records differ. A record that has another label and is in another split counts for both.

    Attributes:
        added: records of URLs that the other dataset does not have.
        removed: records that only the other dataset has.
        changed: records of both with other bytes, another caption, licence, group or other text.
        relabelled: records of both with another label.
        resplit: records of both in another split.
    """

    added: int = 0
    removed: int = 0
    changed: int = 0
    relabelled: int = 0
    resplit: int = 0

    @property
    def altered(self) -> int:
        """What counts as changed in a version number; see `app.datasets.semver.next_version`."""
        return self.changed + self.relabelled + self.resplit

    @property
    def is_empty(self) -> bool:
        """Whether nothing differs."""
        return self == Changes()

    def as_json(self) -> dict[str, int]:
        """Counts by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Difference:
    """One URL whose records differ; None where a dataset does not keep it. ``kinds`` are names of fields of `Changes`."""

    old: KeptRecord | None
    new: KeptRecord | None
    kinds: tuple[str, ...]

    @property
    def url(self) -> str:
        """The URL."""
        return (self.new or self.old).url  # type: ignore[union-attr]

    @property
    def texts(self) -> tuple[str, ...]:
        """Names of the columns that differ, in order, besides bytes, labels and split."""
        if self.old is None or self.new is None:
            return ()
        old, new = self.old.texts, self.new.texts
        return tuple(sorted(name for name in {*old, *new} if old.get(name) != new.get(name)))


def compare(old: KeptRecord | None, new: KeptRecord | None) -> tuple[str, ...]:
    """Return how two records of one URL differ, as names of fields of `Changes`; none where they are the same."""
    if old is None or new is None:
        return ("added",) if old is None else ("removed",)
    differs = {
        "changed": (old.sha256, old.url, old.texts) != (new.sha256, new.url, new.texts),
        "relabelled": (old.label, old.labels) != (new.label, new.labels),
        "resplit": old.split != new.split,
    }
    return tuple(kind for kind, is_so in differs.items() if is_so)


async def differences(db: Database, old_id: str, new_id: str) -> AsyncIterator[Difference]:
    """Yield what differs from the kept images of one dataset to those of another, by URL key. A page of each is in memory."""
    olds, news = _records(db, old_id), _records(db, new_id)
    old, new = await anext(olds, None), await anext(news, None)
    while old is not None or new is not None:
        is_old = new is None or (old is not None and old.url_key <= new.url_key)
        is_new = old is None or (new is not None and new.url_key <= old.url_key)
        pair = (old if is_old else None, new if is_new else None)
        if kinds := compare(*pair):
            yield Difference(*pair, kinds)
        old = await anext(olds, None) if is_old else old
        new = await anext(news, None) if is_new else new


async def _records(db: Database, dataset_id: str) -> AsyncIterator[KeptRecord]:
    async for page in kept_records.pages(db, dataset_id):
        for record in page:
            yield record


async def changes_between(db: Database, old_id: str, new_id: str) -> Changes:
    """Count what differs from one dataset to another."""
    changes = Changes()
    async for difference in differences(db, old_id, new_id):
        changes = with_difference(changes, difference)
    return changes


def with_difference(changes: Changes, difference: Difference) -> Changes:
    """Return the counts with one difference more."""
    counts: dict[str, Any] = {item.name: getattr(changes, item.name) + (item.name in difference.kinds) for item in fields(Changes)}
    return Changes(**counts)
