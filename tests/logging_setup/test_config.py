"""Lines: flat, complete, on one line each, free of secrets; and logging never breaks the work."""

import io
import json
import re

import loguru
import pytest
from hypothesis import given
from hypothesis import strategies as st

import logging_setup.config
from logging_setup import get_logger, redact
from logging_setup.config import add_sink, configure, dropped_lines, remove_sink
from logging_setup.redact import escape_controls, redact_value

log = get_logger("app.test")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def quiet_afterwards():
    yield
    configure("WARNING", stream=io.StringIO())


@pytest.fixture
def lines():
    """What was written since, parsed."""
    stream = io.StringIO()
    configure("DEBUG", "json", stream=stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def test_line_is_flat_json(lines):
    """Time in UTC, level, event, logger, then the fields as they are."""
    with loguru.logger.contextualize(job_id="j1"):
        log.info("chunk.fetched", ok=97, failed=3, share=0.5, done=True, none=None)
    (line,) = lines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line.pop("ts"))
    assert line == {
        "level": "INFO",
        "event": "chunk.fetched",
        "logger": "app.test",
        "job_id": "j1",
        "ok": 97,
        "failed": 3,
        "share": 0.5,
        "done": True,
        "none": None,
    }


@pytest.mark.parametrize("value", ["{", "{0}", "{x.y}", "{obj.secret}", "%s %d", "<red>", "{{}}"])
def test_braces_in_values_survive(lines, value):
    """Data is never a format."""
    log.info("odd.value", keyword=value)
    assert lines()[0]["keyword"] == value


def test_error_has_type_text_and_traceback(lines):
    """One line, the traceback in a field; no values of variables in it."""
    password = "hunter2hunter2"  # noqa: F841 - what must not be printed
    try:
        raise ValueError("no {such} thing at https://u:p@h.test/x?key=1")
    except ValueError:
        log.exception("work.failed", unit="u1")
    (line,) = lines()
    assert (line["error_type"], line["error"]) == ("ValueError", "no {such} thing at https://***@h.test/x?***")
    assert "Traceback" in line["traceback"]
    assert "hunter2hunter2" not in line["traceback"].replace('password = "hunter2hunter2"', "")
    assert "key=1" not in line["traceback"]


def test_field_with_a_name_of_ours_steps_aside(lines):
    """Nothing passed can pose as the line's own time, level or event."""
    log.info("an.event", level="fake", ts=0, event="other", error="text", error_type="T")
    (line,) = lines()
    assert (line["level"], line["event"], line["level_"], line["event_"]) == ("INFO", "an.event", "fake", "other")
    assert (line["error"], line["error_type"]) == ("text", "T")


class Hostile:
    def __str__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize("value", ["\ud800", 2**70, {1: {2: {3: object}}}, {"a", "b"}, Hostile(), b"\xff", [Hostile()], float("nan")])
def test_any_value_makes_a_line(lines, value):
    """What JSON has no word for is written as text."""
    log.info("odd.value", value=value)
    assert "value" in lines()[0]


def test_level_holds_and_last_configure_wins():
    """Below the level nothing; a second call replaces the first."""
    first, second = io.StringIO(), io.StringIO()
    configure("DEBUG", "json", stream=first)
    configure("warning", "json", stream=second)
    log.info("not.this")
    log.warning("but.this")
    assert first.getvalue() == ""
    assert [json.loads(line)["event"] for line in second.getvalue().splitlines()] == ["but.this"]


def test_bad_settings_change_nothing(lines, tmp_path):
    """Unknown level, unknown format, a file that cannot be: raised, and the old set-up goes on."""
    with pytest.raises(ValueError, match="LOUD"):
        configure("LOUD")
    with pytest.raises(ValueError, match=r"log\.format"):
        configure(format="xml")
    with pytest.raises(OSError):  # noqa: PT011 - which one is the system's choice
        configure(file=str(tmp_path))
    log.info("still.here")
    assert lines()[0]["event"] == "still.here"


def test_file_gets_json_too(tmp_path):
    """Appended, its folder made, whatever the terminal shows."""
    path = tmp_path / "logs" / "a.jsonl"
    for event in ("one.event", "two.event"):
        configure("INFO", "pretty", file=str(path), stream=io.StringIO())
        log.info(event)
    configure(stream=io.StringIO())
    log.info("not.there")
    assert [json.loads(line)["event"] for line in path.read_text().splitlines()] == ["one.event", "two.event"]


