"""Lines that data cannot forge: one record, one line, in both shapes, whatever strangers write into it."""

import io
import json
import re
import unicodedata
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from logging_setup import get_logger
from logging_setup.config import configure, dropped_lines
from logging_setup.format import format_pretty
from logging_setup.redact import escape_controls, escape_json

log = get_logger("app.test")

HOSTILE = [
    *("{", "}", "{0}", "{x.y}", "{obj!r:>{w}}", "%s %d %(x)s", "<red>", "\\", '"', "'", "\x00", "a\nb", "a\r\nb", "a\x0bb\x0cb\x1cb\x85b"),
    *("\u2028", "\u2029", "\x1b[2J\x1b]0;title\x07", "\x9b31m", "\u202egpj.exe", "\u2066x\u2069", "\ud800", "\udfff", "\ufeff"),
    *("x\n2026-01-01T00:00:00Z ERROR forged", '","level":"ERROR","event":"forged', "x  level=ERROR", "=", " ", "", "\x7f"),
]
ANY = st.one_of(
    st.text(alphabet=st.characters(codec=None, exclude_categories=())),
    st.lists(st.sampled_from(HOSTILE)).map("".join),
    st.binary(),
    st.integers(),
    st.floats(),
    st.dictionaries(st.sampled_from(HOSTILE), st.sampled_from(HOSTILE)),
    st.lists(st.sampled_from(HOSTILE)),
)


def written(format: Any, value: object, *, raised: bool = False) -> str:
    """What one record with a value in every place becomes: field, error text, context, and a library's line."""
    stream = io.StringIO()
    configure("INFO", format, stream=stream)
    try:
        with log.contextualize(keyword=value):
            if not raised:
                log.info("an.event", url=value, file=[value])
            else:
                try:
                    raise ValueError(value)
                except ValueError as error:
                    log.opt(exception=error).error("an.event")
    finally:
        configure("WARNING", stream=io.StringIO())
    return stream.getvalue()


def is_unshown(char: str) -> bool:
    """A control, the end of a line, a mark of direction, or nothing that could be encoded."""
    return unicodedata.category(char) in ("Cc", "Zl", "Zp", "Cs") or unicodedata.bidirectional(char) in (
        *("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"),
    )


@settings(deadline=None)
@given(ANY, st.booleans())
@example("\ud800\u2028\x9b", False)
@example(10**5000, False)
def test_a_record_is_one_json_object_on_one_line(value: object, raised: bool) -> None:
    """Of any value; no byte in it speaks to a terminal, and no record is lost."""
    before = dropped_lines()
    text = written("json", value, raised=raised)
    assert text.endswith("\n")
    assert not [char for char in text[:-1] if is_unshown(char)]
    parsed = json.loads(text, parse_constant=pytest.fail)
    assert (parsed["event"], parsed["level"]) == ("an.event", "ERROR" if raised else "INFO")
    assert dropped_lines() == before


@settings(deadline=None)
@given(ANY, st.booleans())
@example("\ud800\u2028\x9b", True)
@example(10**5000, False)
def test_a_record_is_one_pretty_line_and_its_marked_traceback(value: object, raised: bool) -> None:
    """What is behind the first line bears the traceback's mark."""
    first, *rows = written("pretty", value, raised=raised).removesuffix("\n").split("\n")
    assert "  an.event" in first
    assert not [char for row in (first, *rows) for char in row if is_unshown(char)]
    assert all(row.startswith("    | ") for row in rows)
    assert bool(rows) == raised


def test_a_short_line_has_no_ids() -> None:
    """What happened stays; where it belongs is for those who ask."""
    stream = io.StringIO()
    configure("INFO", "pretty", stream=stream, ids=False)
    with log.contextualize(job_id="job_1", unit_id="unit_1", chunk_id="chunk_1", request_id="req_1", worker="wrk_1", run=1, job="fetch"):
        log.info("an.event", url="https://h.test/a.jpg", status=503)
    configure("WARNING", stream=io.StringIO())
    assert stream.getvalue()[13:] == "INFO     an.event  status=503  url=https://h.test/a.jpg\n"


