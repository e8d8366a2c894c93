"""Counters, timers and readings: bounded, cheap, and told in the text format."""

import timeit

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from app.observability import being_read, exposition
from app.observability.instruments import BORN, Family, Label, Tally, Timer, as_metric
from tests.figures import parsed

COLOURS = Family("pictrawl_test_colours", "counter", "Colours.", (Label("colour", ("red", "green")),))
STEPS = Family("pictrawl_test_seconds", "histogram", "Steps.", (Label("colour", ("red",)),), (0.1, 1.0))
LEVEL = Family("pictrawl_test_level", "gauge", "A level.", (Label("colour", ("red",)),))


def test_a_counter_begins_at_zero() -> None:
    """A first event is a rise that a rule can see."""
    registry = CollectorRegistry()
    Tally(COLOURS, registry)
    assert parsed(generate_latest(registry).decode()) == {("pictrawl_test_colours_total", (colour,)): 0.0 for colour in ("red", "green")}


def test_a_large_family_has_the_series_that_were_met() -> None:
    """Hundreds of zeros help nobody."""
    registry = CollectorRegistry()
    many = Label("colour", tuple(str(number) for number in range(BORN + 1)))
    tally = Tally(Family("pictrawl_test_many", "counter", "Many.", (many,)), registry)
    tally.add("7")
    assert parsed(generate_latest(registry).decode()) == {("pictrawl_test_many_total", ("7",)): 1.0}


def test_what_is_in_no_list_is_other() -> None:
    """However many such values come, there is one series for them, and nothing is remembered of them."""
    registry = CollectorRegistry()
    tally, timer = Tally(COLOURS, registry), Timer(STEPS, registry)
    for number in range(50):
        tally.add(f"http://user.example/{number}", by=2)
        timer.observe(0.5, f"img_{number}")
    samples = parsed(generate_latest(registry).decode())
    assert samples["pictrawl_test_colours_total", ("other",)] == 100
    assert samples["pictrawl_test_seconds_count", ("other",)] == 50
    assert len(tally._children) == 3
    assert len(timer._children) == 1


def test_a_wrong_number_of_labels_is_a_bug() -> None:
    """It shows at the first count, and not as a strange series."""
    with pytest.raises(ValueError, match="zip"):
        Tally(COLOURS, CollectorRegistry()).add("red", "green")


def test_families_without_labels_count_as_well() -> None:
    """One series, there from the start."""
    registry = CollectorRegistry()
    tally = Tally(Family("pictrawl_test_bytes", "counter", "Bytes."), registry)
    timer = Timer(Family("pictrawl_test_lag_seconds", "histogram", "Lag."), registry)
    tally.add(by=7)
    timer.observe(0.2)
    samples = parsed(generate_latest(registry).decode())
    assert samples["pictrawl_test_bytes_total", ()] == 7
    assert samples["pictrawl_test_lag_seconds_count", ()] == 1


def test_readers_are_asked_at_the_scrape_and_added_up() -> None:
    """Two of one kind in a process are one series; one that has ended tells nothing."""
    with being_read(lambda: [(LEVEL, ("red",), 2.0)]), being_read(lambda: [(LEVEL, ("red",), 3.0), (LEVEL, ("mauve",), 1.0)]):
        samples = parsed(exposition().decode())
    assert samples["pictrawl_test_level", ("red",)] == 5
    assert samples["pictrawl_test_level", ("other",)] == 1
    assert ("pictrawl_test_level", ("red",)) not in parsed(exposition().decode())


def test_a_computed_counter_is_told_as_one() -> None:
    """With the type that a rate may be taken of."""
    metric = as_metric(COLOURS, [(("red",), 4.0)])
    assert metric.type == "counter"
    assert [sample.name for sample in metric.samples] == ["pictrawl_test_colours_total"]


def test_the_bound_counts_every_series() -> None:
    """With `other`, and a histogram's buckets, sum and count."""
    assert (COLOURS.bound, STEPS.bound) == (3, 2 * (2 + 1 + 2))
    assert Label("route", limit=64).bound == 64


def test_counting_costs_microseconds() -> None:
    """Twenty counts an image are nothing beside its decode, which takes a thousand; the bound is generous for a busy machine."""
    tally, timer = Tally(COLOURS, CollectorRegistry()), Timer(STEPS, CollectorRegistry())
    rounds = 2000
    assert min(timeit.repeat(lambda: tally.add("red"), number=rounds)) / rounds < 20e-6
    assert min(timeit.repeat(lambda: timer.observe(0.2, "red"), number=rounds)) / rounds < 40e-6
