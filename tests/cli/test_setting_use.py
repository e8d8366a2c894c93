"""Which settings each command reads, and what is said of the others."""

from pathlib import Path

import pytest

from app.cli import setting_use
from app.cli.entry import COMMANDS, Command, Group
from app.cli.failures import UsageError
from app.cli.settings import OPTIONS
from app.settings import Settings, setting_names
from tests.cli.conftest import Invoke

KNOWN = set(setting_names(Settings))
SECTIONS = {name.partition(".")[0] for name in KNOWN}


def commands() -> list[Command]:
    """All of them."""
    found = [entry for entry in COMMANDS.values() if isinstance(entry, Command)]
    return found + [command for entry in COMMANDS.values() if isinstance(entry, Group) for command in entry.commands.values()]


def test_every_name_in_the_table_is_a_setting_or_a_section() -> None:
    """And every section is read by some command; a new one must be given a reader."""
    named = {name for command in commands() for name in command.reads}
    assert named <= KNOWN | SECTIONS
    assert named >= SECTIONS
    assert OPTIONS.keys() <= KNOWN


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        ("version --set fetch.per_host=1", "--set fetch.per_host: `pictrawl version` does not read it", "it reads no settings"),
        ("jobs ls --set fetch.per_host=1", "`pictrawl jobs ls` does not read it", "it reads db.*, log.*, workspace.*"),
        (
            "--set serve.port=1 fetch http://x.invalid/a",
            "--set serve.port: `pictrawl fetch` does",
            "it reads fetch.*, hosts.*, log.*, retry.*",
        ),
        ("sources ls --set fetch.robots=false", "--set fetch.robots", "it reads fetch.contact"),
        ("worker --set export.format=files", "--set export.format", "a job keeps the values that it was submitted with; it reads db.*"),
        (
            "resume --set validate.min_width=9",
            "--set validate.min_width",
            "submitted with; it reads validate.child_memory_bytes, validate.",
        ),
        ("jobs ls --set ftech.per_host=1", "--set ftech.per_host does not exist", "did you mean fetch.per_host?"),
    ],
)
def test_a_setting_that_the_command_ignores_is_refused(invoke: Invoke, words: str, message: str, hint: str) -> None:
    """With the command, and what it reads instead."""
    result = invoke(*words.split())
    assert result.code == 2
    assert message in result.err
    assert f"hint: {hint}" in result.err or hint in result.err


def test_settings_of_workers_are_refused_where_another_process_works() -> None:
    """What the request is made of is not; nor is the contact, which is asked for at submission."""
    setting_use.refuse_workers_own({"export.format": "--set export.format", "fetch.contact": "--contact", "db.url": "--set db.url"})
    with pytest.raises(UsageError, match=r"^--per-host has no effect here") as caught:
        setting_use.refuse_workers_own({"fetch.per_host": "--per-host"})
    assert caught.value.hint == "set fetch.per_host where the workers run"


def test_a_detached_build_refuses_the_settings_of_workers(invoke: Invoke) -> None:
    """Nothing is written: a build that seems polite and is not is worse than none."""
    Path("list.txt").write_text("http://127.0.0.1:1/a.jpg\n")
    result = invoke("build", "--urls", "list.txt", "--detach", "--no-robots")
    assert (result.code, result.err.partition("\n")[0]) == (2, "error: --no-robots has no effect here: the work is done by another process")
    assert [path.name for path in Path.cwd().iterdir()] == ["list.txt"]
