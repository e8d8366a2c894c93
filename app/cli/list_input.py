"""The list of ``pictrawl build --urls``: opened and inspected before anything is written, with notes for the user."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from app.cli.build_options import STDIN, list_fields_as_options
from app.cli.failures import UsageError
from app.cli.options import Cli
from app.discovery import url_list
from app.exports.extra_columns import ColumnCounter
from app.exports.spool import RESERVED_COLUMNS
from app.formatting import clipped, count
from app.spec import ListSpec

__all__ = ["NO_COLUMN", "Columns", "UrlList", "note_columns", "open_url_list", "warn_of_bad_lines"]

SHOWN_PROBLEMS = 5
SHOWN_COLUMNS = 20

NO_COLUMN = "none"
"""The value of ``--keep-col`` that keeps no further column."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of a list to read, by name."""

    url: str | None = None
    caption: str | None = None
    label: str | None = None
    license: str | None = None
    group: str | None = None
    keep: list[str] | None = None


@dataclass(frozen=True, slots=True)
class UrlList:
    """A list with at least one usable URL: where it is, how to read it, and what its first rows hold."""

    path: Path
    spec: ListSpec
    inspection: url_list.ListInspection


@contextmanager
def open_url_list(names: list[str], columns: Columns, list_format: str | None) -> Iterator[UrlList | None]:
    """The list that ``--urls`` names, ``None`` without it. Stdin is copied to a temporary file for the body's time.

    Raises:
        UsageError: several lists, or nothing on stdin.
        errors.ConfigurationError: there is no such list, or it holds no usable URL.
    """
    if not names:
        yield None
        return
    if len(names) > 1:
        raise UsageError(f"{len(names)} lists were given; a job takes one", "join them: cat a.txt b.txt | pictrawl build --urls -")
    if names[0] != STDIN:
        urls = _inspect(Path(names[0]), Path(names[0]).name, columns, list_format)
        yield replace(urls, spec=urls.spec.model_copy(update={"origin": str(urls.path.absolute())}))
        return
    if sys.stdin.isatty():
        raise UsageError("--urls - reads stdin, and stdin is a terminal", "pipe a list in: cat urls.txt | pictrawl build --urls -")
    with tempfile.TemporaryDirectory(prefix="pictrawl-") as folder:
        path = Path(folder) / "stdin"
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield _inspect(path, "stdin", columns, list_format or "txt", where="the list on stdin")


def _inspect(path: Path, name: str, columns: Columns, list_format: str | None, *, where: str | None = None) -> UrlList:
    if not path.exists():
        raise UsageError(f"there is no list {path}", "check the path; - reads from stdin")
    if path.is_dir():
        raise UsageError(f"the list {path} is a directory", "name a file in it")
    suffix = url_list.sniff(f"list.{list_format.lstrip('.')}" if list_format else name)
    if suffix.startswith(".txt") and columns != Columns():
        raise UsageError(
            f"{where or f'the list {name}'} is plain text, it has no columns", "leave the --…-col options out, or add --list-format csv"
        )
    spec = ListSpec(
        key="to-be-stored",
        suffix=suffix,
        name=name[:400],
        url_column=columns.url,
        caption_column=columns.caption,
        label_column=columns.label,
        license_column=columns.license,
        group_column=columns.group,
        keep_columns=[] if columns.keep == [NO_COLUMN] else columns.keep,
    )
    with list_fields_as_options():
        return UrlList(path, spec, url_list.inspect(path, spec, where=where))


def warn_of_bad_lines(cli: Cli, urls: UrlList) -> None:
    """Show the first lines without a usable URL. All of them are counted, and logged in the job's log."""
    problems = urls.inspection.problems
    if not problems:
        return
    cli.warn(f"{urls.spec.name}: {count(len(problems), 'line')} of the first {urls.inspection.rows} cannot be used")
    for problem in problems[:SHOWN_PROBLEMS]:
        text = f": {clipped(problem.text, 60)}" if problem.text else ""
        cli.note(f"  line {problem.line}: {clipped(problem.message, 120)}{text}")
    if len(problems) > SHOWN_PROBLEMS:
        cli.note(f"  and {len(problems) - SHOWN_PROBLEMS} more")


def note_columns(cli: Cli, urls: UrlList) -> None:
    """Name the further columns of the list that the dataset will have, and those that it will not have."""
    counter = ColumnCounter()
    for extra in urls.inspection.extra:
        counter.add(extra)
    found = counter.columns(RESERVED_COLUMNS)
    kept = [clipped(column.source, 40) + (f" (as {clipped(column.name, 50)})" if column.name != column.source else "") for column in found]
    if kept:
        cli.note(f"  further columns: {_listed(kept)}")
    if urls.inspection.left_out:
        names = [clipped(name, 40) for name in urls.inspection.left_out]
        cli.note(f"  not carried over: {_listed(names)}; lists, objects, bytes, or more than 200; --keep-col NAME carries one")


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN_COLUMNS} more" if len(names) > SHOWN_COLUMNS else ""
    return ", ".join(names[:SHOWN_COLUMNS]) + more
