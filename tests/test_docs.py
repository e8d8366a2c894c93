"""The documentation says what the code does: links, quoted code, tables of errors, settings and commands are held against it."""

import re
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.exceptions import TyperException

import errors
from app.cli.entry import command_tree
from app.settings import ENV_PREFIX, RESERVED_VARIABLES, Settings, setting_names
from errors.decisions import DECISION_TABLE, decision_for
from tests.log_events import events_of
from tests.sources import project

ROOT = Path(__file__).parent.parent
DOCS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
WRITTEN = [path for path in DOCS if "reference" not in path.parts]
"""Without what is generated."""

COMMAND = re.compile(r"(?:^|[|$;(] ?|bin/|exec (?:-T )?api |details    |bad lines  )pictrawl ((?:[a-z]|-)[^|;)&]*)")
"""A command at the beginning of a line, behind a pipe or a prompt, in a container, or in a summary."""

each_page = pytest.mark.parametrize("page", WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))


@cache
def text_of(path: Path) -> str:
    """A page, read once."""
    return path.read_text(encoding="utf-8")


def without_code(text: str) -> str:
    """Prose and tables: fenced blocks left out."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def section(page: str, name: str) -> list[list[str]]:
    """The rows of the table between two marks, as cells without backticks; head and rule left out."""
    found = re.search(rf"<!-- {name}:begin -->\n(.*?)\n<!-- {name}:end -->", text_of(ROOT / page), re.DOTALL)
    assert found is not None
    rows = [[cell.strip().replace("`", "") for cell in line.strip("|").split(" | ")] for line in found[1].splitlines()]
    return rows[2:]


# --- links


def slug(heading: str) -> str:
    """The anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower().replace("`", "")).strip().replace(" ", "-")


@each_page
def test_relative_links_resolve(page: Path) -> None:
    """To a file or folder that exists, and to a heading in it."""
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(text_of(page))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        headings = re.findall(r"^#+ (.+)$", without_code(text_of(file)), re.MULTILINE) if file.suffix == ".md" and file.is_file() else []
        if not file.exists() or (anchor and anchor not in map(slug, headings)):
            broken.append(target)
    assert broken == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    """A page that nothing links to is not read."""
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or not page.is_file() or page.suffix != ".md":
            continue
        reached.add(page)
        links = re.findall(r"\]\(([^)\s#]+)", without_code(text_of(page)))
        waiting += [(page.parent / link).resolve() for link in links if ":" not in link]
    folders = {ROOT / "docs" / "adr"}  # linked as a folder
    assert [str(page.relative_to(ROOT)) for page in DOCS if page not in reached and page.parent not in folders] == []


# --- quoted code


def quotes() -> Iterator[tuple[Path, str, str]]:
    """(page, file, code) of each block that is marked with its file."""
    for page in WRITTEN:
        for file, code in re.findall(r"<!-- quoted: (\S+) -->\n```\w*\n(.*?)```", text_of(page), re.DOTALL):
            yield page, file, code


def test_quoted_code_is_the_code() -> None:
    """Each marked block stands in its file, word for word."""
    found = list(quotes())
    assert len(found) >= 10
    changed = []
    for page, file, code in found:
        source = (ROOT / file).read_text(encoding="utf-8")
        if not any(textwrap.indent(textwrap.dedent(code), " " * indent) in source for indent in (0, 4, 8, 12)):
            changed.append(f"{page.name}: {file}: {code.splitlines()[0]}")
    assert changed == []


def test_files_that_are_named_exist() -> None:
    """A path of ours in backticks leads somewhere."""
    lost = []
    for page in WRITTEN:
        for name in re.findall(r"`((?:app|workers|downloader|errors|logging_setup|tests|benchmarks|docs)/[\w./-]*)`", text_of(page)):
            if not (ROOT / name).exists():
                lost.append(f"{page.name}: {name}")
    assert lost == []


# --- errors


