"""Help: quick, complete, and in 80 columns."""

import subprocess
import sys

import pytest

from tests.cli.conftest import ROOT, Invoke

HEAVY = ("fastapi", "sqlalchemy", "arq", "PIL", "numpy", "httpx", "pydantic", "rich", "loguru", "asyncpg", "uvloop")
# fmt: off
COMMANDS = (
    "build", "resume", "retry", "explain", "fetch", "serve", "worker",
    "queues", "workers-ls", "dead-ls", "dead-retry", "dead-discard",
    "doctor", "openapi", "demo", "version", "jobs-ls", "jobs-show", "jobs-watch",
    "jobs-logs", "jobs-cancel", "jobs-pause", "jobs-resume", "images-ls", "images-show", "datasets-ls",
    "datasets-show", "datasets-export", "datasets-verify", "sources-ls", "db-upgrade", "db-current", "keys-create",
    "keys-ls", "keys-revoke", "config-show", "config-validate",
)
# fmt: on


def test_help_imports_nothing_heavy() -> None:
    """``pictrawl --help`` answers before any of the big packages is imported."""
    code = f"import sys\nfrom app.cli.entry import run\nrun(['--help'])\nsys.exit(bool({HEAVY!r} and set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "build" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_fits_the_terminal(invoke: Invoke, command: str) -> None:
    """Each says what it is for and what the global options are."""
    result = invoke(*command.split("-"), "--help")
    assert result.code == 0
    assert result.out.startswith(f"Usage: pictrawl {command.replace('-', ' ')}")
    assert "Global options:" in result.out
    assert all(len(line) <= 80 for line in result.out.splitlines())


def test_no_arguments_show_help_and_a_wrong_command_a_hint(invoke: Invoke) -> None:
    """A typing error gets the nearest command."""
    wrong = invoke("biuld")
    assert wrong.code == 2
    assert "did you mean" in wrong.err
    assert invoke().code == 2


def test_version_is_printed_in_three_forms(invoke: Invoke) -> None:
    """Words, bare, JSON; the module runs as a program."""
    assert invoke("version").out.startswith("pictrawl ")
    bare = invoke("-q", "version").out.strip()
    assert invoke("version", "--json").json == {"version": bare}
    done = subprocess.run([sys.executable, "-m", "app.cli", "version", "-q"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, bare)
