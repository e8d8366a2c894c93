"""The list of a new build, pasted or uploaded: read by the reader of all lists, and kept in the store from the plan to the start.

An uploaded list is stored once its first rows were read, so that the form can be sent again without it. Nothing refers to it until a job
does; clean-up removes what is unused for a day.
"""

import asyncio
import hashlib
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.datastructures import UploadFile

import errors
from app.discovery import url_list
from app.discovery.lists import contents
from app.jobs import settle
from app.resources import Resources
from app.spec import ListSpec
from app.web.ui.builds.form import Values, in_form_words

__all__ = ["FieldError", "TakenList", "keep", "open_list"]

PASTED_CHARS: Final = 200_000
"""A longer text is kept as an uploaded list is, so that no page has to carry it."""

NAME_CHARS: Final = 200

_KEPT: Final = re.compile(r"lists/list_[0-9a-f]{32}(\.[a-z]+(?:\.[a-z]+)?)")
"""The key of a kept list. Its id cannot be guessed: who knows it was shown it."""


class FieldError(errors.ValidationError):
    """A list cannot be taken; ``field`` of the form says why."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class TakenList:
    """A list with at least one usable URL.

    Attributes:
        spec: how it is read; without a key where it is not in the store.
        digest: of its bytes and of how they are read, by which a repeated start is known.
        pasted: its text, where the form carries it.
    """

    path: Path
    spec: ListSpec
    inspection: url_list.ListInspection
    digest: str
    pasted: str = ""

    @property
    def is_kept(self) -> bool:
        """Whether it is in the store."""
        return bool(self.spec.key)


@asynccontextmanager
async def open_list(resources: Resources, values: Values, upload: UploadFile | None) -> AsyncIterator[TakenList]:
    """The list that came with the form, or that an earlier form brought, for the body's time.

    Raises:
        FieldError: there is none or more than one, or it holds no usable URL.
    """
    pasted, kept = values.raw("urls"), values.text("list_key")
    if pasted.strip() and (upload is not None or kept):
        raise FieldError("urls", "there is a text here and a file; a build takes one list: empty this field, or remove the file")
    async with AsyncExitStack() as stack:
        if upload is not None:
            name = (upload.filename or "list")[-NAME_CHARS:]
            path = await stack.enter_async_context(resources.store.scratch()) / "list"
            await asyncio.to_thread(_copy, upload, path)
            spec = _spec(values, "", name, _suffix(values, name, "file"))
            yield await _inspected("file", path, spec, f"the list {name}")
        elif kept:
            yield await _inspected("file", *await _kept(resources, values, kept, stack), "the list")
        elif pasted.strip():
            path = await stack.enter_async_context(resources.store.scratch()) / "list"
            await asyncio.to_thread(path.write_text, pasted, "utf-8", "replace", "")
            spec = _spec(values, "", "pasted", _suffix(values, "", "urls", pasted[: contents.HEAD_BYTES].encode("utf-8", "replace")))
            yield await _inspected("urls", path, spec, "the pasted list", pasted if len(pasted) <= PASTED_CHARS else "")
        else:
            raise FieldError("urls", "there is no list; paste image URLs, one a line, or choose a file")


async def keep(resources: Resources, taken: TakenList) -> ListSpec:
    """Have a list in the store."""
    return taken.spec if taken.is_kept else await settle.store_list(resources, taken.path, taken.spec)


async def _kept(resources: Resources, values: Values, key: str, stack: AsyncExitStack) -> tuple[Path, ListSpec]:
    match = _KEPT.fullmatch(key)
    if match is None or match[1] not in url_list.SUFFIXES or not await resources.store.exists(key):
        raise FieldError("file", "the list of before is no longer kept, which it is for a day; choose the file once more")
    path = await stack.enter_async_context(resources.store.as_local_file(key))
    return path, _spec(values, key, values.text("list_name") or "list", match[1])


def _copy(upload: UploadFile, path: Path) -> None:
    upload.file.seek(0)
    with path.open("wb") as file:
        shutil.copyfileobj(upload.file, file)


def _suffix(values: Values, name: str, field: str, head: bytes = b"") -> str:
    """The format of a list: as it was chosen, else by its name, else by its first bytes."""
    chosen = values.text("list_format")
    try:
        if chosen or name:
            return url_list.sniff(f"list.{chosen}" if chosen else name)
    except errors.ConfigurationError as error:
        raise FieldError(field, in_form_words(str(error))) from error
    content = contents.recognise(head)
    return content.suffix if content is not None and content.suffix and content.is_certain else ".txt"


def _spec(values: Values, key: str, name: str, suffix: str) -> ListSpec:
    columns = {field: values.text(field) or None for field in _COLUMN_FIELDS}
    if suffix.startswith(".txt") and (named := next((field for field in (*_COLUMN_FIELDS, "keep_columns") if values.text(field)), None)):
        raise FieldError(named, "plain text has no columns; empty this field, or choose another format of the list")
    further = values.words("keep_columns")
    kept = None if not further else [] if further == ["none"] else further
    return ListSpec(key=key, suffix=suffix, name=name, **columns, keep_columns=kept)


_COLUMN_FIELDS: Final = ("url_column", "caption_column", "label_column", "license_column", "group_column")


async def _inspected(field: str, path: Path, spec: ListSpec, where: str, pasted: str = "") -> TakenList:
    try:
        inspection = await asyncio.to_thread(url_list.inspect, path, spec, where=where)
    except errors.ConfigurationError as error:
        words = str(error)
        named = next((name for name in (*_COLUMN_FIELDS, "keep_columns") if name in words and getattr(spec, name)), field)
        raise FieldError(named, in_form_words(words)) from error
    return TakenList(path, spec, inspection, await asyncio.to_thread(_digest, path, spec), pasted)


def _digest(path: Path, spec: ListSpec) -> str:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256")
    found.update(spec.model_dump_json(exclude={"key", "name"}).encode())
    return found.hexdigest()
