import pytest

from app import keys


def test_make_key_gives_a_token_that_parses_to_its_id_and_digest() -> None:
    """What is stored and what is shown belong together, and no two keys are alike."""
    made, other = keys.make_key(), keys.make_key()
    parsed = keys.parse(made.token)
    assert parsed is not None
    assert parsed.key_id == made.key_id
    assert keys.is_same(keys.digest(parsed.secret), made.digest)
    assert not keys.is_same(made.digest, other.digest)
    assert made.token.startswith("ptk_")
    assert parsed.secret not in made.key_id + made.digest


@pytest.mark.parametrize(
    "token", ["", "ptk_", "ptk_0123456789abcdef_", "ptk_0123456789ABCDEF_" + "A" * 43, "ptk_0123456789abcdef_" + "A" * 44, "x" * 10_000]
)
def test_parse_refuses_what_is_no_token(token: str) -> None:
    """Exactly our form, nothing near it."""
    assert keys.parse(token) is None


def test_parse_takes_every_secret_that_make_key_may_draw() -> None:
    """URL-safe base64 has `-` and `_` too."""
    parsed = keys.parse("ptk_0123456789abcdef_" + "-_" * 21 + "A")
    assert parsed == keys.Token("key_0123456789abcdef", "-_" * 21 + "A")
