"""Why a text is no URL: that every part has its words is in `test_guard`; here, that nothing is quoted where a password may hide."""

import pytest

from downloader import refusals


@pytest.mark.parametrize(
    "refusal",
    [
        refusals.bad_scheme("joe:hunter2@h.test"),
        refusals.bad_authority("http://joe:hunter2/@h.test/", "joe:hunter2"),
        refusals.bad_authority("http://[hunter2/@h.test/", "[hunter2"),
        refusals.bad_host("http://hunter2/@h.test/", "hunter2", "is not an IPv6 address"),
        refusals.bad_label("http://-hunter2/@h.test/", "-hunter2", "-hunter2"),
        refusals.bad_character("http://joe:hunter 2@h.test/", 17),
        refusals.has_credentials(),
    ],
)
def test_nothing_is_quoted_of_a_url_with_an_at_sign(refusal: Exception) -> None:
    """Neither in the message nor in the evidence."""
    assert "hunter" not in f"{refusal} {refusal.evidence}"  # type: ignore[attr-defined]
    assert "joe" not in str(refusal)


def test_long_parts_are_cut() -> None:
    """60 characters of a part are enough to know it by."""
    refusal = refusals.bad_host("http://h/", "a" * 500, "is longer than 253 characters")
    assert refusal.message == f"host '{'a' * 59}…' is longer than 253 characters"
