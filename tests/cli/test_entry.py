"""Help: quick, complete, and in 80 columns."""

import importlib
import subprocess
import sys
from collections.abc import Iterator, Mapping

import pytest

from app.cli.entry import COMMANDS as COMMAND_TABLE
from app.cli.entry import Command, Group
from tests.cli.conftest import ROOT, Invoke

HEAVY = ("fastapi", "sqlalchemy", "arq", "PIL", "numpy", "httpx", "pydantic", "rich", "loguru", "asyncpg", "uvloop")


def commands_below(table: Mapping[str, Command | Group], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Command]]:
    """Every command of the table with its words."""
    for name, entry in table.items():
        if isinstance(entry, Group):
            yield from commands_below(entry.commands, (*path, name))
        else:
            yield (*path, name), entry


COMMANDS = sorted("-".join(words) for words, _ in commands_below(COMMAND_TABLE))


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


def test_the_tables_help_is_the_first_line_of_each_docstring() -> None:
    """Help that imports no command says the same as the command."""
    found = dict(commands_below(COMMAND_TABLE))
    assert found
    for entry in found.values():
        function = getattr(importlib.import_module(entry.module), entry.function)
        assert (function.__doc__ or "").splitlines()[0] == entry.help


def test_a_group_imports_no_other_command() -> None:
    """Help of a group imports none of its commands; help of a command imports its module alone."""
    code = (
        "import sys\nfrom app.cli.entry import run\nrun(sys.argv[1:])\nprint([name for name in sys.modules if name.startswith('app.cli.')])"
    )

    def loaded(*arguments: str) -> str:
        done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()[-1]

    assert "app.cli.jobs" not in loaded("jobs", "--help")
    assert "app.cli.jobs" in loaded("jobs", "ls", "--help")
    assert "app.cli.watch" not in loaded("jobs", "ls", "--help")
