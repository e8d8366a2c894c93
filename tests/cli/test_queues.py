"""``pictrawl queues``."""

from pathlib import Path

from tests.cli.conftest import STATES, Invoke, employ, in_database


def test_queues_of_an_embedded_workspace(invoke: Invoke, tmp_path: Path) -> None:
    """Its messages are inside another process, so their number is unknown; units and slots are not."""
    in_database(employ)
    Path("list.txt").write_text("http://127.0.0.1:9/a.jpg\n")
    invoke("build", "--urls", "list.txt", "--detach")
    builder, validator = invoke("queues", "--json").json["items"]
    assert 0 <= builder.pop("oldest_due_s") < 60
    assert builder == {"name": "builder", "depth": None, "units": dict.fromkeys(STATES, 0) | {"pending": 1}, "slots": 8}
    assert (validator["oldest_due_s"], validator["slots"]) == (None, 0)
    head, first, second = invoke("queues").out.splitlines()
    assert head.split() == ["queue", "messages", *STATES, "oldest", "due", "slots"]
    assert first.split()[:8] == ["builder", "-", "1", "0", "0", "0", "0", "0"]
    assert second.split() == ["validator", "-", "0", "0", "0", "0", "0", "0", "-", "0"]
    assert invoke("queues", "-q").out == "builder\nvalidator\n"


def test_queues_of_a_fleet_with_and_without_redis(invoke: Invoke, redis_url: str) -> None:
    """What Redis holds; where it is away that is said, and the rest shown all the same."""
    in_database(employ)
    Path("list.txt").write_text("http://127.0.0.1:9/a.jpg\n")
    there = ["--set", "queue.backend=redis", "--set", f"queue.url={redis_url}"]
    assert invoke("build", "--urls", "list.txt", "--detach", *there).code == 0
    assert [item["depth"] for item in invoke("queues", "--json", *there).json["items"]] == [1, 0]
    assert invoke("queues", *there).out.splitlines()[1].split()[:2] == ["builder", "1"]
    away = invoke("queues", "--set", "queue.backend=redis", "--set", "queue.url=redis://127.0.0.1:1/0")
    assert away.code == 0
    assert away.out.splitlines()[1].split()[:2] == ["builder", "-"]
    assert "warning: Redis cannot be used" in away.err
