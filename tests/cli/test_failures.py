"""From what went wrong to words, a problem document and an exit code."""

import io
import os
import subprocess
import sys
from typing import get_args

import pytest

import errors
from app.cli import entry, exit_codes, failures
from app.cli.failures import UsageError, describe
from app.domain import ExportFormat
from tests.cli.conftest import ROOT, Invoke


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (UsageError("no", "do this"), exit_codes.USAGE, "error: no\n  hint: do this"),
        (UsageError("busy", code=exit_codes.ENVIRONMENT), exit_codes.ENVIRONMENT, "error: busy"),
        (errors.ConfigurationError("x is wrong; use y"), exit_codes.USAGE, "error: x is wrong\n  hint: use y"),
        (errors.NotFoundError("no job x"), exit_codes.USAGE, "error: no job x"),
        (errors.QueueUnavailableError("Redis cannot be used"), exit_codes.ENVIRONMENT, "doctor --only queue"),
        (errors.DatabaseConnectionError("away"), exit_codes.ENVIRONMENT, "doctor --only database"),
        (errors.StorageError("full"), exit_codes.ENVIRONMENT, "doctor --only storage"),
        (errors.ProxyError("away"), exit_codes.ENVIRONMENT, "doctor --only network"),
        (MemoryError(), exit_codes.ENVIRONMENT, "out of memory"),
        (OSError(28, "No space left on device", "/ws"), exit_codes.ENVIRONMENT, "/ws: No space left on device"),
        (OSError(), exit_codes.ENVIRONMENT, "OSError"),
    ],
)
def test_every_known_error_has_words_and_a_code(error: BaseException, code: int, words: str) -> None:
    """Whatever the core raises."""
    assert isinstance(error, failures.KNOWN_ERRORS)
    failure = describe(error)
    assert failure.code == code
    assert words in failure.text()
    assert failure.problem()["exit_code"] == code


def test_foreign_text_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    """Escape sequences in a message are shown, not obeyed."""
    failures.show(describe(UsageError("bad \x1b[31m name")), as_json=False)
    assert "\x1b" not in capsys.readouterr().err


def test_a_bug_is_1_with_its_traceback_only_where_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not caught: the interpreter's excepthook reports it."""
    code = "import app.cli.version as v, app.cli.entry as e\ndef bug(cli): raise KeyError('x')\nv.version = bug\ne.main()"
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-c", code, "version", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))

    plain = run()
    assert (plain.returncode, plain.out if hasattr(plain, "out") else plain.stdout) == (1, "")
    assert "this is a bug" in plain.stderr
    assert "Traceback" not in plain.stderr
    assert "Traceback" in run("-vv").stderr
    assert '"exit_code": 1' in run("--json").stdout


def test_known_errors_show_a_traceback_with_vv(invoke: Invoke) -> None:
    """It shows where the error was raised."""
    result = invoke("-vv", "jobs", "ls")
    assert result.code == 2
    assert "Traceback" in result.err


def test_a_closed_pipe_and_ctrl_c_are_quiet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """``| head`` and Ctrl-C are no errors of ours."""
    reader, writer = os.pipe()
    os.close(reader)
    with io.TextIOWrapper(os.fdopen(writer, "wb", buffering=0), write_through=True) as broken:
        monkeypatch.setattr(sys, "stdout", broken)
        monkeypatch.setattr(sys, "excepthook", sys.excepthook)
        assert entry.run(["version"]) == 141
        assert entry.run(["version"]) == 0

        def interrupted(cli: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("app.cli.version.version", interrupted)
        assert entry.run(["version"]) == 130
    assert capsys.readouterr().err == ""


FORMATS = ", ".join(map(repr, get_args(ExportFormat)))


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        ("build cat -n abc", "--max-images abc: must be a whole number", "pictrawl build --help"),
        ("build cat --format zip", f"--format: 'zip' is not one of {FORMATS}", "pictrawl build --help"),
        ("serve --port 99999", "--port 99999: must be at most 65535", "pictrawl serve --help"),
        ("images ls --limit 0", "--limit 0: must be at least 1", "pictrawl images ls --help"),
        ("images show abc", "IMAGE abc: must be a whole number", "pictrawl images show --help"),
        ("worker foo", "builder|validator|all: 'foo' is not one of 'builder', 'validator', 'all'", "pictrawl worker --help"),
        ("build --keyword-file x", "No such option: --keyword-file", "did you mean --keywords-file?"),
        ("explian", "No such command 'explian'.", "did you mean 'explain'?"),
        ("images ls --reason http404", "--reason 'http404' does not exist", "did you mean http_404?"),
        ("images ls --state foo", "--state 'foo' does not exist", "there is "),
    ],
)
def test_a_wrong_word_on_the_command_line_is_named_in_our_words(invoke: Invoke, words: str, message: str, hint: str) -> None:
    """No word of the libraries that parse it; the hint is the way out."""
    result = invoke(*words.split())
    assert result.code == 2
    assert result.err.startswith(f"error: {message}\n  hint: {hint}")