def test_the_decision_table_is_the_codes() -> None:
    """Row for row."""
    wanted = [
        [error.__name__, found.layer.value, str(found.tries or "no limit"), ", ".join(f"{wait:g} s" for wait in found.waits_s) or "none"]
        for error, found in DECISION_TABLE.items()
    ]
    assert section("docs/RETRY_ARCHITECTURE.md", "decisions") == wanted


def error_classes(of: type[BaseException] = errors.PictrawlError) -> Iterator[type[Any]]:
    """A class of the taxonomy and all below it."""
    yield of
    for child in of.__subclasses__():
        if child.__module__ == "errors.taxonomy":
            yield from error_classes(child)


def test_every_error_class_is_documented() -> None:
    """With its parent, its reason where an image can get it, and its layer."""
    page = text_of(ROOT / "docs/RETRY_ARCHITECTURE.md")
    found = {cells[0].strip("`"): [cell.strip("`") for cell in cells] for cells in _rows_of(page, "Class", "Parent")}
    assert set(found) == {error.__name__ for error in error_classes()}
    for error in error_classes():
        is_images = issubclass(error, errors.PermanentError | errors.TransientError) and error is not errors.ConfigurationError
        reason = error.reason.value if is_images else "none"
        assert found[error.__name__][1:4] == [error.__base__.__name__, reason, decision_for(error).layer.value], error


def _rows_of(page: str, *head: str) -> Iterator[list[str]]:
    """The rows of the table whose head begins so."""
    lines = iter(page.splitlines())
    for line in lines:
        if line.startswith("| " + " | ".join(head)):
            next(lines)
            for row in lines:
                if not row.startswith("|"):
                    return
                yield [cell.strip() for cell in row.strip("|").split(" | ")]


def test_every_reason_is_documented() -> None:
    """In the generated reference, and no page names one that does not exist."""
    reference = text_of(ROOT / "docs/reference/reasons.md")
    assert [reason for reason in errors.Reason if f"`{reason.value}`" not in reference] == []
    known = {reason.value for reason in errors.Reason}
    for page in WRITTEN:
        assert set(re.findall(r"--reason (\w+)", text_of(page))) <= known, page


# --- events


def events_in_code() -> frozenset[str]:
    """Every event that some module logs."""
    return frozenset(events_of(project()))


def test_the_critical_operations_name_events_that_exist() -> None:
    """Job creation, download, validation, compression, export: each with its context and its events."""
    rows = list(_rows_of(text_of(ROOT / "docs/LOGGING_GUIDE.md"), "Operation", "Context"))
    assert [cells[0] for cells in rows] == ["Job creation", "Image download", "Validation", "Compression", "Export"]
    for cells in rows:
        assert set(re.findall(r"`([\w.]+)`", cells[2])) <= events_in_code()


# --- settings and commands


@each_page
def test_settings_that_are_named_exist(page: Path) -> None:
    """As ``section.name`` in backticks, as an environment variable, and after ``--set``."""
    known = set(setting_names(Settings))
    sections = {name.partition(".")[0] for name in known}
    text = text_of(page)
    named = {name for name in re.findall(r"`([a-z]+\.[a-z_]+)(?: = [^`]*)?`", text) if name.partition(".")[0] in sections}
    named |= set(re.findall(r"--set ([a-z]+\.[a-z_]+)=", text))
    variables = set(re.findall(rf"\b{ENV_PREFIX}[A-Z_]*[A-Z]\b", text)) - RESERVED_VARIABLES
    named |= {variable.removeprefix(ENV_PREFIX).lower().replace("__", ".") for variable in variables}
    assert named - known - events_in_code() == set()