@pytest.mark.parametrize("value", HOSTILE)
def test_text_arrives_as_it_was(value: str) -> None:
    """JSON loses nothing but what no encoding has."""
    assert json.loads(written("json", value))["url"] == value


@pytest.mark.parametrize("format", ["json", "pretty"])
@pytest.mark.parametrize("value", [*(text * 300_000 for text in ("xxx", "://", "?", "{", b"\xff")), ["x" * 99] * 99_999])
def test_megabytes_are_cut(format: str, value: object) -> None:
    """A line stays a line."""
    assert len(written(format, value)) < 150_000


class Poison(Exception):
    """Cannot be shown in any way."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


@pytest.mark.parametrize("format", ["json", "pretty"])
def test_an_error_that_cannot_be_shown_is_still_logged(format: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With its class; nothing is printed past the log."""
    stream = io.StringIO()
    configure("INFO", format, stream=stream)  # type: ignore[arg-type]
    try:
        raise Poison
    except Poison as error:
        log.opt(exception=error).error("an.event", secret_token="t")
    configure("WARNING", stream=io.StringIO())
    assert re.search("an.event.*Poison", stream.getvalue())
    assert capsys.readouterr() == ("", "")


class Talker:
    """Logs while it is being logged, as a finaliser may."""

    def __str__(self) -> str:
        log.info("an.inner")
        return "talker"


def test_a_record_made_while_one_is_written_is_written_too(capsys: pytest.CaptureFixture[str]) -> None:
    """No lock is in its way, and nothing is printed past the log."""
    stream = io.StringIO()
    configure("INFO", "json", stream=stream)
    log.info("an.outer", value=Talker())
    configure("WARNING", stream=io.StringIO())
    assert [json.loads(row)["event"] for row in stream.getvalue().splitlines()] == ["an.inner", "an.outer"]
    assert capsys.readouterr() == ("", "")


def test_a_traceback_may_be_passed_but_not_forged() -> None:
    """Another process's traceback is shown as one; where an error is at hand, its own is."""
    assert "traceback_" in written_with(traceback="fake", raised=True)
    assert written_with(traceback="row\nrow", raised=False)["traceback"] == "row\nrow"


def written_with(*, traceback: str, raised: bool) -> dict[str, Any]:
    """One JSON record."""
    stream = io.StringIO()
    configure("INFO", "json", stream=stream)
    log.opt(exception=ValueError("x") if raised else None).error("an.event", traceback=traceback)
    configure("WARNING", stream=io.StringIO())
    parsed: dict[str, Any] = json.loads(stream.getvalue())
    return parsed


@settings(deadline=None)
@given(st.text(alphabet=st.characters(codec=None, exclude_categories=())))
def test_escaping_keeps_what_can_be_shown(text: str) -> None:
    """Total; text without marks is left alone, and JSON means the same behind it."""
    assert not [char for char in escape_controls(text) if is_unshown(char)]
    if text.isprintable():
        assert escape_controls(text) == text
    assert json.loads(escape_json(json.dumps(text, ensure_ascii=False))) == text


def test_a_short_line_leaves_out_what_others_imply_and_ends_with_the_url() -> None:
    """A host is in its URL, a class of error in its status; what is not known is not shown."""
    fields: dict[str, object] = {
        "ts": "2026-01-01T10:00:00.000",
        "level": "WARNING",
        "event": "download.retry",
        "logger": "downloader",
        "job_id": "job_1",
    }
    fields |= {"url": "http://h.test/a.jpg", "error_type": "ServiceUnavailableError", "host": "h.test"}
    line = format_pretty(fields | {"wait_s": 2.0, "status": 503}, colour=False, ids=False)
    assert line == "10:00:00.000 WARNING  download.retry  wait_s=2.0  status=503  url=http://h.test/a.jpg\n"
    line = format_pretty(fields | {"status": None}, colour=False, ids=False)
    assert line == "10:00:00.000 WARNING  download.retry  error_type=ServiceUnavailableError  url=http://h.test/a.jpg\n"
