"""Secrets are found wherever they stand in a text, in time that grows with the text alone."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logging_setup.redact import redact, redact_value

TEXTS = [
    *("https://u:{}@h.test/a", "http://u:{}@[::1]:80/", "ftp://{}@h.test/x", "//u:{}@h.test/a", "http:/u:{}@h/", "u:{}@h.test/a"),
    *("http://u:pa/{}@h.test/a", "postgresql+asyncpg://u:a/{}@db/x", "redis://:a?{}@host:1/0", "https://a/,https://u:{}@h.test/b"),
    *("https://h.test/a?X-Amz-Signature={}", "https://h.test/a?anything={}", "https://h.test/a?{}", "https://h.test/a#{}", "/a?b={}"),
    *("https://h.test/a?b='{}'", "https://h.test/a?b=(c),{}", "GET /v1/jobs?key={} HTTP/1.1", '<a href="http://h.test/?s={}">'),
    *("Authorization: Bearer {}", "Authorization: Digest username=u, response={}", "(b'authorization', b'Bearer {}')", "Basic {}"),
    *("Cookie: a=b; c={}", "Set-Cookie: {}; Path=/", "X-Api-Key: {}", "ptk_{}", "whsec_{}", "key=ptk_{}", "x_whsec_{}"),
    *("password={}", "password='a,{}'", '{{"password": "a b {}"}}', "db_password: {}", "client_secret = {}", "PGPASSWORD={}"),
]


@pytest.mark.parametrize("text", TEXTS)
def test_secrets_are_found_where_they_stand(text: str) -> None:
    """Alone, in prose, in quotes, in brackets, behind another address, and twice."""
    secret = "CANARYsecret1234"
    shown = text.format(secret)
    for whole in (shown, f"while at {shown} it broke", f"'{shown}'", f"[{shown}]", f"see https://h.test/ok {shown}\n{shown}", f"x={shown}"):
        assert secret not in redact(whole), redact(whole)
        assert redact(redact(whole)) == redact(whole)


@pytest.mark.parametrize(
    "text",
    [
        *("https://h.test:8080/a/b@2x.jpg", "http://[::1]:80/a@b", "mail to someone@h.test", "is it so? yes = no", "issue #12, c# = f#"),
        *("12:30 at the 5 o'clock", "tokens_left 3", "basic rules", "a/b/c", "x@y", "File '/a/b.py', line 3, in f"),
    ],
)
def test_what_is_none_stays_readable(text: str) -> None:
    """Similar marks are no secrets."""
    assert redact(text) == text


PIECES = ["://", "/", "?", "@", "a:@", "://@", "#", "a_", "token", "token=", "token = ", "'", "password='", "cookie ", "basic a", " ="]


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("tail", ["", "@", "?=", " token=x"])
def test_no_text_is_slow(piece: str, tail: str) -> None:
    """The longest value takes milliseconds of CPU time; a rule that is worse than linear would take longer than the bound."""
    text = (piece * 20_000)[:19_990] + tail
    began = time.process_time()
    redact(text)
    assert time.process_time() - began < 3


@settings(deadline=None)
@given(st.text(), st.sampled_from(["https://u:{}@h.test/", "https://h.test/?x={}", "token={}", "whsec_{}"]), st.text())
def test_neighbours_hide_no_secret(before: str, form: str, after: str) -> None:
    """Whatever stands before and behind it, apart by a space."""
    assert "CANARYsecret1234" not in redact(f"{before} {form.format('CANARYsecret1234')} {after}")


def test_containers_are_bounded() -> None:
    """A page is no line."""
    assert len(redact_value("x", list(range(1000)))) == len(redact_value("x", {str(n): n for n in range(1000)})) == 100
    assert redact_value("x", {"outer": {"dsn": "postgresql://x"}}) == {"outer": {"dsn": "***"}}
    assert re.fullmatch(r"<int>", redact_value("x", 10**5000))