def commands_in(text: str) -> Iterator[list[str]]:
    """The words after ``pictrawl``, in code blocks and in backticks."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = [line.split(" #")[0] for language, block in blocks if language in ("sh", "text") for line in block.splitlines()]
    lines += re.findall(r"`([^`\n]*)`", without_code(text))
    for line in lines:
        for found in COMMAND.finditer(line.strip()):
            yield re.sub(r"\"[^\"]*\"", "words", found[1]).split()


@cache
def tree() -> Any:
    """The command line as it is."""
    return command_tree()


def fault_of(words: list[str]) -> str:
    """What is wrong with a command line, empty if nothing: its command must exist, and have each option."""
    command = tree()
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        if words[0] not in command.commands:
            return f"there is no command {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help", "-h", "-vv"}
    unknown = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word) and word.partition("=")[0] not in known]
    return f"{command.name} has no {', '.join(unknown)}" if unknown else ""


@each_page
def test_commands_that_are_shown_exist(page: Path) -> None:
    """With the options they are shown with."""
    assert [f"{' '.join(words)}: {fault}" for words in commands_in(text_of(page)) if (fault := fault_of(words))] == []


def test_a_wrong_command_would_be_found() -> None:
    """The test above can fail."""
    assert fault_of(["fly"])
    assert fault_of(["jobs", "fly"])
    assert fault_of(["build", "--no-such-option"])
    assert fault_of(["jobs", "logs", "JOB", "--level", "warning"]) == ""
    assert list(commands_in("```sh\npictrawl fly --high\n```\nand `pictrawl jobs ls`")) == [["fly", "--high"], ["jobs", "ls"]]


def test_make_targets_that_are_named_exist() -> None:
    """``make demo`` and its like."""
    targets = set(re.findall(r"^([a-z]+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    for page in WRITTEN:
        assert set(re.findall(r"(?:^|`|\$ )make ([a-z]+)", text_of(page), re.MULTILINE)) <= targets


def test_the_readme_has_the_exit_codes() -> None:
    """All of them, once."""
    from app.cli import exit_codes

    numbers = {value for name, value in vars(exit_codes).items() if name.isupper() and name != "SIGNALLED"}
    rows = {cells[0] for cells in _rows_of(text_of(ROOT / "README.md"), "Code", "Meaning")}
    assert {str(number) for number in numbers} | {"130, 143"} == rows


# --- the runbook

RUNBOOK = ROOT / "docs/operations/runbook.md"
PLACES = {"JOB": "job_1", "UNIT": "unit_1", "DATASET": "ds_1"}
"""What stands for an id."""


def usage_fault(words: list[str]) -> str:
    """Why the command line would refuse these words, empty where it would not. Nothing is run."""
    command, words = tree(), [PLACES.get(word, word) for word in words]
    while hasattr(command, "commands") and words and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    if hasattr(command, "commands"):
        return f"{command.name} has no command {' '.join(words)}"
    try:
        command.make_context("pictrawl", list(words))
    except TyperException as error:
        return error.format_message()
    return ""


def test_every_command_of_the_runbook_can_be_typed() -> None:
    """Wherever it stands: in a block, a table, a sentence. Arguments and values are those that the command takes."""
    text = text_of(RUNBOOK)
    commands = list(commands_in(text))
    assert len(commands) >= 40
    shown = {" ".join(words[:2]) for words in commands}
    assert {"workers ls", "queues", "dead ls", "dead retry", "dead discard", "jobs show", "db upgrade", "resume"} <= shown
    assert [f"{' '.join(words)}: {fault}" for words in commands if (fault := usage_fault(words))] == []
    assert usage_fault(["dead", "ls", "--limit", "none"])
    assert usage_fault(["jobs", "show"])
    assert usage_fault(["workers", "fly"])


def test_the_runbook_has_a_way_out_of_each_symptom() -> None:
    """Every section says what to look at and what to do; the first minute and the alerts are no symptoms."""
    sections = re.findall(r"^## (.+?)$(.*?)(?=^## |\Z)", text_of(RUNBOOK), re.MULTILINE | re.DOTALL)
    assert len(sections) >= 15
    for name, body in sections:
        if name not in ("The first minute", "Alerts worth having"):
            assert re.search(r"\bCheck\b|It says", body), name
            assert re.search(r"\bFix\b|What ran is taken over", body), name
