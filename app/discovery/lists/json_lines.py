"""JSON lists: an array, read element by element, or one value a line. An element is an object with columns, or just a URL.

The standard library parses arrays only as a whole; here ``raw_decode`` takes one element at a time from a buffer of bounded size.
"""

import codecs
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import orjson

from app.discovery.lists import columns, streams
from app.discovery.lists.header import Header, fold, has_object, names_inside, read_inside
from app.domain import Candidate, ListProblem
from app.spec import ListSpec

__all__ = ["Objects", "array", "lines", "table"]

MAX_ELEMENT_CHARS = 1_000_000
_MAX_SHAPES = 1_000
"""Sets of keys remembered; a list in which every object has other keys must not fill the memory."""
_MAX_NAMES = 200
_NESTED = frozenset({dict, list})
_LONG_INTEGER = 2.0**63

_SPACES = re.compile(r"[\s,]*")
_NEXT_OBJECT = re.compile(r"\}\s*,\s*(?=\{)")
_NEXT_VALUE = re.compile(r",")
_BAD_BYTES = re.compile("[\udc80-\udcff]")
_NEAR_END = 16
"""A parser that stops within so many characters of the buffer's end may lack only the next block (a cut ``\\ud83d\\ude00``)."""


_Names = tuple[str, ...]


class Objects:
    """Reads elements; objects with the same keys share their columns, and so do those with the same keys in objects inside of them."""

    def __init__(self, spec: ListSpec) -> None:
        self._spec = spec
        self._read = columns.names_read(spec)
        self._shapes: dict[tuple[_Names, _Names, tuple[int, ...]], columns.Columns | None] = {}
        self.names: list[str] = []
        self.left_out: set[str] = set()

    def build(self, element: object, line: int, rank: int) -> Candidate | ListProblem:
        """Return the candidate of one element, or why there is none."""
        if isinstance(element, str):
            return columns.candidate_of(element, line, rank)
        if not isinstance(element, dict):
            return streams.bad_row(
                line, "neither an object nor a URL", json.dumps(element)[:1000] if not isinstance(element, list) else "[…"
            )
        objects, names = self._inside(element)
        inside = tuple(name for name in names if fold(name) in self._read)
        shape = self._shape(tuple(element), inside, objects, names)
        if shape is None:
            return streams.bad_row(line, f"no key holds a URL; the keys are {columns.shown([*element, *names])}")
        row = tuple(element.values())
        return shape.candidate((*row, *(read_inside(element, name) for name in inside)) if inside else row, line, rank)

    def build_line(self, raw: bytes, line: int, rank: int) -> Candidate | ListProblem:
        """Return the candidate of one line of JSON, or why there is none."""
        if len(raw) > MAX_ELEMENT_CHARS:
            return streams.bad_row(line, f"the line is longer than {MAX_ELEMENT_CHARS} bytes", raw)
        try:
            element = orjson.loads(raw)
        except ValueError as exc:
            with suppress(ValueError, RecursionError):  # which reads a bare NaN, as Python and pandas write it
                return self.build(_DECODER.decode(raw.decode()), line, rank)
            return streams.bad_row(line, "the line is not UTF-8" if "UTF-8" in str(exc) else "broken JSON", raw)
        if isinstance(element, dict) and any(type(value) is float and abs(value) >= _LONG_INTEGER for value in element.values()):
            element = _DECODER.decode(raw.decode())  # orjson makes floats of integers longer than 64 bits
        return self.build(element, line, rank)

    @staticmethod
    def _inside(element: dict[str, Any]) -> tuple[tuple[int, ...], tuple[str, ...]]:
        """Return the positions of objects, and the names of what they hold."""
        if _NESTED.isdisjoint(map(type, element.values())):  # most rows
            return (), ()
        objects = tuple(at for at, value in enumerate(element.values()) if has_object(value))
        return (objects, tuple(names_inside(element))) if objects else ((), ())

    def _shape(self, keys: _Names, inside: _Names, objects: tuple[int, ...], names: _Names) -> columns.Columns | None:
        shape = (keys, inside, objects)
        if shape not in self._shapes:
            if len(self._shapes) >= _MAX_SHAPES:
                self._shapes.clear()
            self._remember((*keys, *inside, *names))
            header = Header.of(keys, inside, objects)
            has_url = "url" in columns.find(header, self._spec)
            self._shapes[shape] = columns.assemble(header, self._spec, left_out=self.left_out) if has_url else None
        return self._shapes[shape]

    def _remember(self, names: _Names) -> None:
        for name in names:
            if len(self.names) < _MAX_NAMES and name not in self.names:
                self.names.append(name)


