"""What is counted: named as Prometheus wants it, bounded, and without a place for anybody's text."""

import re

import pytest

from app.observability.metrics import FAMILIES as OWN
from app.observability.registry import Family, exposition
from app.web.metrics import FAMILIES as OF_THE_API
from tests.figures import parsed

EVERY = (*OF_THE_API, *OWN)
OPEN = {"route", "status", "version"}
"""Labels whose values are no list: route templates and statuses of the API, and the version that runs."""

each_family = pytest.mark.parametrize("family", EVERY, ids=lambda family: family.name)


@each_family
def test_a_family_has_a_bound(family: Family) -> None:
    """No family can have more series than a small Prometheus bears, and what one process counts itself is small."""
    assert family.bound <= (20_480 if family in OF_THE_API else 400)


def test_all_that_a_process_counts_itself_is_a_few_thousand_series() -> None:
    """At the very most, with every reason met at every attempt."""
    assert sum(family.bound for family in OWN) < 2500


@each_family
def test_labels_are_closed_lists(family: Family) -> None:
    """Of short words, so that no URL, host, id or text of a user's fits in."""
    assert list(family.label_names) == sorted(family.label_names), "as the text has them"
    for label in family.labels:
        assert bool(label.limit) == (label.name in OPEN)
        assert label.values or label.description
        assert all(re.fullmatch(r"[a-z0-9_+]{1,24}|[A-Z]{3,7}", value) for value in label.values)
        assert len(set(label.values)) == len(label.values)


@each_family
def test_a_name_follows_the_conventions(family: Family) -> None:
    """Our prefix, base units at the end, `_total` added by the type alone, and a sentence that says what it is."""
    assert re.fullmatch(r"pictrawl(_[a-z]+)+", family.name)
    assert not family.name.endswith(("_total", "_count", "_sum", "_bucket", "_ms", "_milliseconds"))
    assert family.kind != "histogram" or family.name.endswith("_seconds")
    assert family.documentation[0].isupper()
    assert family.documentation.endswith(".")


def test_names_are_given_once() -> None:
    """A second family of a name would make the text invalid."""
    assert len({family.name for family in EVERY}) == len(EVERY)


def test_the_text_tells_every_type_and_no_stranger() -> None:
    """Beside ours only what the system knows of the process."""
    text = exposition().decode()
    told = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    known = {family.sample: family.kind for family in OWN}
    ours = {name: kind for name, kind in told.items() if name.startswith("pictrawl_") and not name.startswith("pictrawl_test_")}
    assert ours == {name: kind for name, kind in known.items() if name in ours}
    assert {name.partition("_")[0] for name in told} <= {"pictrawl", "process"}
    assert parsed(text)["pictrawl_log_lines_dropped", ()] >= 0