def test_auto_is_pretty_on_a_terminal_only(monkeypatch):
    """Colours there, unless NO_COLOR asks for none."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    for stream, expected in ((Terminal(), "\x1b[32mINFO"), (io.StringIO(), '"level":"INFO"')):
        configure("INFO", "auto", stream=stream)
        log.info("an.event", text="two words", count=1)
        assert expected in stream.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    plain = Terminal()
    configure("INFO", "auto", stream=plain)
    log.info("an.event", text="two words", count=1)
    assert re.fullmatch(r'\d\d:\d\d:\d\d\.\d{3} INFO     app\.test  an\.event  text="two words"  count=1\n', plain.getvalue())


def test_pretty_lines_cannot_be_forged():
    """Line ends and escape sequences in data stay visible text; a traceback keeps its rows, each marked."""
    stream = io.StringIO()
    configure("INFO", "pretty", stream=stream)
    log.info("an.event", keyword="x\n12:00:00.000 INFO     forged\x1b[2J\u2028\x9b")
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()
    try:
        raise ValueError("first\nsecond\x1b[0m")
    except ValueError:
        log.exception("an.error")
    rows = stream.getvalue().splitlines()[2:]
    assert rows
    assert all(row.startswith("    | ") for row in rows)
    assert "\x1b" not in stream.getvalue()


class Full(io.StringIO):
    def write(self, text):
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("stream", [Full(), None], ids=["full", "closed"])
def test_broken_stream_never_reaches_the_caller(stream, capsys):
    """The line is lost and counted; the work goes on, and nothing is dumped elsewhere."""
    if stream is None:
        stream = io.StringIO()
        stream.close()
    configure("INFO", "json", stream=stream)
    before = dropped_lines()
    log.info("an.event", api_key="k")
    assert dropped_lines() == before + 1
    assert capsys.readouterr() == ("", "")


def test_sinks_receive_flat_redacted_records():
    """From their level on, until they are removed; one that raises costs only its own record."""
    seen = []

    def broken(fields):
        raise KeyError("sink")

    ids = [add_sink(broken, "INFO"), add_sink(seen.append, "WARNING")]
    log.info("not.this")
    log.warning("but.this", token="t", url="https://h.test/?sig=1")
    for sink in ids:
        remove_sink(sink)
        remove_sink(sink)
    log.warning("nor.this")
    assert [fields["event"] for fields in seen] == ["but.this"]
    assert (seen[0]["token"], seen[0]["url"]) == ("***", "https://h.test/?***")
    assert logging_setup.config.dropped_lines() > 0


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://h.test/a/b.jpg", "https://h.test/a/b.jpg"),
        ("https://u:p@h.test/a?sig=abc&x=1#f end", "https://***@h.test/a?*** end"),
        ("redis://:p@ss@host:6379/0", "redis://***@host:6379/0"),
        ("postgresql+asyncpg://u:p@db/x?ssl=1", "postgresql+asyncpg://***@db/x?***"),
        ('"GET /v1/jobs?key=abc HTTP/1.1" 200', '"GET /v1/jobs?*** HTTP/1.1" 200'),
        ("key ptk_Abc123_x.", "key ptk_***"),
        ("whsec_abc+/=", "whsec_***"),
        ("Authorization: Bearer abcdef", "Authorization: ***"),
        ("{'Cookie': 'a=b; c=d', 'x': 1}", "{'Cookie': '***', 'x': 1}"),
        ("sent Bearer abcdefgh.ijk", "sent Bearer ***"),
        ("host=db password=hunter2 user=x", "host=db password=*** user=x"),
        ("api_key='k1', other=2", "api_key=***, other=2"),
        ("is this a question? yes", "is this a question? yes"),
    ],
)
def test_redact(text, shown):
    """Credentials and queries go, the rest stays readable."""
    assert redact(text) == shown


@pytest.mark.parametrize(
    "name", ["password", "db_password", "api_key", "X-Api-Key", "token", "access_token", "webhook_secret", "authorization", "cookies"]
)
def test_secret_names_hide_any_value(name):
    """A field that is called a secret is one."""
    assert redact_value(name, "plain") == "***"
    assert redact_value("outer", {name: ["plain"]}) == {name: "***"}


@pytest.mark.parametrize("name", ["job_id", "keyword", "tokens_left", "secretary", "key", "author"])
def test_other_names_do_not(name):
    """Similar words are not."""
    assert redact_value(name, "plain") == "plain"


@given(st.text())
def test_any_text_is_redacted_and_escaped(text):
    """Total, and what is escaped is one line."""
    assert "\n" not in escape_controls(redact(text))
    assert not re.search(r"://[^\s/?#\"'<>]+(?<!\*\*\*)@", redact(text))