def table(reader: streams.Reader, spec: ListSpec) -> streams.Table:
    """Return the rows of a ``.json`` list, which is an array if it begins with a bracket, else one value a line."""
    head = streams.head(reader)
    whole = streams.Rejoined(head, reader)
    if head.lstrip()[:1] == b"[":
        return array(whole, spec)
    return lines(whole, spec)


def lines(reader: streams.Reader, spec: ListSpec) -> streams.Table:
    """Return the rows of a list with one JSON value a line."""
    objects = Objects(spec)
    return streams.Table(_line_rows(reader), objects.build_line, objects.names, objects.left_out)


def array(reader: streams.Reader, spec: ListSpec) -> streams.Table:
    """Return the rows of a list that is one array; a row's line is its position in the array, from 1."""
    objects = Objects(spec)
    return streams.Table(_array_rows(_Buffer(reader)), objects.build, objects.names, objects.left_out)


def _line_rows(reader: streams.Reader) -> Iterator[streams.Row]:
    rank = 0
    for line, raw in enumerate(streams.lines(reader, MAX_ELEMENT_CHARS), 1):
        if raw and not raw.isspace():
            yield rank, line, raw
            rank += 1


class _Buffer:
    """The buffered text; bytes that are not UTF-8 appear as lone surrogates."""

    def __init__(self, reader: streams.Reader) -> None:
        self._reader = reader
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self.text = ""
        self.position = 0
        self.is_last = False

    def fill(self) -> None:
        """Drop what was read and append a block."""
        block = self._reader.read(streams.BLOCK_BYTES)
        self.is_last = not block
        self.text = self.text[self.position :] + self._decoder.decode(block, final=self.is_last)
        self.position = 0

    def peek(self) -> str:
        """Return the next character that is no space or comma, empty at the end."""
        while True:
            found = _SPACES.match(self.text, self.position)
            self.position = found.end() if found else self.position
            if self.position < len(self.text) or self.is_last:
                return self.text[self.position : self.position + 1]
            self.fill()

    def skip_to(self, pattern: re.Pattern[str]) -> None:
        """Move behind the next match of ``pattern``, or to the end."""
        while not (found := pattern.search(self.text, self.position)):
            if self.is_last:
                self.position = len(self.text)
                return
            self.position = max(self.position, len(self.text) - _NEAR_END)
            self.fill()
        self.position = found.end()


def _array_rows(buffer: _Buffer) -> Iterator[streams.Row]:
    buffer.peek()
    buffer.position += 1  # the opening bracket
    rank = 0
    while first := buffer.peek():
        if first != "]":
            yield rank, rank + 1, _element(buffer, rank + 1, first)
            rank += 1
            continue
        buffer.position += 1
        if (after := buffer.peek()) != "[":  # files of arrays that were joined go on with the next one
            if after:
                yield rank, rank + 1, streams.bad_row(rank + 1, "text stands behind the end of the array; nothing from here on is read")
            return
        buffer.position += 1
    yield rank, rank + 1, streams.bad_row(rank + 1, "the array is not closed: the file is cut off here")


def _element(buffer: _Buffer, line: int, first: str) -> Any:
    """Return the next element, or its problem, and move behind it."""
    while True:
        try:
            element, end = _DECODER.raw_decode(buffer.text, buffer.position)
        except (ValueError, RecursionError) as exc:
            if not buffer.is_last and _may_go_on(buffer, exc):
                buffer.fill()
                continue
            return _give_up(buffer, line, first)
        source = buffer.text[buffer.position : end] if _BAD_BYTES.search(buffer.text, buffer.position, end) else ""
        buffer.position = end
        return streams.bad_row(line, "the element is not UTF-8", source) if source else element


_DECODER = json.JSONDecoder(parse_constant=lambda _: None)
"""Reads NaN and the infinities as missing values."""


def _may_go_on(buffer: _Buffer, exc: ValueError | RecursionError) -> bool:
    if not isinstance(exc, json.JSONDecodeError) or len(buffer.text) - buffer.position > MAX_ELEMENT_CHARS:
        return False
    return exc.msg.startswith("Unterminated string") or exc.pos >= len(buffer.text) - _NEAR_END


def _give_up(buffer: _Buffer, line: int, first: str) -> ListProblem:
    problem = streams.bad_row(line, "broken JSON", buffer.text[buffer.position : buffer.position + 10_000])
    buffer.position += 1
    buffer.skip_to(_NEXT_OBJECT if first == "{" else _NEXT_VALUE)
    return problem
