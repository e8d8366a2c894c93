"""``pictrawl images ls``."""

from tests.cli.conftest import Invoke, Result


def test_images_are_listed_by_state_reason_and_as_a_list(mixed: Result, invoke: Invoke) -> None:
    """Filters take the words of the contract; urls can be the next build's list; pages go on with a cursor."""
    assert invoke("images", "ls", "--reason", "http_404", "-f", "urls").out.endswith("/gone.jpg\n")
    assert "too_small" in invoke("images", "ls", "--state", "rejected").out
    first = invoke("images", "ls", "-n", 2)
    assert "more: add --cursor" in first.err
    second = invoke("images", "ls", "-n", 2, "--cursor", first.err.split()[-1], "-q")
    assert len(second.out.split()) == 2
    assert "no images" in invoke("images", "ls", "--label", "none").err
    assert invoke("images", "ls", "--state", "lost").code == 2
    assert invoke("images", "ls", "--cursor", "???").code == 2
