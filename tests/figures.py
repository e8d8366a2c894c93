"""Figures of this process as a test reads them: they are the process's, so what counts is by how much they grew."""

from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

from app.observability.metrics import FAMILIES
from app.observability.registry import OTHER, exposition

__all__ = ["Growth", "Samples", "parsed", "total"]

Samples = dict[tuple[str, tuple[str, ...]], float]
"""Sample values by name and label values, those in the alphabetical order of their labels: so the text has them."""


def parsed(text: str) -> Samples:
    """The text format as samples; a series that is told twice is a fault."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, tuple(sample.labels.values()))
            assert key not in found, f"{key} is told twice"
            found[key] = sample.value
    return found


def total(samples: Mapping[tuple[str, tuple[str, ...]], float], name: str) -> dict[tuple[str, ...], float]:
    """The samples of one name that are not 0."""
    return {values: number for (sample, values), number in samples.items() if sample == name and number}


class Growth:
    """What has grown since this was made."""

    def __init__(self) -> None:
        self._before = parsed(exposition().decode())

    def of(self, name: str) -> dict[tuple[str, ...], float]:
        """By how much each series of one name has grown, those that have not left out."""
        now = parsed(exposition().decode())
        _assert_bounded(now)
        grown = {key: value - self._before.get(key, 0.0) for key, value in now.items()}
        return total(grown, name)


_VALUES = {family.sample: [{*label.values, OTHER} for label in family.labels] for family in FAMILIES if family.kind != "histogram"}


def _assert_bounded(samples: Samples) -> None:
    """No label of ours has a value that is not in its list, whatever the code under test counted."""
    for name, values in samples:
        for value, known in zip(values, _VALUES.get(name, ()), strict=False):
            assert value in known, f"{name} has a label value {value!r} that is in no list"
