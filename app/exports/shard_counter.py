"""Which shard of its split a sample is in, decided from the samples alone: how many there are is known before the first is written."""

from dataclasses import dataclass

from app.domain import Sample

__all__ = ["ShardCounter"]


@dataclass(slots=True)
class _Shard:
    number: int = 0
    samples: int = 0
    size_bytes: int = 0


class ShardCounter:
    """Assigns the samples to shards, in their order: a shard ends before its images would exceed a number, or a size in bytes."""

    def __init__(self, shard_samples: int, shard_bytes: int) -> None:
        self._shard_samples = shard_samples
        self._shard_bytes = shard_bytes
        self._last: dict[str, _Shard] = {}

    def add(self, sample: Sample) -> int:
        """The number of the sample's shard, 0 first within its split."""
        shard = self._last.setdefault(sample.split, _Shard())
        if shard.samples and (shard.samples >= self._shard_samples or shard.size_bytes + sample.size_bytes > self._shard_bytes):
            shard.number, shard.samples, shard.size_bytes = shard.number + 1, 0, 0
        shard.samples += 1
        shard.size_bytes += sample.size_bytes
        return shard.number

    def counts(self) -> dict[str, int]:
        """The number of shards of each split, by its name."""
        return {split: self._last[split].number + 1 for split in sorted(self._last)}
