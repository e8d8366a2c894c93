"""How metrics are created, read at scrape time and bounded."""

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from app.observability import registry
from app.observability.registry import MAX_INITIAL_SERIES, Family, Label, Reading, as_metric, counter, exposition, histogram, registered
from tests.figures import parsed

COLOUR = Label("colour", ("red", "green"))
COLOURS = Family("pictrawl_test_colours", "counter", "Colours.", (COLOUR,))
STEPS = Family("pictrawl_test_seconds", "histogram", "Steps.", (Label("colour", ("red",)),), (0.1, 1.0))
LEVEL = Family("pictrawl_test_level", "gauge", "A level.", (Label("colour", ("red",)),))


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], dict[tuple[str, tuple[str, ...]], float]]]:
    """An empty registry; returns what it exposes."""
    monkeypatch.setattr(registry, "REGISTRY", registry.CollectorRegistry())
    monkeypatch.setattr(registry, "documented", [])
    return lambda: parsed(registry.exposition().decode())


def test_a_counter_starts_at_zero(fresh: Callable[[], object]) -> None:
    """A first event is a rise that a rule can see, and the counter is documented."""
    counter("pictrawl_test_colours", "Colours.", COLOUR)
    assert fresh() == {("pictrawl_test_colours_total", (colour,)): 0.0 for colour in ("red", "green")}
    assert registry.documented == [COLOURS]


def test_a_large_family_has_the_series_that_occurred(fresh: Callable[[], object]) -> None:
    """Hundreds of zeros help nobody."""
    many = Label("colour", tuple(str(number) for number in range(MAX_INITIAL_SERIES + 1)))
    counter("pictrawl_test_many", "Many.", many).labels("7").inc()
    assert fresh() == {("pictrawl_test_many_total", ("7",)): 1.0}


def test_a_value_in_no_list_is_other() -> None:
    """For labels with a list; a label with a limit takes what comes."""
    assert [COLOUR.known(value) for value in ("red", "http://user.example/1")] == ["red", "other"]
    assert Label("route", limit=64).known("/x") == "/x"
    assert COLOURS.bounded(("mauve",)) == ("other",)


def test_a_wrong_number_of_labels_is_a_bug(fresh: Callable[[], object]) -> None:
    """It shows at the first count, and not as a strange series."""
    with pytest.raises(ValueError, match="label count"):
        counter("pictrawl_test_colours", "Colours.", COLOUR).labels("red", "green")


def test_metrics_without_labels_count_as_well(fresh: Callable[[], dict[tuple[str, tuple[str, ...]], float]]) -> None:
    """One series, there from the start."""
    counter("pictrawl_test_bytes", "Bytes.").inc(7)
    histogram("pictrawl_test_lag_seconds", "Lag.").observe(0.2)
    samples = fresh()
    assert samples["pictrawl_test_bytes_total", ()] == 7
    assert samples["pictrawl_test_lag_seconds_count", ()] == 1


def test_readings_are_taken_at_the_scrape_and_added_up() -> None:
    """Two of one kind in a process are one series; one that has ended reports nothing."""
    with registered(lambda: [(LEVEL, ("red",), 2.0)]), registered(lambda: [(LEVEL, ("red",), 3.0), (LEVEL, ("mauve",), 1.0)]):
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


async def test_what_belongs_to_the_loop_is_read_on_the_loop() -> None:
    """A scrape in a thread waits for it; a scrape on the loop itself does not."""
    threads: list[str] = []

    def read() -> list[Reading]:
        threads.append(threading.current_thread().name)
        return [(LEVEL, ("red",), 1.0)]

    with registered(read):
        for samples in (parsed((await asyncio.to_thread(exposition)).decode()), parsed(exposition().decode())):
            assert samples["pictrawl_test_level", ("red",)] == 1
    assert set(threads) == {threading.current_thread().name}


async def test_a_loop_that_is_stuck_costs_its_readings_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scrape answers with everything that a thread can read."""
    monkeypatch.setattr(registry, "READ_TIMEOUT_S", 0.01)
    taken: list[bytes] = []
    with registered(lambda: [(LEVEL, ("red",), 1.0)]):
        scrape = threading.Thread(target=lambda: taken.append(exposition()))
        scrape.start()
        scrape.join()  # the loop runs nothing meanwhile
    samples = parsed(taken[0].decode())
    assert ("pictrawl_test_level", ("red",)) not in samples
    assert ("pictrawl_leases_expired_total", ()) in samples


def test_a_loop_that_is_closed_has_no_readings() -> None:
    """A scrape may come after the last task."""

    async def register() -> object:
        manager = registered(lambda: [(LEVEL, ("red",), 1.0)])
        manager.__enter__()
        return manager

    manager = asyncio.run(register())
    assert ("pictrawl_test_level", ("red",)) not in parsed(exposition().decode())
    manager.__exit__(None, None, None)  # type: ignore[attr-defined]
