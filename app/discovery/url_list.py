"""URL lists: the format of a file, an inspection of its first rows, and its rows as candidates, in bounded memory.

Reads a file once from its beginning and holds a block of it; no row, no job and no network is known here.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePath
from typing import IO, Any

import errors
from app.discovery.lists import columns, contents, delimited, json_lines, parquet, streams
from app.discovery.lists.header import Header
from app.domain import Candidate, ListProblem
from app.spec import ListSpec

__all__ = ["SUFFIXES", "ListInspection", "inspect", "read", "sniff"]

INSPECTED_ROWS = 1_000
_FORMATS = (".txt", ".csv", ".tsv", ".json", ".jsonl", ".parquet")
_SYNONYMS = {".ndjson": ".jsonl", ".tab": ".tsv", ".pq": ".parquet", ".text": ".txt", ".lst": ".txt"}
_PACKINGS = ("", ".gz", ".zst")

SUFFIXES = tuple(form + packing for packing in _PACKINGS for form in _FORMATS)
"""Every kind of list, as :func:`sniff` names it."""


@dataclass(frozen=True, slots=True)
class ListInspection:
    """Result of reading the first rows of a list: ``rows`` were read, ``usable`` of them are candidates.

    Attributes:
        columns: all of them, as the list names them.
        left_out: the columns that are neither read nor kept, because they hold lists, objects or bytes.
        extra: the further columns of each candidate, as in :class:`app.domain.Candidate`.
    """

    rows: int
    usable: int
    problems: tuple[ListProblem, ...]
    columns: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    extra: tuple[Mapping[str, Any], ...] = ()


def sniff(name: str | PurePath) -> str:
    """Return the kind of a list by its name: one of ``SUFFIXES``.

    Raises:
        errors.ConfigurationError: the name ends in none of them.
    """
    folded = PurePath(name).name.lower()
    stem, packing = streams.split_suffix(folded)
    form = PurePath(f"x{stem}" if stem.startswith(".") else stem).suffix
    form = _SYNONYMS.get(form, form)
    if form not in _FORMATS:
        raise errors.ConfigurationError(
            f"the list {str(name)[-200:]!r} does not end in one of {', '.join(_FORMATS)} (each also with .gz or .zst); "
            "rename it after its format"
        )
    return form + packing


def read(path: Path, spec: ListSpec, *, skip: int = 0) -> Iterator[Candidate | ListProblem]:
    """Yield one item for each data row, in order: a candidate, or the problem with it.

    A data row is a line with something on it but a comment (txt), a record under the header (csv, tsv), a value (json, jsonl) or a row
    (parquet); blank lines are none. Where packed or Parquet data breaks off, one last problem says so. Hence ``skip=n`` goes on exactly
    where a reader stopped that took ``n`` items, whatever they were: ``rank`` is an item's position, and what comes next is ``skip``.

    Raises:
        errors.ConfigurationError: no such file, an unknown suffix, no column of URLs, a missing column, no package to read it with.
        errors.StorageError: the disk failed.
    """
    with _opened(path, spec, skip, f"the list {path}") as table:
        yield from _items(table, skip)


def inspect(path: Path, spec: ListSpec, *, where: str | None = None) -> ListInspection:
    """Inspect the first 1,000 rows before a job is made of them.

    Args:
        where: what messages call a list that the user knows by no path.

    Raises:
        errors.ConfigurationError: as :func:`read`, and where the list is empty or none of these rows holds a usable URL.
    """
    if path.is_dir():
        raise errors.ConfigurationError(f"the list {path} is a directory; name a file in it")
    if path.exists() and not path.is_file():
        raise errors.ConfigurationError(f"the list {path} is no regular file; save it to one")
    has_name, where = where is None, where or f"the list {path}"
    head = _head(path, where)
    if not head.strip():
        raise errors.ConfigurationError(f"{where} is empty: it holds no row; write URLs into it")
    content = contents.recognise(head)
    if problem := contents.contradiction(content, spec.suffix, has_name=has_name):
        raise errors.ConfigurationError(f"{where} {problem}")
    try:
        return _inspect_rows(path, spec, where)
    except errors.ConfigurationError as exc:
        if hint := contents.hint(content, spec.suffix, has_name=has_name):
            raise errors.ConfigurationError(f"{exc}; {hint}") from exc
        raise


def _head(path: Path, where: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(contents.HEAD_BYTES)
    except OSError as exc:
        raise errors.ConfigurationError(f"{where} cannot be read: {exc.strerror}") from exc


def _inspect_rows(path: Path, spec: ListSpec, where: str) -> ListInspection:
    with _opened(path, spec, 0, where) as table:
        items = list(islice(_items(table, 0), INSPECTED_ROWS))
        names, left_out = table.names, tuple(sorted(table.left_out))
    problems = tuple(item for item in items if isinstance(item, ListProblem))
    extra = tuple(item.extra for item in items if isinstance(item, Candidate) and item.extra)
    if not items:
        raise errors.ConfigurationError(f"{where} is empty: it holds no row; write URLs into it")
    if names:
        columns.require(Header.of(names), spec, where, with_url=len(problems) == len(items))
    if len(problems) == len(items):
        raise errors.ConfigurationError(_garbage(where, problems))
    return ListInspection(len(items), len(items) - len(problems), problems, tuple(names), left_out, extra)


def _items(table: streams.Table, skip: int) -> Iterator[Candidate | ListProblem]:
    rank, line = -1, 0
    build = table.build
    try:
        for rank, line, payload in table.rows:
            if rank >= skip:
                yield payload if isinstance(payload, ListProblem) else build(payload, line, rank)
    except streams.DamagedError as exc:
        if rank + 1 >= skip:
            yield ListProblem(line=line + 1, message=str(exc))


@contextmanager
def _opened(path: Path, spec: ListSpec, skip: int, where: str) -> Iterator[streams.Table]:
    form, packing = streams.split_suffix(sniff(f".{spec.suffix.lstrip('.')}"))
    with ExitStack() as stack:
        reader = stack.enter_context(streams.opened(path, packing))
        try:
            if form == ".parquet":
                file = _unpacked(reader, stack) if packing else stack.enter_context(path.open("rb"))
                table = parquet.table(file, spec, where, skip=skip)
            else:
                table = _text_table(reader, form, spec, where)
        except streams.DamagedError as exc:
            table = streams.Table(iter([(0, 1, ListProblem(line=1, message=str(exc)))]), delimited.build_from_line)
        yield table


def _text_table(packed: streams.Reader, form: str, spec: ListSpec, where: str) -> streams.Table:
    reader = streams.utf8(packed)
    if form in (".csv", ".tsv"):
        return delimited.table(reader, spec, where, tabs=form == ".tsv")
    if form == ".json":
        return json_lines.table(reader, spec)
    return json_lines.lines(reader, spec) if form == ".jsonl" else delimited.plain_table(reader)


def _unpacked(reader: streams.Reader, stack: ExitStack) -> IO[bytes]:
    """Return packed data as a temporary file, closed with ``stack``: Parquet is read from its end."""
    try:
        file = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
        while block := reader.read(streams.BLOCK_BYTES):
            file.write(block)
    except OSError as exc:
        raise errors.StorageError(f"unpacking a list failed: {exc.strerror}") from exc
    return file


def _garbage(where: str, problems: tuple[ListProblem, ...]) -> str:
    first = problems[0]
    found = f"{first.message} (line {first.line}: {first.text!r})" if first.text else f"{first.message} (line {first.line})"
    return f"{where} holds no usable URL in its first {len(problems)} rows; the first: {found}"
