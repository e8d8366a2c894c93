"""The ``--urls`` option: a file or stdin, checked and looked at before a job is made of it."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.cli.failures import Refused
from app.cli.state import Cli
from app.cli.words import clipped, count
from app.discovery import url_list
from app.spec import ListSpec

__all__ = ["Columns", "UrlList", "opened_list", "say_problems"]

STDIN = "-"
SHOWN_PROBLEMS = 5


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of a list to read, by name."""

    url: str | None = None
    caption: str | None = None
    label: str | None = None
    license: str | None = None


@dataclass(frozen=True, slots=True)
class UrlList:
    """A list that is worth a job: where it lies, how to read it, and what its first rows hold."""

    path: Path
    spec: ListSpec
    inspection: url_list.Inspection


@contextmanager
def opened_list(names: list[str], columns: Columns, list_format: str | None) -> Iterator[UrlList | None]:
    """The list that was named, ``None`` where none was. What comes from stdin lies in a temporary file for the body's time.

    Raises:
        Refused: several lists, or nothing on stdin.
        errors.ConfigurationError: no such list, an empty one, or none that holds a usable URL.
    """
    if not names:
        yield None
        return
    if len(names) > 1:
        raise Refused(f"{len(names)} lists were given; a job takes one", "join them: cat a.txt b.txt | pictrawl build --urls -")
    if names[0] != STDIN:
        yield _inspected(Path(names[0]), Path(names[0]).name, columns, list_format)
        return
    with tempfile.TemporaryDirectory(prefix="pictrawl-") as folder:
        path = Path(folder) / "stdin"
        _spool(path)
        yield _inspected(path, "stdin", columns, list_format or "txt")


def _spool(path: Path) -> None:
    if sys.stdin.isatty():
        raise Refused("--urls - reads a list from stdin, and stdin is a terminal", "pipe a list in: cat urls.txt | pictrawl build --urls -")
    with path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)


def _inspected(path: Path, name: str, columns: Columns, list_format: str | None) -> UrlList:
    if not path.exists():
        raise Refused(f"there is no list {path}", "check the path; - reads from stdin")
    if path.is_dir():
        raise Refused(f"the list {path} is a directory", "name a file in it")
    suffix = url_list.sniff(f"list.{list_format.lstrip('.')}" if list_format else name)
    if suffix.startswith(".txt") and columns != Columns():
        raise Refused(f"the list {name} is plain text, it has no columns", "leave the --…-col options out, or save it as .csv")
    spec = ListSpec(
        key="to-be-stored",
        suffix=suffix,
        name=name[:400],
        url_column=columns.url,
        caption_column=columns.caption,
        label_column=columns.label,
        license_column=columns.license,
    )
    return UrlList(path, spec, url_list.inspect(path, spec))


def say_problems(cli: Cli, found: UrlList) -> None:
    """Tell of lines that will not be used; all of them are counted, and in the job's log."""
    problems = found.inspection.problems
    if not problems:
        return
    of = f"{count(len(problems), 'line')} of the first {found.inspection.rows}"
    cli.warn(f"{found.spec.name}: {of} cannot be used")
    for problem in problems[:SHOWN_PROBLEMS]:
        text = f": {clipped(problem.text, 60)}" if problem.text else ""
        cli.note(f"  line {problem.line}: {clipped(problem.message, 120)}{text}")
    if len(problems) > SHOWN_PROBLEMS:
        cli.note(f"  and {len(problems) - SHOWN_PROBLEMS} more")
